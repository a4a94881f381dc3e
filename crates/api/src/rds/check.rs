//! What identifiers, names, passwords and tags must look like, by the service model's text on each parameter.

use super::{error, reserved};
use crate::query::{ApiError, Params};
use iam::{Engine, Product};
use store::records::Tags;
use zeroize::Zeroizing;

/// Whether the text is an identifier of at most `most` characters: letters, digits and hyphens, first a letter, no hyphen
/// last and no two together.
fn is_identifier(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len())
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !text.ends_with('-')
        && !text.contains("--")
}

/// The identifier of an instance or a cluster, lower-cased.
pub(super) fn identifier(parameter: &str, text: &str) -> Result<String, ApiError> {
    if is_identifier(text, 63) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(ApiError::invalid_parameter_value(format!(
        "The parameter {parameter} is not a valid identifier. Identifiers must begin with a letter; must contain only \
         ASCII letters, digits, and hyphens; and must not end with a hyphen or contain two consecutive hyphens."
    )))
}

/// The name of a group that is made, lower-cased; `default` and what starts with it are not the callers' to make.
pub(super) fn group_name(parameter: &str, text: &str, others: &str) -> Result<String, ApiError> {
    let plain: String = text.chars().filter(|c| !others.contains(*c)).collect();
    let lower = text.to_ascii_lowercase();
    let shaped = text.len() <= 255 && text.starts_with(|first: char| first.is_ascii_alphabetic());
    if shaped && is_identifier(&plain, 255) && lower != "default" && !lower.starts_with("default.") {
        return Ok(lower);
    }
    Err(ApiError::invalid_parameter_value(format!(
        "The parameter {parameter} is not a valid identifier. Identifiers must begin with a letter; must contain only \
         ASCII letters, digits, and hyphens; must not end with a hyphen or contain two consecutive hyphens; and must not \
         be a default group's name."
    )))
}

/// Takes `Engine`.
pub(super) fn engine(params: &mut Params) -> Result<Engine, ApiError> {
    let name = params.required("Engine")?;
    name.to_ascii_lowercase().parse().map_err(|error: iam::EngineError| {
        ApiError::invalid_parameter_value(format!("Invalid DB engine: {error}"))
    })
}

/// The master user's name: 1 to 16 letters, digits or underscores, first a letter.
pub(super) fn master_username(engine: Engine, name: &str) -> Result<(), ApiError> {
    let shaped = (1..=16).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !shaped {
        return Err(ApiError::invalid_parameter_value(
            "The parameter MasterUsername is not valid: it must be 1 to 16 letters, numbers or underscores, and begin with \
             a letter.",
        ));
    }
    if reserved::is_user(engine.product(), name) {
        return Err(ApiError::invalid_parameter_value(format!(
            "MasterUsername {name} cannot be used as it is a reserved word used by the engine"
        )));
    }
    Ok(())
}

/// The master user's password: 8 to 128 printable ASCII characters of PostgreSQL, 8 to 41 of MySQL and MariaDB, none of `/`,
/// `"`, `@` and space.
pub(super) fn master_password(engine: Engine, password: String) -> Result<Zeroizing<String>, ApiError> {
    let password = Zeroizing::new(password);
    let longest = match engine.product() {
        Product::PostgreSql => 128,
        Product::MySql | Product::MariaDb => 41,
    };
    if !(8..=longest).contains(&password.len()) {
        return Err(ApiError::invalid_parameter_value(format!(
            "The parameter MasterUserPassword is not a valid password because it is shorter than 8 or longer than {longest} \
             characters."
        )));
    }
    if !password.bytes().all(|b| b.is_ascii_graphic() && !b"/\"@".contains(&b)) {
        return Err(ApiError::invalid_parameter_value(
            "The parameter MasterUserPassword is not a valid password. Only printable ASCII characters besides '/', '@', \
             '\"', ' ' may be used.",
        ));
    }
    Ok(password)
}

/// The name of the database made at first: letters, digits or underscores; of PostgreSQL at most 63, first a letter or an
/// underscore, of MySQL and MariaDB at most 64, first a letter.
pub(super) fn database_name(engine: Engine, parameter: &str, name: &str) -> Result<(), ApiError> {
    let (longest, underscore) = match engine.product() {
        Product::PostgreSql => (63, true),
        Product::MySql | Product::MariaDb => (64, false),
    };
    let shaped = (1..=longest).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphabetic() || underscore && first == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !shaped {
        let first = if underscore { "a letter or an underscore" } else { "a letter" };
        return Err(ApiError::invalid_parameter_value(format!(
            "{parameter} must begin with {first} and contain only alphanumeric characters and underscores, at most {longest}."
        )));
    }
    if reserved::is_database(engine.product(), name) {
        return Err(ApiError::invalid_parameter_value(format!(
            "Database name {name} cannot be used; it is a reserved word"
        )));
    }
    Ok(())
}

/// DBInstanceClass: `db.` and at least one more part. What is behind it has no meaning here.
pub(super) fn instance_class(class: &str) -> Result<(), ApiError> {
    let mut parts = class.split('.');
    let shaped = parts.next() == Some("db")
        && class.len() <= 64
        && matches!(class.split('.').count(), 2..=4)
        && parts.all(|part| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        });
    if shaped {
        Ok(())
    } else {
        Err(ApiError::invalid_parameter_value(format!("Invalid DB Instance class: {class}")))
    }
}

/// CACertificateIdentifier: an authority that signs here.
pub(super) fn certificate_authority(identifier: &str) -> Result<(), ApiError> {
    match identifier.parse::<pki::CaIdentifier>() {
        Ok(_) => Ok(()),
        Err(_) => Err(error::certificate_not_found(identifier)),
    }
}

/// Takes `Tags`.
pub(super) fn tags(params: &mut Params) -> Result<Tags, ApiError> {
    let mut tags = Tags::new();
    for mut tag in params.structures("Tags", "Tag")? {
        let key = tag.required("Key")?;
        let value = tag.optional("Value").unwrap_or_default();
        tag.finish()?;
        tag_key(&key)?;
        if value.chars().count() > 256 || !value.chars().all(is_tag_character) {
            return Err(ApiError::invalid_parameter_value(format!(
                "The value of the tag {key} is not valid: expected at most 256 letters, digits, spaces and any of _.:/=+-@"
            )));
        }
        if tags.insert(key.clone(), value).is_some() {
            return Err(ApiError::invalid_parameter_value(format!("Duplicate tag keys found: {key}")));
        }
    }
    tag_count(&tags)?;
    Ok(tags)
}

/// At most 50 tags stand on a resource.
pub(super) fn tag_count(tags: &Tags) -> Result<(), ApiError> {
    if tags.len() <= 50 {
        return Ok(());
    }
    Err(ApiError::invalid_parameter_value(format!(
        "A resource has at most 50 tags: this would make {}",
        tags.len()
    )))
}

/// A tag's key: 1 to 128 characters, not AWS's own.
pub(super) fn tag_key(key: &str) -> Result<(), ApiError> {
    let folded = key.to_ascii_lowercase();
    if folded.starts_with("aws:") || folded.starts_with("rds:") {
        return Err(ApiError::invalid_parameter_value(format!(
            "The tag key {key} is not valid: keys that begin with aws: or rds: are reserved for system use"
        )));
    }
    if (1..=128).contains(&key.chars().count()) && key.chars().all(is_tag_character) {
        return Ok(());
    }
    Err(ApiError::invalid_parameter_value(format!(
        "The tag key {} is not valid: expected 1 to 128 letters, digits, spaces and any of _.:/=+-@",
        key.chars().take(128).collect::<String>()
    )))
}

fn is_tag_character(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, ' ' | '_' | '.' | ':' | '/' | '=' | '+' | '-' | '@')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Service;

    #[test]
    fn identifiers_are_lower_cased_and_checked() {
        assert_eq!(identifier("DBInstanceIdentifier", "MyDb-1").unwrap(), "mydb-1");
        assert!(identifier("DBInstanceIdentifier", &"a".repeat(63)).is_ok());
        for bad in ["", "1db", "-db", "db-", "my--db", "my_db", "my.db", "mÿdb", &"a".repeat(64)] {
            assert_eq!(
                identifier("DBInstanceIdentifier", bad).unwrap_err().code,
                "InvalidParameterValue",
                "{bad}"
            );
        }
        assert_eq!(group_name("DBSubnetGroupName", "My_group.1", "._ ").unwrap(), "my_group.1");
        for bad in ["default", "Default.postgres15", "my_group", "g-"] {
            assert!(group_name("DBParameterGroupName", bad, "").is_err(), "{bad}");
        }
    }

    #[test]
    fn names_and_passwords_of_master_users() {
        for engine in Engine::ALL {
            for good in ["admin1", "Jane_Doe", "sixteen_letters_"] {
                assert!(master_username(engine, good).is_ok(), "{good} of {engine}");
            }
            for bad in
                ["", "1a", "_a", "a-b", "mysql.sys", "rdsadmin", "rds_iam", "Select", "seventeen_letters"]
            {
                assert!(master_username(engine, bad).is_err(), "{bad} of {engine}");
            }
            assert_eq!(
                master_password(engine, "Master-pass-1".to_owned()).unwrap().as_str(),
                "Master-pass-1"
            );
            for bad in [
                "short-1",
                "with space",
                "with/slash",
                "with\"quote",
                "with@sign",
                "wïth-umlaut",
                &"a".repeat(129),
            ] {
                let error = master_password(engine, bad.to_owned()).unwrap_err();
                assert!(!error.message.contains(bad), "a refused password is not repeated: {error}");
            }
        }
        let postgres = ["postgres", "admin", "root", "user", "pg_monitor"];
        let taken = postgres.map(|name| master_username(Engine::Postgres, name).is_err());
        assert_eq!(taken, [false, true, false, true, true]);
        for engine in [Engine::Mysql, Engine::Mariadb, Engine::AuroraMysql] {
            for good in ["admin", "root", "user", "postgres"] {
                assert!(master_username(engine, good).is_ok(), "{good} of {engine}");
            }
            assert!(master_password(engine, "a".repeat(41)).is_ok());
            let error = master_password(engine, "a".repeat(42)).unwrap_err();
            assert!(error.message.contains("longer than 41"), "{error}");
        }
        assert!(master_password(Engine::AuroraPostgresql, "a".repeat(128)).is_ok());
    }

    #[test]
    fn names_of_databases() {
        let fits = |engine, name: &str| database_name(engine, "DBName", name).is_ok();
        for engine in Engine::ALL {
            assert!(fits(engine, "orders_2") && fits(engine, &"a".repeat(63)));
            for bad in ["", "2orders", "a-b", "table", "rdsadmin", &"a".repeat(65)] {
                assert!(!fits(engine, bad), "{bad} of {engine}");
            }
        }
        assert!(fits(Engine::Postgres, "_a") && !fits(Engine::Postgres, "template1"));
        assert!(!fits(Engine::Postgres, &"a".repeat(64)));
        for engine in [Engine::Mysql, Engine::Mariadb, Engine::AuroraMysql] {
            assert!(fits(engine, "template1") && fits(engine, &"a".repeat(64)));
            for bad in ["_a", "mysql", "SYS", "information_schema", "performance_schema"] {
                assert!(!fits(engine, bad), "{bad} of {engine}");
            }
        }
    }

    #[test]
    fn classes() {
        for good in ["db.t3.micro", "db.r4.large", "db.serverless", "db.x2iedn.32xlarge"] {
            assert!(instance_class(good).is_ok(), "{good}");
        }
        for bad in ["", "db", "db.", "t3.micro", "db..micro", "db.t3.Micro", "db.t3.micro; drop"] {
            assert!(instance_class(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tags_are_counted_and_awss_own_refused() {
        let read = |form: &str| tags(&mut Params::from_form(Service::Rds, form).unwrap());
        assert_eq!(read("Tags.Tag.1.Key=env&Tags.Tag.1.Value=a+b").unwrap()["env"], "a b");
        for bad in
            ["Tags.Tag.1.Key=aws:x", "Tags.Tag.1.Key=AWS:x", "Tags.Tag.1.Key=a%3Cb", "Tags.Tag.1.Value=v"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(read("Tags.Tag.1.Key=a&Tags.Tag.2.Key=a").is_err());
        let many: Vec<String> = (1..=51).map(|n| format!("Tags.Tag.{n}.Key=k{n}")).collect();
        assert!(read(&many[..50].join("&")).is_ok());
        assert!(read(&many.join("&")).is_err());
    }
}
