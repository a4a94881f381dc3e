//! Running MySQL's `mysql` or MariaDB's `mariadb`. The token is in an option file that takes the user's own in; what is not secret
//! stands on the command line, where it wins over every file.

use super::folder::Private;
use super::{Session, version};
use anyhow::ensure;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use zeroize::Zeroizing;

const OPTION_FILE: &str = "client.cnf";

/// The longest line of an option file that the clients read, in bytes.
const LONGEST_LINE: usize = 4000;

/// Whose client it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Make {
    MySql,
    MariaDb,
}

impl Make {
    /// From what `--version` prints. MariaDB's goes by MySQL's name too.
    fn of(version: &str) -> Option<Self> {
        match (version.contains("MariaDB"), version.contains("Ver ")) {
            (true, _) => Some(Self::MariaDb),
            (false, true) => Some(Self::MySql),
            (false, false) => None,
        }
    }

    /// TLS with the server's certificate and name checked, and the leave to send a token as it is. MariaDB's client does without.
    fn switches(self) -> &'static [&'static str] {
        match self {
            Self::MySql => &["--ssl-mode=VERIFY_IDENTITY", "--enable-cleartext-plugin"],
            Self::MariaDb => &["--ssl", "--ssl-verify-server-cert"],
        }
    }
}

/// The command, but for the user's arguments.
pub(super) fn command(program: &Path, session: &Session<'_>, folder: &Private) -> anyhow::Result<Command> {
    let said = version(program, &["--no-defaults", "--version"])?;
    let make = Make::of(&said);
    let said = said.trim();
    ensure!(
        make.is_some(),
        "`{}` is no client of MySQL or MariaDB: `--version` says `{said}`",
        program.display()
    );
    let switches = make.map(Make::switches).unwrap_or_default();

    let content = option_file(&own_files(), session.token)?;
    let mut file = OsString::from("--defaults-file=");
    file.push(folder.put(OPTION_FILE, &content)?);
    let mut authorities = OsString::from("--ssl-ca=");
    authorities.push(session.authorities);
    let mut no_more = OsString::from("--ssl-capath=");
    no_more.push(folder.root());
    let mut command = Command::new(program);
    command
        // The clients want it first.
        .arg(file)
        .arg(format!("--host={}", session.host.bare()))
        .arg(format!("--port={}", session.port))
        .arg(format!("--user={}", session.user))
        // For `localhost` they would take a socket.
        .arg("--protocol=TCP")
        .args(switches)
        .arg(authorities)
        // A folder of authorities in the user's own files would vouch for the server besides: this one has none.
        .arg(no_more)
        // `~/.mylogin.cnf` is read besides, and its password would win.
        .env("MYSQL_TEST_LOGIN_FILE", folder.path("none"))
        .env_remove("MYSQL_PWD")
        .env_remove("MYSQL_HOST")
        .env_remove("MYSQL_TCP_PORT");
    if let Some(database) = session.database {
        command.arg(format!("--database={database}"));
    }
    Ok(command)
}

/// The option files that the clients read by themselves, those that there are.
fn own_files() -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".my.cnf"));
    let all = ["/etc/my.cnf", "/etc/mysql/my.cnf"].map(PathBuf::from).into_iter().chain(home);
    all.filter(|file| file.is_absolute() && file.is_file()).collect()
}

/// What stands last wins, whichever group it is in.
fn option_file(own: &[PathBuf], token: &str) -> anyhow::Result<Zeroizing<String>> {
    let mut content = Zeroizing::new(String::with_capacity(1024 + own.len() * 512 + 2 * token.len()));
    for file in own.iter().filter_map(|file| file.to_str()).filter(|file| !file.contains('\n')) {
        content.push_str("!include ");
        content.push_str(file);
        content.push('\n');
    }
    content.push_str("[client]\npassword=\"");
    let before = content.len();
    for c in token.chars() {
        if matches!(c, '\\' | '"') {
            content.push('\\');
        }
        content.push(c);
    }
    let length = content.len() - before;
    ensure!(
        length <= LONGEST_LINE,
        "the token is too long for the client: {length} bytes, and a line of its option files has {LONGEST_LINE}; credentials with a \
         shorter session token are needed (fewer session tags, no session policy)"
    );
    content.push_str("\"\n");
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_goes_after_the_users_own_files() {
        let own = [PathBuf::from("/etc/my.cnf"), PathBuf::from("/home/a b/.my.cnf")];
        let content = option_file(&own, "h:1/?a=%2F\"\\").unwrap();
        let expected =
            "!include /etc/my.cnf\n!include /home/a b/.my.cnf\n[client]\npassword=\"h:1/?a=%2F\\\"\\\\\"\n";
        assert_eq!(*content, expected);
        assert!(option_file(&[], &"x".repeat(LONGEST_LINE)).is_ok());
        let error = option_file(&[], &"x".repeat(LONGEST_LINE + 1)).unwrap_err().to_string();
        assert!(error.contains("4001") && !error.contains("xxx"), "{error}");
    }

    #[test]
    fn a_client_says_whose_it_is() {
        for (version, make) in [
            ("mysql  Ver 15.1 Distrib 10.11.14-MariaDB, for debian-linux-gnu (x86_64)", Some(Make::MariaDb)),
            ("mariadb from 11.8.3-MariaDB, client 15.2 for debian-linux-gnu", Some(Make::MariaDb)),
            ("mysql  Ver 8.0.43 for Linux on x86_64 (MySQL Community Server - GPL)", Some(Make::MySql)),
            ("/x/mysql  Ver 9.7.4-1 for Linux on x86_64 ((Debian))", Some(Make::MySql)),
            ("psql (PostgreSQL) 15.18", None),
        ] {
            assert_eq!(Make::of(version), make, "{version}");
        }
    }
}
