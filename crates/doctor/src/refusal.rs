//! What a server's refusal of a login says, and what it does not: servers tell a client little of why.

use client::api::Found;
use gateway::{mysql, postgres};

use crate::Engine;
use crate::finding::{Finding, Step};
use crate::show::{postgres_name, text_literal};

/// Who logged in where.
pub(crate) struct Tried<'a> {
    pub(crate) user: &'a str,
    pub(crate) database: &'a str,
    pub(crate) found: Option<&'a Found>,
    /// Whether the host is Amazon's.
    pub(crate) amazon: bool,
}

impl Tried<'_> {
    /// The server knows the user for one with tokens, and did not take this one.
    fn token_refused(&self, seen: String) -> Finding {
        let finding = Finding::failed(Step::Login, seen)
            .expected("a session")
            .mend("the user is one who logs in with tokens, and the token was refused, which is all that a client is told: look at the findings `caller`, `policy`, `clock`, `region` and `database`");
        if self.amazon {
            let identifier = self.found.map_or("IDENTIFIER", |found| &found.identifier);
            return finding.run(
                "have RDS log why it refuses tokens, then look there",
                format!(
                    "aws rds modify-db-instance --db-instance-identifier {identifier} --cloudwatch-logs-export-configuration EnableLogTypes=iam-db-auth-error"
                ),
            );
        }
        finding.run(
            "Countersign's audit trail has the reason, and explains a principal's rights",
            format!(
                "countersign policy explain --principal ARN --db IDENTIFIER --user {}",
                crate::show::word(self.user)
            ),
        )
    }

    fn enable_iam(&self, finding: Finding) -> Finding {
        let what = "enable IAM authentication, if it is off (finding `iam-authentication`)";
        match self.found {
            Some(found) if found.iam_enabled => finding,
            found => finding.run(what, crate::database::enable_iam(found)),
        }
    }

    fn not_a_token_user(&self, seen: String, engine: Engine) -> Finding {
        let finding = Finding::failed(Step::Login, seen).expected("a question for a token");
        match engine {
            Engine::Postgres => self.enable_iam(finding.run(
                "make the user one who logs in with tokens",
                format!("GRANT rds_iam TO {};", postgres_name(self.user)),
            )),
            Engine::MySql => self.enable_iam(finding.run(
                "create the account, or turn it into one of IAM",
                format!(
                    "CREATE USER {}@'%' IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS' REQUIRE SSL;",
                    text_literal(self.user)
                ),
            )),
        }
    }

    /// Tells of PostgreSQL's refusal.
    pub(crate) fn by_postgres(&self, error: &postgres::LoginError) -> Finding {
        use postgres::LoginError;
        match error {
            LoginError::Refused(refusal) => self.postgres_said(&refusal.sqlstate(), &refusal.text()),
            LoginError::OtherPassword(method) => self.not_a_token_user(
                format!("the server asks for {method}, not for a token; none was sent"),
                Engine::Postgres,
            ),
            other => Finding::failed(Step::Login, other.to_string())
                .expected("a session")
                .mend("look into the server's log, and at what is in between"),
        }
    }

    fn postgres_said(&self, sqlstate: &str, text: &str) -> Finding {
        let text = crate::protocol::printable(text.as_bytes());
        let seen = format!("{text} ({sqlstate})");
        let user = postgres_name(self.user);
        let refused = || Finding::failed(Step::Login, seen.clone()).expected("a session");
        let has = |part: &str| text.contains(part);
        match sqlstate {
            "28000" if has("PAM authentication failed") || has("LDAP authentication failed") => {
                self.token_refused(seen)
            }
            "28000" if has("no pg_hba.conf entry") || has("pg_hba.conf rejects") => refused()
                .mend("the server lets nobody in from this address, to this database, as this user: replication logins and the database `replication` take no tokens, and without TLS nobody with `rds_iam` comes in")
                .mend("on a server of your own: look at the lines of pg_hba.conf (`SELECT * FROM pg_hba_file_rules`)"),
            "28000" if has("is not permitted to log in") => {
                refused().run("let the role log in", format!("ALTER ROLE {user} LOGIN;"))
            }
            "28000" if has("does not exist") => refused().run(
                "create the user, as one who logs in with tokens",
                format!("CREATE USER {user}; GRANT rds_iam TO {user};"),
            ),
            "28P01" => self
                .not_a_token_user(format!("{seen}: the server took the token for a password"), Engine::Postgres)
                .run("create the user, if there is none", format!("CREATE USER {user}; GRANT rds_iam TO {user};")),
            "3D000" => refused()
                .run("name a database that there is with --database; these are", "SELECT datname FROM pg_database WHERE datallowconn;"),
            "42501" => refused().run(
                "let the user in",
                format!("GRANT CONNECT ON DATABASE {} TO {user};", postgres_name(self.database)),
            ),
            "53300" => refused().run(
                "the server has as many connections as it takes: close some, raise max_connections, or put a pooler in front",
                "SELECT usename, count(*) FROM pg_stat_activity GROUP BY usename ORDER BY 2 DESC;",
            ),
            "57P03" => refused().mend("the server is starting, stopping or recovering: wait"),
            _ if sqlstate.starts_with("28") => self.token_refused(seen),
            _ => refused().mend("the token was taken; what the server says comes after it: see its log"),
        }
    }

    /// Tells of MySQL's or MariaDB's refusal.
    pub(crate) fn by_mysql(&self, error: &mysql::LoginError) -> Finding {
        use mysql::LoginError;
        match error {
            LoginError::Refused(refusal) => self.mysql_said(refusal.code, &refusal.text),
            LoginError::OtherPlugin(plugin) => self.not_a_token_user(
                format!("the server asks for `{plugin}`, not for a token: the account does not exist, or is not one of IAM"),
                Engine::MySql,
            ),
            other => Finding::failed(Step::Login, other.to_string())
                .expected("a session")
                .mend("look into the server's log, and at what is in between"),
        }
    }

    fn mysql_said(&self, code: u16, text: &str) -> Finding {
        let text = crate::protocol::printable(text.as_bytes());
        let seen = format!("ERROR {code}: {text}");
        let user = text_literal(self.user);
        let refused = || Finding::failed(Step::Login, seen.clone()).expected("a session");
        match code {
            1045 => self.token_refused(seen),
            1524 => self.enable_iam(
                refused().expected("the plugin AWSAuthenticationPlugin, which is loaded while IAM authentication is on"),
            ),
            1049 => refused().run("name a database that there is with --database; these are", "SHOW DATABASES;"),
            1044 => refused().run(
                "let the user use the database",
                format!("GRANT SELECT ON `{}`.* TO {user}@'%';", self.database.replace('`', "``")),
            ),
            1040 | 1203 | 1226 => refused().run(
                "there are as many connections as the server takes: close some, raise the limit, or put a pooler in front",
                "SELECT user, host, COUNT(*) FROM information_schema.processlist GROUP BY user, host;",
            ),
            1129 => refused().run("the server blocks this machine after too many failed connections", "FLUSH HOSTS;"),
            1130 => refused().mend("no account may come from this machine's address: create one for it, as in 'user'@'%'"),
            3118 | 4151 => {
                refused().run("unlock the account", format!("ALTER USER {user}@'%' ACCOUNT UNLOCK;"))
            }
            _ => refused().mend("see the server's log"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::found;

    fn tried<'a>(found: Option<&'a Found>, amazon: bool) -> Tried<'a> {
        Tried { user: "o'neil", database: "shop", found, amazon }
    }

    #[test]
    fn what_postgres_says() {
        let off = Found { iam_enabled: false, ..found() };
        let said = |sqlstate: &str, text: &str| {
            serde_json::to_string(&tried(Some(&off), true).postgres_said(sqlstate, text)).unwrap()
        };
        for (sqlstate, text, mend) in [
            ("28000", "PAM authentication failed for user \"u\"", "iam-db-auth-error"),
            ("28000", "no pg_hba.conf entry for host \"10.0.0.1\", no encryption", "pg_hba_file_rules"),
            ("28000", "pg_hba.conf rejects connection for host", "pg_hba_file_rules"),
            ("28000", "role \"u\" is not permitted to log in", "LOGIN;"),
            ("28000", "role \"u\" does not exist", "CREATE USER"),
            ("28P01", "password authentication failed for user \"u\"", "GRANT rds_iam"),
            (
                "28P01",
                "password authentication failed for user \"u\"",
                "--enable-iam-database-authentication",
            ),
            ("3D000", "database \"x\" does not exist", "pg_database"),
            ("42501", "permission denied for database \"shop\"", "GRANT CONNECT"),
            ("53300", "too many clients already", "pg_stat_activity"),
            ("57P03", "the database system is starting up", "wait"),
            ("28000", "whatever", "token was refused"),
            ("XX000", "whatever", "see its log"),
        ] {
            let told = said(sqlstate, text);
            assert!(told.contains(mend), "{sqlstate} {text}: {told}");
        }
        // What is on need not be turned on.
        let told = serde_json::to_string(&tried(Some(&found()), true).postgres_said("28P01", "x")).unwrap();
        assert!(!told.contains("--enable-iam"), "{told}");
        let told =
            serde_json::to_string(&tried(None, false).postgres_said("28000", "LDAP authentication failed"))
                .unwrap();
        assert!(told.contains(r"countersign policy explain") && told.contains(r"'o'\\''neil'"), "{told}");
        let other = tried(None, false).by_postgres(&postgres::LoginError::OtherPassword("SCRAM-SHA-256"));
        assert!(other.seen.contains("SCRAM-SHA-256") && other.mend.len() == 2, "{other:?}");
    }

    #[test]
    fn what_mysql_says() {
        let off = Found { iam_enabled: false, engine: "mysql".to_owned(), ..found() };
        for (code, mend) in [
            (1045, "policy explain"),
            (1524, "--enable-iam-database-authentication"),
            (1049, "SHOW DATABASES"),
            (1044, "GRANT SELECT ON `shop`.*"),
            (1040, "processlist"),
            (1203, "processlist"),
            (1129, "FLUSH HOSTS"),
            (1130, "'user'@'%'"),
            (3118, "ACCOUNT UNLOCK"),
            (4151, "ACCOUNT UNLOCK"),
            (9999, "log"),
        ] {
            let told = serde_json::to_string(&tried(Some(&off), false).mysql_said(code, "text")).unwrap();
            assert!(told.contains(mend), "{code}: {told}");
        }
        let other = mysql::LoginError::OtherPlugin("caching_sha2_password".to_owned());
        let told = serde_json::to_string(&tried(None, true).by_mysql(&other)).unwrap();
        assert!(told.contains("CREATE USER 'o''neil'@'%' IDENTIFIED WITH AWSAuthenticationPlugin"), "{told}");
    }
}
