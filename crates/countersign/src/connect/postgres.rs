//! Running `psql`. All it is told stands in its environment, so that its own arguments (`-d other`, a database name) work as they
//! always do, and so that `\c` keeps it; the token alone is in a password file, which `psql` reads again at each `\c`.

use super::folder::Private;
use super::{Session, version};
use anyhow::bail;
use std::path::Path;
use std::process::Command;
use zeroize::Zeroizing;

const PASSWORD_FILE: &str = "pgpass";

/// The first version of `psql` that reads password files with lines of any length.
const LONG_LINES: u32 = 13;

/// What of libpq's environment is not about whom to talk to, and how well protected.
const KEPT: [&str; 14] = [
    "PGAPPNAME",
    "PGCLIENTENCODING",
    "PGCONNECT_TIMEOUT",
    "PGDATABASE",
    "PGDATESTYLE",
    "PGGEQO",
    "PGLOCALEDIR",
    "PGOPTIONS",
    "PGSSLCRL",
    "PGSSLCRLDIR",
    "PGSSLMINPROTOCOLVERSION",
    "PGSYSCONFDIR",
    "PGTARGETSESSIONATTRS",
    "PGTZ",
];

/// The command, but for the user's arguments; and how the token gets to it.
pub(super) fn command(
    program: &Path,
    session: &Session<'_>,
    folder: &Private,
) -> anyhow::Result<(Command, PasswordFile)> {
    let said = version(program, &["--version"])?;
    let Some(major) = major(&said) else {
        bail!("`{}` is not psql: `--version` says `{}`", program.display(), said.trim());
    };
    let mut command = Command::new(program);
    let names = std::env::vars_os().map(|(name, _)| name);
    for name in names.filter(|name| name.to_str().is_some_and(overrides)) {
        command.env_remove(name);
    }
    command
        .env("PGHOST", session.host.bare())
        .env("PGPORT", session.port.to_string())
        .env("PGUSER", session.user)
        .env("PGSSLMODE", "verify-full")
        .env("PGSSLROOTCERT", session.authorities)
        // With Kerberos tickets around it would go before TLS, and nobody's certificate be looked at.
        .env("PGGSSENCMODE", "disable");
    if let Some(database) = session.database {
        command.env("PGDATABASE", database);
    }
    let file = PasswordFile { before: before(session) };
    if major < LONG_LINES {
        command.env("PGPASSWORD", session.token);
    } else {
        command.env("PGPASSFILE", file.put(session.token, folder)?);
    }
    Ok((command, file))
}

/// Whether a variable of libpq's would have a say in what is set here.
fn overrides(name: &str) -> bool {
    name.starts_with("PG") && !KEPT.contains(&name)
}

/// `psql (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`
fn major(version: &str) -> Option<u32> {
    let number = version.strip_prefix("psql (PostgreSQL) ")?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The file with the token.
#[derive(Debug)]
pub(super) struct PasswordFile {
    before: String,
}

impl PasswordFile {
    /// Puts a token there, in the place of the one before.
    pub(super) fn put(&self, token: &str, folder: &Private) -> anyhow::Result<std::path::PathBuf> {
        let line = Zeroizing::new(format!("{}{}\n", self.before, escaped(token).as_str()));
        folder.put(PASSWORD_FILE, &line)
    }
}

/// The line up to the password: for this host, port and user alone, for any database.
fn before(session: &Session<'_>) -> String {
    let (host, user) = (escaped(session.host.bare()), escaped(session.user));
    format!("{}:{}:*:{}:", host.as_str(), session.port, user.as_str())
}

fn escaped(text: &str) -> Zeroizing<String> {
    // Room for all of it: what grows is copied, and the copy left behind.
    let mut escaped = Zeroizing::new(String::with_capacity(2 * text.len()));
    for c in text.chars() {
        if matches!(c, ':' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_password_file() {
        let folder = Private::new().unwrap();
        let host = "::1".parse().unwrap();
        let session = Session {
            host: &host,
            port: 5432,
            user: "a:b\\c",
            database: None,
            authorities: Path::new("/ca"),
            token: "",
        };
        let file = PasswordFile { before: before(&session) };
        let path = file.put("h:1/?a=\\", &folder).unwrap();
        let line = std::fs::read_to_string(path).unwrap();
        assert_eq!(line, "\\:\\:1:5432:*:a\\:b\\\\c:h\\:1/?a=\\\\\n");
    }

    #[test]
    fn versions_and_variables() {
        assert_eq!(major("psql (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"), Some(15));
        assert_eq!(major("psql (PostgreSQL) 9.6.24"), Some(9));
        assert_eq!(major("psql (PostgreSQL) 19devel"), Some(19));
        assert_eq!(major("mysql  Ver 15.1"), None);
        for name in ["PGPASSWORD", "PGSSLMODE", "PGHOSTADDR", "PGSERVICE", "PGREQUIREAUTH", "PGNEW"] {
            assert!(overrides(name), "{name}");
        }
        assert!(!overrides("PGAPPNAME") && !overrides("PSQL_PAGER") && KEPT.is_sorted());
    }
}
