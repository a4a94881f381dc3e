//! The parameters that parameter groups may set: those that tune a server or its log, and the one that forces TLS.
//!
//! What would take access control, encryption, listening addresses, paths, libraries or commands out of Countersign's hands
//! is not among them, and what is not among them cannot be set.

mod mysql;
mod postgresql;

use super::parameter_group::Family;
use crate::query::ApiError;
use iam::Product;
use store::records::ParameterGroupKind;

/// A parameter.
#[derive(Debug)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) takes: Takes,
    /// Whether it takes effect at a reload; else at the next start.
    pub(super) dynamic: bool,
    pub(super) description: &'static str,
}

/// What values a parameter takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Takes {
    /// 0 or 1.
    Boolean,
    Integer(i64, i64),
    Real(f64, f64),
    OneOf(&'static [&'static str]),
    /// A name of letters, digits and `_ / + - ,` and space.
    Name,
    /// Any of the words, or none, with commas between.
    SetOf(&'static [&'static str]),
    /// `switch=on` and `switch=off`, with commas between.
    Switches,
    /// A time zone's offset from UTC, `-12:59` to `+13:00`. Names would ask for time zone tables that a server has not.
    Offset,
}

use Takes::{Boolean, Integer, Name, Offset, OneOf, Real, SetOf, Switches};

const fn dynamic(name: &'static str, takes: Takes, description: &'static str) -> Parameter {
    Parameter { name, takes, dynamic: true, description }
}

const fn at_start(name: &'static str, takes: Takes, description: &'static str) -> Parameter {
    Parameter { name, takes, dynamic: false, description }
}

/// PostgreSQL's parameter that demands TLS of every connection, IAM or not.
const FORCE_SSL: &str = "rds.force_ssl";

/// That of MySQL and MariaDB.
const REQUIRE_SECURE_TRANSPORT: &str = "require_secure_transport";

/// The parameters of a kind of group of a family: where there is a cluster, TLS is the cluster's. A family that is none has
/// none.
pub(super) fn of(kind: ParameterGroupKind, family: &Family) -> impl Iterator<Item = &'static Parameter> {
    let elsewhere = kind == ParameterGroupKind::Instance && family.is_of_clusters();
    let tables: [&[Parameter]; 2] = match family.product() {
        Some(Product::PostgreSql) => [postgresql::ALL, &[]],
        Some(Product::MySql) => [mysql::SHARED, mysql::MYSQL],
        Some(Product::MariaDb) => [mysql::SHARED, mysql::MARIADB],
        None => [&[], &[]],
    };
    tables.into_iter().flatten().filter(move |parameter| !(elsewhere && parameter.forces_tls()))
}

impl Parameter {
    fn forces_tls(&self) -> bool {
        matches!(self.name, FORCE_SSL | REQUIRE_SECURE_TRANSPORT)
    }

    /// The value where no group of the family sets one; none where it is the server's own.
    pub(super) fn default(&self, family: &Family) -> Option<&'static str> {
        let on = || if family.forces_tls_by_default() { "1" } else { "0" };
        self.forces_tls().then(on)
    }

    /// Refuses a value that the parameter does not take.
    pub(super) fn check(&self, value: &str) -> Result<(), ApiError> {
        let fits = match self.takes {
            Boolean => matches!(value, "0" | "1"),
            Integer(least, most) => value.parse::<i64>().is_ok_and(|number| (least..=most).contains(&number)),
            Real(least, most) => {
                let plain = value.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
                plain && value.parse::<f64>().is_ok_and(|number| (least..=most).contains(&number))
            }
            OneOf(words) => words.contains(&value),
            Name => {
                let plain = |b: u8| b.is_ascii_alphanumeric() || b"_/+-, ".contains(&b);
                (1..=64).contains(&value.len()) && value.bytes().all(plain)
            }
            SetOf(words) => {
                value.is_empty()
                    || value.split(',').all(|word| words.iter().any(|known| known.eq_ignore_ascii_case(word)))
            }
            Switches => value.split(',').all(is_switch),
            Offset => is_offset(value),
        };
        if fits {
            return Ok(());
        }
        let value: String = value.chars().take(64).collect();
        let message = format!(
            "Invalid parameter value: {value} for: {} allowed values are: {}",
            self.name,
            self.takes.allowed()
        );
        Err(ApiError::invalid_parameter_value(message))
    }
}

fn is_switch(text: &str) -> bool {
    text.split_once('=').is_some_and(|(name, state)| {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        (1..=64).contains(&name.len()) && name.bytes().all(plain) && matches!(state, "on" | "off" | "default")
    })
}

/// Whether the text is an offset within what both MySQL and MariaDB take.
fn is_offset(text: &str) -> bool {
    let (sign, most) = match text.get(..1) {
        Some("+") => (1, 13 * 60),
        Some("-") => (-1, 12 * 60 + 59),
        _ => return false,
    };
    let minutes = text.get(1..).and_then(store::records::minute_of_day);
    minutes.is_some_and(|minutes| minutes <= most && (sign > 0 || minutes > 0))
}

impl Takes {
    /// The type's name.
    pub(super) fn data_type(self) -> &'static str {
        match self {
            Boolean => "boolean",
            Integer(..) => "integer",
            Real(..) => "float",
            OneOf(_) | Name | Switches | Offset => "string",
            SetOf(_) => "list",
        }
    }

    /// The values, as RDS spells ranges and lists.
    pub(super) fn allowed(self) -> String {
        match self {
            Boolean => "0,1".to_owned(),
            Integer(least, most) => format!("{least}-{most}"),
            Real(least, most) => format!("{least}-{most}"),
            OneOf(words) | SetOf(words) => words.join(","),
            Name => "letters, digits and _/+-, and space".to_owned(),
            Switches => "switch=on and switch=off, with commas between".to_owned(),
            Offset => "offsets from UTC, -12:59 to +13:00".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(family: &str) -> Vec<&'static Parameter> {
        of(ParameterGroupKind::Cluster, &Family::new(family)).collect()
    }

    fn named(family: &str, name: &str) -> &'static Parameter {
        all(family).into_iter().find(|parameter| parameter.name == name).unwrap()
    }

    #[test]
    fn names_are_sorted_and_none_reaches_beyond_tuning() {
        for table in [postgresql::ALL, mysql::SHARED, mysql::MYSQL, mysql::MARIADB] {
            assert!(table.is_sorted_by_key(|parameter| parameter.name));
        }
        for other in [mysql::MYSQL, mysql::MARIADB] {
            let twice = other.iter().find(|one| mysql::SHARED.iter().any(|shared| shared.name == one.name));
            assert!(twice.is_none(), "{twice:?}");
        }
        let barred = [
            "hba",
            "ident",
            "ssl_",
            "tls",
            "listen",
            "bind_",
            "port",
            "socket",
            "directory",
            "datadir",
            "tmpdir",
            "basedir",
            "library",
            "libraries",
            "file_path",
            "log_file",
            "pid_file",
            "_priv",
            "password",
            "authentication",
            "krb",
            "archive",
            "restore",
            "primary_",
            "search_path",
            "role",
            "row_security",
            "init_",
            "plugin",
            "secure_auth",
            "grant",
            "skip_",
            "server_id",
            "doublewrite",
            "name_resolve",
            "case_table",
        ];
        let everywhere = ["postgres15", "mysql8.4", "mariadb10.11"].into_iter().flat_map(all);
        for parameter in everywhere.filter(|parameter| !parameter.forces_tls()) {
            assert!(!barred.iter().any(|part| parameter.name.contains(part)), "{}", parameter.name);
            assert!(parameter.name != "ssl" && !parameter.name.ends_with("_command"), "{}", parameter.name);
        }
    }

    #[test]
    fn a_family_has_the_parameters_of_its_product() {
        let has = |family: &str, name: &str| all(family).iter().any(|parameter| parameter.name == name);
        for (name, families) in [
            ("work_mem", &["postgres15", "aurora-postgresql17"][..]),
            ("sql_mode", &["mysql8.4", "aurora-mysql8.0", "mariadb11.4"]),
            ("transaction_isolation", &["mysql9.7", "aurora-mysql9.7"]),
            ("tx_isolation", &["mariadb10.11"]),
        ] {
            for family in [
                "postgres15",
                "aurora-postgresql17",
                "mysql8.4",
                "mysql9.7",
                "aurora-mysql8.0",
                "mariadb11.4",
            ] {
                let expected =
                    families.iter().any(|f| Family::new(f).product() == Family::new(family).product());
                assert_eq!(has(family, name), expected, "{name} of {family}");
            }
        }
        assert_eq!((all("oracle-ee-19").len(), all("mysql").len()), (0, 0));
        for (family, name, default) in [
            ("postgres15", FORCE_SSL, "1"),
            ("mysql8.4", REQUIRE_SECURE_TRANSPORT, "1"),
            ("mysql8.0", REQUIRE_SECURE_TRANSPORT, "0"),
            ("mariadb10.11", REQUIRE_SECURE_TRANSPORT, "0"),
        ] {
            let parameter = named(family, name);
            let family = Family::new(family);
            assert_eq!(parameter.default(&family), Some(default));
            let mut of_instances = of(ParameterGroupKind::Instance, &family);
            assert!(of_instances.any(|parameter| parameter.name == name), "{family:?}");
        }
        for family in ["aurora-postgresql15", "aurora-mysql8.4"] {
            assert!(!of(ParameterGroupKind::Instance, &Family::new(family)).any(Parameter::forces_tls));
        }
    }

    #[test]
    fn values_are_held_to_type_and_range() {
        for (family, name, good, bad) in [
            ("postgres15", "rds.force_ssl", "0", "off"),
            ("postgres15", "max_connections", "100", "5"),
            ("postgres15", "max_connections", "8388607", "{DBInstanceClassMemory/9531392}"),
            ("postgres15", "random_page_cost", "1.1", "1.1'"),
            ("postgres15", "random_page_cost", "1e3", "inf"),
            ("postgres15", "log_statement", "ddl", "DDL; x"),
            ("postgres15", "timezone", "Europe/Berlin", "x'\nssl = off"),
            ("mysql8.4", "require_secure_transport", "OFF", "2"),
            ("mysql8.4", "max_connections", "500", "{DBInstanceClassMemory/12582880}"),
            ("mysql8.4", "sql_mode", "", " "),
            ("mysql8.4", "sql_mode", "STRICT_TRANS_TABLES,no_zero_date", "STRICT"),
            ("mysql8.4", "optimizer_switch", "mrr=on,index_merge=default", "mrr=on,,"),
            ("mysql8.4", "optimizer_switch", "mrr=off", "mrr=on\nssl_ca=x"),
            ("mysql8.4", "collation_server", "utf8mb4_unicode_ci", "a;b"),
            ("mysql8.4", "character_set_server", "utf8mb4", "klingon"),
            ("mysql8.4", "long_query_time", "0.5", "soon"),
            ("mysql8.4", "time_zone", "+13:00", "+13:01"),
            ("mariadb10.11", "time_zone", "-12:59", "-13:00"),
            ("mariadb10.11", "time_zone", "+00:00", "-00:00"),
            ("mariadb10.11", "time_zone", "+05:30", "Asia/Kolkata"),
            ("mariadb10.11", "sql_mode", "ORACLE", "TIME_TRUNCATE_FRACTIONAL"),
        ] {
            assert!(named(family, name).check(good).is_ok(), "{name}={good}");
            assert!(named(family, name).check(bad).is_err(), "{name}={bad}");
        }
        let error = named("postgres15", "max_connections").check("1").unwrap_err();
        assert_eq!(
            error.message,
            "Invalid parameter value: 1 for: max_connections allowed values are: 6-8388607"
        );
    }
}
