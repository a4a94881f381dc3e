//! Makes MySQL's and MariaDB's data directories, in which nobody has an account that could log in.
//!
//! MySQL's server does it itself. MariaDB's is fed the scripts that make its system tables, which lie beside it: its own
//! shell script for that works in the place alone that it was built for.

use super::flavor::Flavor;
use crate::layout::{FileError, remove_file, write_file};
use crate::template::TemplateError;
use crate::{Installation, OsUser};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::AsyncWriteExt;

/// Its scripts, by their names up to 10.x and since, in the order in which they are needed.
const SCRIPTS: [(&str, &str); 6] = [
    ("mysql_system_tables.sql", "mariadb_system_tables.sql"),
    ("mysql_performance_tables.sql", "mariadb_performance_tables.sql"),
    ("mysql_system_tables_data.sql", "mariadb_system_tables_data.sql"),
    ("fill_help_tables.sql", "fill_help_tables.sql"),
    ("maria_add_gis_sp_bootstrap.sql", "maria_add_gis_sp_bootstrap.sql"),
    ("mysql_sys_schema.sql", "mariadb_sys_schema.sql"),
];

/// Where the scripts may lie, seen from the folder that has the server's `bin` or `sbin`.
const SHARES: [&str; 3] = ["share/mariadb", "share/mysql", "share"];

/// What a server makes for itself at its first start, or must not have from another one.
const OWN: [&str; 3] = ["auto.cnf", "private_key.pem", "public_key.pem"];

/// Redo logs that are no larger than they must be: they are part of every copy, and the server makes them as large as it
/// is told at its start.
const MYSQL: [&str; 7] = [
    "--initialize-insecure",
    "--auto-generate-certs=OFF",
    "--caching-sha2-password-auto-generate-rsa-keys=OFF",
    "--secure-file-priv=NULL",
    "--skip-log-bin",
    "--loose-innodb-redo-log-capacity=8M",
    "--innodb-buffer-pool-size=32M",
];
const MARIADB: [&str; 8] = [
    "--bootstrap",
    // The tables are of Aria and InnoDB, whatever the server was built to make otherwise.
    "--enforce-storage-engine=",
    "--skip-log-bin",
    "--innodb-log-file-size=8M",
    "--innodb-buffer-pool-size=32M",
    "--max-allowed-packet=8M",
    "--net-buffer-length=16K",
    "--log-warnings=0",
];

/// The folder that an installation's other files are found from.
pub(crate) fn base(installation: &Installation) -> PathBuf {
    installation.bin_dir.parent().unwrap_or(Path::new("/")).to_owned()
}

/// The folder with MariaDB's scripts and messages, if it is where they usually are.
pub(crate) fn share(installation: &Installation) -> Option<PathBuf> {
    let base = base(installation);
    SHARES.iter().map(|share| base.join(share)).find(|share| share.join("charsets/Index.xml").is_file())
}

/// Makes a data directory in an empty folder of the user's.
pub(crate) async fn initialise(
    user: &OsUser,
    installation: &Installation,
    data: &Path,
) -> Result<(), TemplateError> {
    let program = installation.server();
    let unaccounted = data.with_extension("new.sql");
    let (options, script) = if Flavor::of(installation).is_mysql() {
        write_file(&unaccounted, NO_ROOT.as_bytes(), 0o644, None)?;
        (MYSQL.as_slice(), String::new())
    } else {
        (MARIADB.as_slice(), script(installation)?)
    };
    let mut command = user.command(&program);
    command
        // It must be the first, and keeps out what the machine's own server is told.
        .arg("--no-defaults")
        .args(options)
        .arg(argument("--datadir=", data))
        // Not one that others share: MariaDB deletes their temporary tables.
        .arg(argument("--tmpdir=", data))
        .arg(argument("--basedir=", &base(installation)))
        .current_dir(data);
    if Flavor::of(installation).is_mysql() {
        command.arg(argument("--init-file=", &unaccounted));
    } else if let Some(share) = share(installation) {
        command
            .arg(argument("--lc-messages-dir=", &share))
            .arg(argument("--character-sets-dir=", &share.join("charsets")));
    }
    let run = |source| TemplateError::Run { program: program.clone(), source };
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(run)?;
    let input = child.stdin.take();
    let feed = async {
        if let Some(mut input) = input {
            // One that ended early says why itself.
            let _fed = input.write_all(script.as_bytes()).await;
        }
    };
    let ((), output) = tokio::join!(feed, child.wait_with_output());
    let output = output.map_err(run)?;
    let said = String::from_utf8_lossy(&output.stderr);
    let complaints: Vec<&str> = said.lines().filter(|line| line.contains("ERROR")).collect();
    // MariaDB's goes on after a statement that failed.
    if !output.status.success() || !complaints.is_empty() {
        let said =
            if complaints.is_empty() { said.trim().replace('\n', "; ") } else { complaints.join("; ") };
        return Err(TemplateError::Failed { program, said });
    }
    remove_file(&unaccounted)?;
    for name in OWN {
        remove_file(&data.join(name))?;
    }
    Ok(())
}

/// Run as a part of MySQL's making; statements about accounts are not to be had there. What is left belongs to the server
/// itself and is locked.
const NO_ROOT: &str = "DELETE FROM mysql.user WHERE user = 'root';\n\
                       DELETE FROM mysql.proxies_priv WHERE user = 'root';\n\
                       DELETE FROM mysql.global_grants WHERE user = 'root';\n";

/// What MariaDB's server is fed.
fn script(installation: &Installation) -> Result<String, TemplateError> {
    let base = base(installation);
    let folders: Vec<PathBuf> = SHARES.iter().map(|share| base.join(share)).collect();
    let mut script = "CREATE DATABASE mysql;\nUSE mysql;\n\
                      SET @auth_root_socket = NULL, @skip_auth_anonymous = 1;\n"
        .to_owned();
    for (old, new) in SCRIPTS {
        let places = folders.iter().flat_map(|folder| [folder.join(new), folder.join(old)]);
        let Some(path) = places.into_iter().find(|place| place.is_file()) else {
            let share = base.join("share");
            return Err(TemplateError::Failed {
                program: installation.server(),
                said: format!(
                    "its script `{new}` is not under `{}`: install the server with all its files, such as Debian's \
                     `mariadb-server-core`",
                    share.display()
                ),
            });
        };
        script.push_str(&std::fs::read_to_string(&path).map_err(FileError::of(&path))?);
        script.push('\n');
    }
    script.push_str(
        "DELETE FROM mysql.global_priv WHERE User <> 'mariadb.sys';\n\
         DELETE FROM mysql.proxies_priv;\n\
         DELETE FROM mysql.db;\n",
    );
    Ok(script)
}

/// An option with a path.
pub(crate) fn argument(option: &str, path: &Path) -> std::ffi::OsString {
    let mut argument = std::ffi::OsString::from(option);
    argument.push(path);
    argument
}
