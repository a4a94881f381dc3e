//! MySQL's and MariaDB's accounts.

use std::time::Duration;

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, OptsBuilder, Row, SslOpts};

use crate::accounts::Asked;
use crate::finding::{Finding, Step};
use crate::show::text_literal;

const PLUGIN: &str = "AWSAuthenticationPlugin";

/// How long the administrator's questions may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// An account of the user's name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Account {
    host: String,
    plugin: String,
    /// Only of IAM's plugin: any other's is a hash.
    authentication_string: String,
    requires_tls: bool,
    locked: bool,
}

/// What the server has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    accounts: Vec<Account>,
    /// Whether there are accounts without a name, which go before `user@'%'` where their host is more specific.
    anonymous: bool,
    /// The plugin's status, if it is there.
    plugin: Option<String>,
    /// `require_secure_transport`.
    secure_transport: bool,
    /// Whether the database exists; none where none was asked for.
    database: Option<bool>,
}

/// Logs in as the administrator, looks, and tells.
pub(crate) async fn examine(asked: &Asked<'_>, port: u16) -> Vec<Finding> {
    match tokio::time::timeout(PATIENCE, look(asked, port)).await {
        Ok(Ok(seen)) => {
            let mut all = vec![Finding::ok(Step::Admin, format!("logged in as `{}`", asked.admin))];
            all.extend(explain(asked.user, asked.database, &seen));
            all
        }
        Ok(Err(error)) => super::refused(asked.admin, &told(&error)),
        Err(_) => super::refused(asked.admin, "the server does not answer"),
    }
}

/// What a server, or the driver, says. It holds no password.
fn told(error: &mysql_async::Error) -> String {
    match error {
        mysql_async::Error::Server(error) => {
            format!("ERROR {}: {}", error.code, crate::protocol::printable(error.message.as_bytes()))
        }
        other => other.to_string(),
    }
}

async fn look(asked: &Asked<'_>, port: u16) -> Result<Seen, mysql_async::Error> {
    let tls = SslOpts::default()
        .with_root_certs(vec![asked.bundle.pem().as_bytes().to_vec().into()])
        .with_disable_built_in_roots(true);
    let options = OptsBuilder::default()
        .ip_or_hostname(asked.host.bare().to_owned())
        .tcp_port(port)
        .user(Some(asked.admin))
        .pass(Some(asked.password.as_str()))
        .ssl_opts(tls)
        // Only a token is sent as it is.
        .enable_cleartext_plugin(asked.by_token)
        .prefer_socket(false)
        // Known beforehand, so that no statement asks for them.
        .max_allowed_packet(Some(16 << 20))
        .wait_timeout(Some(28_800));
    let mut connection = Conn::new(options).await?;
    let seen = ask(&mut connection, asked.user, asked.database).await;
    drop(connection.disconnect().await);
    seen
}

async fn ask(connection: &mut Conn, user: &str, database: Option<&str>) -> Result<Seen, mysql_async::Error> {
    let version: Option<String> = connection.query_first("SELECT version()").await?;
    let mariadb = version.is_some_and(|version| version.contains("MariaDB"));
    // Of other plugins the string is a hash, and is not asked for.
    let locked = if mariadb {
        "coalesce((SELECT json_value(Priv, '$.account_locked') FROM mysql.global_priv AS p \
          WHERE p.User = u.User AND p.Host = u.Host), 0)"
    } else {
        "u.account_locked = 'Y'"
    };
    let accounts = format!(
        "SELECT cast(u.Host AS char), cast(u.plugin AS char), \
                if(u.plugin = '{PLUGIN}', cast(u.authentication_string AS char), ''), \
                u.ssl_type <> '', cast({locked} AS char) IN ('1', 'true') \
         FROM mysql.user AS u WHERE u.User = ? ORDER BY u.Host"
    );
    let rows: Vec<Row> = connection.exec(accounts, (user,)).await?;
    let accounts = rows
        .into_iter()
        .filter_map(|mut row| {
            Some(Account {
                host: row.take(0)?,
                plugin: row.take(1)?,
                authentication_string: row.take(2)?,
                requires_tls: row.take::<i64, _>(3)? != 0,
                locked: row.take::<i64, _>(4)? != 0,
            })
        })
        .collect();
    let anonymous: Option<i64> =
        connection.query_first("SELECT EXISTS (SELECT 1 FROM mysql.user WHERE User = '')").await?;
    let plugin: Option<String> = connection
        .exec_first(
            "SELECT cast(plugin_status AS char) FROM information_schema.plugins WHERE plugin_name = ?",
            (PLUGIN,),
        )
        .await?;
    let transport: Option<(String, String)> =
        connection.query_first("SHOW GLOBAL VARIABLES LIKE 'require_secure_transport'").await?;
    let database: Option<Option<i64>> = match database {
        Some(database) => Some(
            connection
                .exec_first(
                    "SELECT EXISTS (SELECT 1 FROM information_schema.schemata WHERE schema_name = ?)",
                    (database,),
                )
                .await?,
        ),
        None => None,
    };
    Ok(Seen {
        accounts,
        anonymous: anonymous == Some(1),
        plugin,
        secure_transport: transport.is_some_and(|(_, value)| value.eq_ignore_ascii_case("on")),
        database: database.map(|found| found == Some(1)),
    })
}

fn explain(user: &str, database: Option<&str>, seen: &Seen) -> Vec<Finding> {
    vec![account(user, seen), token_user(user, seen), require_tls(user, seen), privilege(database, seen)]
}

fn name(user: &str, host: &str) -> String {
    format!("{}@{}", text_literal(user), text_literal(host))
}

fn account(user: &str, seen: &Seen) -> Finding {
    let step = Step::Account;
    let [first, ..] = seen.accounts.as_slice() else {
        return Finding::failed(step, format!("there is no account `{user}`"))
            .expected("an account of that name, in the same case")
            .run(
                "create it",
                format!("CREATE USER {} IDENTIFIED WITH {PLUGIN} AS 'RDS' REQUIRE SSL;", name(user, "%")),
            );
    };
    if let Some(locked) = seen.accounts.iter().find(|account| account.locked) {
        return Finding::failed(step, format!("account {} is locked", name(user, &locked.host)))
            .expected("an account that may log in")
            .run("unlock it", format!("ALTER USER {} ACCOUNT UNLOCK;", name(user, &locked.host)));
    }
    let shown: Vec<String> = seen.accounts.iter().map(|account| name(user, &account.host)).collect();
    if seen.anonymous && first.host == "%" {
        return Finding::warning(step, format!("{}, and accounts without a name", shown.join(", ")))
            .expected("no account without a name: one of a certain host goes before an account of all hosts")
            .run(
                "the accounts without a name, to drop them",
                "SELECT user, host FROM mysql.user WHERE user = '';",
            );
    }
    Finding::ok(step, shown.join(", "))
}

fn token_user(user: &str, seen: &Seen) -> Finding {
    let step = Step::TokenUser;
    if seen.plugin.as_deref() != Some("ACTIVE") {
        let status = seen.plugin.as_deref().unwrap_or("not there");
        return Finding::failed(step, format!("the plugin {PLUGIN} is {status}"))
            .expected("the plugin, active")
            .mend("enable IAM authentication on the database: RDS, and Countersign, load the plugin then");
    }
    if seen.accounts.is_empty() {
        return Finding::skipped(step, "there is no such account");
    }
    let other = |account: &&Account| account.plugin != PLUGIN;
    if let Some(account) = seen.accounts.iter().find(other) {
        return Finding::failed(
            step,
            format!("account {} uses {}", name(user, &account.host), account.plugin),
        )
        .expected(PLUGIN)
        .run(
            "have it log in with tokens",
            format!(
                "ALTER USER {} IDENTIFIED WITH {PLUGIN} AS 'RDS' REQUIRE SSL;",
                name(user, &account.host)
            ),
        );
    }
    if let Some(account) = seen.accounts.iter().find(|account| account.authentication_string != "RDS") {
        return Finding::failed(
            step,
            format!(
                "account {} is identified as `{}`",
                name(user, &account.host),
                account.authentication_string
            ),
        )
        .expected("AS 'RDS'")
        .run(
            "have it log in with tokens",
            format!("ALTER USER {} IDENTIFIED WITH {PLUGIN} AS 'RDS';", name(user, &account.host)),
        );
    }
    Finding::ok(step, format!("`{user}` uses {PLUGIN} as 'RDS', which is active"))
}

fn require_tls(user: &str, seen: &Seen) -> Finding {
    let step = Step::RequireTls;
    if seen.accounts.is_empty() {
        return Finding::skipped(step, "there is no such account");
    }
    match seen.accounts.iter().find(|account| !account.requires_tls) {
        None => Finding::ok(step, format!("`{user}` must use TLS")),
        Some(_) if seen.secure_transport => {
            Finding::ok(step, "everybody must use TLS (require_secure_transport)")
        }
        Some(account) => {
            Finding::warning(step, format!("account {} may log in without TLS", name(user, &account.host)))
                .expected("REQUIRE SSL: a client that is set up wrongly would send its token in clear text")
                .run("demand it", format!("ALTER USER {} REQUIRE SSL;", name(user, &account.host)))
        }
    }
}

fn privilege(database: Option<&str>, seen: &Seen) -> Finding {
    let step = Step::Privilege;
    match (database, seen.database) {
        (Some(database), Some(false)) => Finding::failed(step, format!("there is no database `{database}`"))
            .expected("a database that exists")
            .run("name another with --database; these are", "SHOW DATABASES;"),
        (Some(database), _) => Finding::ok(
            step,
            format!("there is a database `{database}`; the login shows whether it may be used"),
        ),
        (None, _) => Finding::skipped(step, "no database is named (--database)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Status;

    fn seen() -> Seen {
        let account = Account {
            host: "%".to_owned(),
            plugin: PLUGIN.to_owned(),
            authentication_string: "RDS".to_owned(),
            requires_tls: true,
            locked: false,
        };
        Seen {
            accounts: vec![account],
            anonymous: false,
            plugin: Some("ACTIVE".to_owned()),
            secure_transport: false,
            database: Some(true),
        }
    }

    fn with(change: impl Fn(&mut Account)) -> Seen {
        let mut seen = seen();
        change(&mut seen.accounts[0]);
        seen
    }

    fn told(seen: &Seen) -> (Status, String) {
        let findings = explain("app", Some("shop"), seen);
        let worst = |status| findings.iter().any(|finding| finding.status == status);
        let status = [Status::Failed, Status::Warning].into_iter().find(|status| worst(*status));
        (status.unwrap_or(Status::Ok), serde_json::to_string(&findings).unwrap())
    }

    #[test]
    fn accounts_are_explained() {
        assert_eq!(told(&seen()).0, Status::Ok);
        for (seen, status, mend) in [
            (Seen { accounts: Vec::new(), ..seen() }, Status::Failed, "CREATE USER 'app'@'%'"),
            (with(|a| a.locked = true), Status::Failed, "ACCOUNT UNLOCK"),
            (
                with(|a| a.plugin = "mysql_native_password".to_owned()),
                Status::Failed,
                "ALTER USER 'app'@'%' IDENTIFIED",
            ),
            (with(|a| a.authentication_string = "rds".to_owned()), Status::Failed, "AS 'RDS';"),
            (with(|a| a.requires_tls = false), Status::Warning, "REQUIRE SSL"),
            (Seen { plugin: None, ..seen() }, Status::Failed, "is not there"),
            (Seen { plugin: Some("DISABLED".to_owned()), ..seen() }, Status::Failed, "is DISABLED"),
            (Seen { anonymous: true, ..seen() }, Status::Warning, "WHERE user = ''"),
            (Seen { database: Some(false), ..seen() }, Status::Failed, "SHOW DATABASES"),
        ] {
            let (was, text) = told(&seen);
            assert_eq!(was, status, "{text}");
            assert!(text.contains(mend), "{mend}: {text}");
        }
        let guarded = Seen { secure_transport: true, ..with(|a| a.requires_tls = false) };
        assert_eq!(told(&guarded).0, Status::Ok);
    }
}
