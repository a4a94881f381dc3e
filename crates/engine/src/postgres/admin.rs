//! What is done inside a server, as its superuser over its Unix socket: roles, databases, passwords, and checks of what
//! it has loaded.
//!
//! The administrator connects to a database of its own, into which nobody else may, and resolves names in `pg_catalog`
//! alone: nothing that a database's users made is ever run as superuser.

use crate::layout::Layout;
use iam::Engine;
use rustix::fs::{Mode, OFlags};
use std::os::fd::AsRawFd;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

/// The superuser, and its database.
pub(crate) const ADMINISTRATOR: &str = "rdsadmin";

/// The role whose members log in by token.
const RDS_IAM: &str = "rds_iam";

/// How long anything in here may take.
const LIMIT: Duration = Duration::from_secs(60);

/// The first major version in which handing a role on needs ADMIN OPTION on it, so that `+role` matches who may.
const ADMIN_OPTION_SINCE: u32 = 16;

/// Whether the version knows roles that may hand `rds_iam` on and are matched by `+rds_iam` for that.
pub(crate) fn has_granters(major: u32) -> bool {
    major >= ADMIN_OPTION_SINCE
}

/// Why something could not be done inside a server.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The server's socket cannot be reached.
    #[error("the server's socket cannot be reached: {0}")]
    Socket(#[from] std::io::Error),
    /// The server refused.
    #[error("the server refused: {}", text(.0))]
    Refused(#[from] tokio_postgres::Error),
    /// It took too long.
    #[error("the server did not answer within {} s", LIMIT.as_secs())]
    TimedOut,
    /// A name that cannot be given.
    #[error("`{name}` cannot be {what}: {reason}")]
    Name {
        /// The name.
        name: String,
        /// What it was to name.
        what: &'static str,
        /// Why it cannot.
        reason: &'static str,
    },
    /// The server cannot read what it was told.
    #[error("the server does not accept its configuration: {0}")]
    Configuration(String),
}

fn text(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("{} ({})", error.message(), error.code().code()),
        None => error.to_string(),
    }
}

/// A connection as administrator.
pub(crate) struct Admin {
    client: Client,
    driver: JoinHandle<()>,
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// What a database is set up for.
pub(crate) struct Setup<'a> {
    pub(crate) engine: Engine,
    pub(crate) major: u32,
    /// As installed, such as `15.18`.
    pub(crate) version: &'a str,
    pub(crate) master: &'a str,
    /// SCRAM verifier of the master user's password.
    pub(crate) verifier: &'a str,
    /// The database to be made besides `postgres`.
    pub(crate) database: Option<&'a str>,
}

impl Setup<'_> {
    /// Does it all; what is there already stays.
    pub(crate) async fn carry_out(&self, layout: &Layout, port: u16) -> Result<(), AdminError> {
        check_master(self.master)?;
        limited(async {
            let postgres = Admin::open(layout, port, "postgres").await?;
            if !postgres.exists(DATABASE, ADMINISTRATOR).await? {
                postgres.run(&format!("CREATE DATABASE {ADMINISTRATOR}")).await?;
            }
            if self.engine == Engine::AuroraPostgresql {
                let function = aurora_version(self.version);
                postgres.run(&function).await?;
                // Every database made from now on is a copy of this one.
                Admin::open(layout, port, "template1").await?.run(&function).await?;
            }
            drop(postgres);

            let admin = Admin::open(layout, port, ADMINISTRATOR).await?;
            admin.run(&format!("REVOKE ALL ON DATABASE {ADMINISTRATOR} FROM PUBLIC")).await?;
            for role in ["rds_superuser", RDS_IAM, "rds_password", "rds_replication", "rds_ad"] {
                if !admin.exists(ROLE, role).await? {
                    admin.run(&format!("CREATE ROLE {role} NOLOGIN")).await?;
                }
            }
            for role in POWERS {
                if admin.exists(ROLE, role).await? {
                    admin.run(&format!("GRANT {role} TO rds_superuser WITH ADMIN OPTION")).await?;
                }
            }
            let master = quote_identifier(self.master);
            if !admin.exists(ROLE, self.master).await? {
                admin.run(&format!("CREATE ROLE {master} NOLOGIN")).await?;
            }
            let verifier = quote_literal(self.verifier);
            admin.run(&format!("ALTER ROLE {master} LOGIN CREATEROLE CREATEDB PASSWORD {verifier}")).await?;
            if has_granters(self.major) {
                admin.run(&format!("GRANT rds_superuser TO {master}")).await?;
                for role in ["rds_superuser", "rds_password", "rds_replication", "rds_ad", RDS_IAM] {
                    let grant = format!("GRANT {role} TO {master} WITH ADMIN TRUE");
                    let hands_on_only =
                        if role == "rds_superuser" { "" } else { ", INHERIT FALSE, SET FALSE" };
                    admin.run(&format!("{grant}{hands_on_only}")).await?;
                }
            } else {
                // CREATEROLE alone lets it hand on every role that is not a superuser, to itself too. Those by which a
                // user gets at the server's files and programs, and so at everything, must not be among them.
                admin.run(OUT_OF_REACH).await?;
                admin.run(&format!("GRANT rds_superuser TO {master} WITH ADMIN OPTION")).await?;
            }
            // As on RDS; the owner of a database may create in its schema `public`, in version 15 and later too.
            admin.run(&format!("ALTER DATABASE postgres OWNER TO {master}")).await?;
            if let Some(name) = self.database {
                check_database(name)?;
                if !admin.exists(DATABASE, name).await? {
                    let name = quote_identifier(name);
                    admin.run(&format!("CREATE DATABASE {name} OWNER {master}")).await?;
                }
            }
            Ok(())
        })
        .await
    }
}

/// What rds_superuser may: PostgreSQL's own roles, those that the version has.
const POWERS: [&str; 8] = [
    "pg_monitor",
    "pg_signal_backend",
    "pg_checkpoint",
    "pg_create_subscription",
    "pg_maintain",
    "pg_use_reserved_connections",
    "rds_replication",
    "rds_password",
];

/// Before 16 nothing but this keeps a role from whoever has CREATEROLE. It is a mark in the catalog: the roles log nobody
/// in, and nobody is a member.
const OUT_OF_REACH: &str = "UPDATE pg_authid SET rolsuper = true WHERE rolname IN
    ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files')";

const ROLE: &str = "SELECT 1 FROM pg_roles WHERE rolname = $1";
const DATABASE: &str = "SELECT 1 FROM pg_database WHERE datname = $1";

impl Admin {
    /// A connection to the administrator's own database.
    pub(crate) async fn connect(layout: &Layout, port: u16) -> Result<Self, AdminError> {
        limited(Self::open(layout, port, ADMINISTRATOR)).await
    }

    async fn open(layout: &Layout, port: u16, database: &str) -> Result<Self, AdminError> {
        // By way of the folder's descriptor the path is short, however deep the data directory is.
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let run = rustix::fs::open(layout.run(), flags, Mode::empty()).map_err(std::io::Error::from)?;
        let stream =
            UnixStream::connect(format!("/proc/self/fd/{}/.s.PGSQL.{port}", run.as_raw_fd())).await?;
        let (client, connection) = tokio_postgres::Config::new()
            .user(ADMINISTRATOR)
            .dbname(database)
            .application_name("countersign")
            // The parameter group may log statements: not these, which carry verifiers of passwords.
            .options(
                "-c search_path=pg_catalog -c log_statement=none -c log_min_duration_statement=-1 \
                 -c log_min_error_statement=panic -c synchronous_commit=on",
            )
            .connect_raw(stream, NoTls)
            .await?;
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the administrator's connection broke");
            }
        });
        Ok(Self { client, driver })
    }

    /// Sets the password of a role by its SCRAM verifier.
    pub(crate) async fn set_password(&self, role: &str, verifier: &str) -> Result<(), AdminError> {
        check_master(role)?;
        let (role, verifier) = (quote_identifier(role), quote_literal(verifier));
        limited(self.run(&format!("ALTER ROLE {role} PASSWORD {verifier}"))).await
    }

    /// When the server last loaded its configuration.
    pub(crate) async fn loaded_at(&self) -> Result<OffsetDateTime, AdminError> {
        let row = limited(self.row("SELECT extract(epoch FROM pg_conf_load_time())::float8")).await?;
        let seconds: f64 = row.try_get(0)?;
        Ok(OffsetDateTime::UNIX_EPOCH + time::Duration::seconds_f64(seconds))
    }

    /// Checks that the configuration and the hba rules, as they stand in the files, are such as the server will load.
    pub(crate) async fn check_files(&self) -> Result<(), AdminError> {
        // A parameter that takes effect at the next start counts as an error here: it is none.
        const WRONG: &str = "
            SELECT coalesce(f.name, f.sourcefile, '') || ': ' || f.error
              FROM pg_file_settings f LEFT JOIN pg_settings s ON s.name = lower(f.name)
             WHERE f.error IS NOT NULL AND coalesce(s.context, '') <> 'postmaster'
            UNION ALL
            SELECT 'hba line ' || line_number || ': ' || error FROM pg_hba_file_rules WHERE error IS NOT NULL";
        let rows = limited(async { Ok(self.client.query(WRONG, &[]).await?) }).await?;
        let wrong: Vec<String> = rows.iter().filter_map(|row| row.try_get(0).ok()).collect();
        if wrong.is_empty() { Ok(()) } else { Err(AdminError::Configuration(wrong.join("; "))) }
    }

    /// The roles that are matched by `+rds_iam` only because they may hand it on. They log in as if they had it not.
    ///
    /// From version 16 on this is every role that made a role which was then granted `rds_iam`, and the master.
    pub(crate) async fn granters(&self, major: u32) -> Result<Vec<String>, AdminError> {
        if !has_granters(major) {
            return Ok(Vec::new());
        }
        const GRANTERS: &str = "
            WITH RECURSIVE matched(oid) AS (
                SELECT member FROM pg_auth_members WHERE roleid = (SELECT oid FROM pg_roles WHERE rolname = 'rds_iam')
                UNION SELECT m.member FROM pg_auth_members m JOIN matched ON m.roleid = matched.oid
            ), granted(oid) AS (
                SELECT member FROM pg_auth_members WHERE roleid = (SELECT oid FROM pg_roles WHERE rolname = 'rds_iam')
                   AND (inherit_option OR set_option)
                UNION SELECT m.member FROM pg_auth_members m JOIN granted ON m.roleid = granted.oid
                 WHERE m.inherit_option OR m.set_option
            )
            SELECT rolname::text FROM pg_roles JOIN matched USING (oid)
             WHERE rolcanlogin AND oid NOT IN (SELECT oid FROM granted) ORDER BY 1";
        let rows = limited(async { Ok(self.client.query(GRANTERS, &[]).await?) }).await?;
        Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
    }

    async fn exists(&self, query: &str, name: &str) -> Result<bool, AdminError> {
        Ok(self.client.query_opt(query, &[&name]).await?.is_some())
    }

    async fn row(&self, query: &str) -> Result<tokio_postgres::Row, AdminError> {
        Ok(self.client.query_one(query, &[]).await?)
    }

    async fn run(&self, statement: &str) -> Result<(), AdminError> {
        match self.client.batch_execute(statement).await {
            // Another attempt's, still under way in the server.
            Err(error) if error.code() == Some(&SqlState::DUPLICATE_DATABASE) => Ok(()),
            result => Ok(result?),
        }
    }
}

/// The SCRAM verifier of a password: the password itself never travels.
pub(crate) fn verifier(password: &[u8]) -> String {
    postgres_protocol::password::scram_sha_256(password)
}

/// Checks that a name is one that a master user may have.
fn check_master(name: &str) -> Result<(), AdminError> {
    let wrong = |reason| Err(AdminError::Name { name: name.to_owned(), what: "a master user", reason });
    let reserved = name == ADMINISTRATOR
        || name.starts_with("rds_")
        || name.to_ascii_lowercase().starts_with("pg_")
        || matches!(name, "public" | "none");
    if reserved { wrong("it is reserved") } else { check_length(name).or_else(wrong) }
}

fn check_database(name: &str) -> Result<(), AdminError> {
    let wrong = |reason| Err(AdminError::Name { name: name.to_owned(), what: "a database", reason });
    let reserved = [ADMINISTRATOR, "template0", "template1"].contains(&name);
    if reserved { wrong("it is reserved") } else { check_length(name).or_else(wrong) }
}

/// PostgreSQL cuts a longer name, which might then be another's.
fn check_length(name: &str) -> Result<(), &'static str> {
    match name.len() {
        1..=63 if !name.contains(['\0', '\n', '\r']) => Ok(()),
        _ => Err("expected 1 to 63 bytes in one line"),
    }
}

/// `aurora_version()`; Amazon numbers its releases by PostgreSQL's and a patch.
fn aurora_version(version: &str) -> String {
    let version = quote_literal(&format!("{version}.0"));
    format!(
        "CREATE OR REPLACE FUNCTION pg_catalog.aurora_version() RETURNS text \
         LANGUAGE sql IMMUTABLE PARALLEL SAFE AS {}",
        quote_literal(&format!("SELECT {version}::text"))
    )
}

fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A literal that means the same whatever `standard_conforming_strings` says.
fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') {
        format!(" E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

async fn limited<T>(work: impl Future<Output = Result<T, AdminError>>) -> Result<T, AdminError> {
    tokio::time::timeout(LIMIT, work).await.unwrap_or(Err(AdminError::TimedOut))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_stay_inside_their_quotes() {
        assert_eq!(quote_identifier("a\"; DROP ROLE b; --"), "\"a\"\"; DROP ROLE b; --\"");
        assert_eq!(quote_literal("it's"), "'it''s'");
        assert_eq!(quote_literal("\\'; DROP"), " E'\\\\''; DROP'");
        assert!(aurora_version("15.18").ends_with("AS 'SELECT ''15.18.0''::text'"));
    }

    #[test]
    fn reserved_names_are_refused() {
        for name in
            ["rdsadmin", "rds_superuser", "pg_read_all_data", "PG_x", "public", "", "a\nb", &"a".repeat(64)]
        {
            assert!(check_master(name).is_err(), "{name}");
        }
        for name in ["postgres", "admin1", "Über"] {
            check_master(name).unwrap();
        }
        assert!(check_database("rdsadmin").is_err() && check_database("mydb").is_ok());
    }

    #[test]
    fn a_verifier_holds_no_password() {
        let text = verifier(b"Master-pass-1");
        assert!(text.starts_with("SCRAM-SHA-256$4096:") && !text.contains("Master"), "{text}");
    }
}
