//! The MySQL and MariaDB servers and clients that tests drive: where they are, or which command brings them.
//!
//! The same rules as `scripts/install-deps.sh` has: what the machine has is taken if it is recent enough, then what was
//! unpacked into `.cache/servers`.

use crate::program::run;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The kinds of server that a login goes through in ways of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavor {
    /// MySQL 8.0 or later.
    MySql,
    /// MariaDB 10.6 or later, as the machine has it: before 11.4 it does not tell plugins about TLS.
    MariaDb,
    /// MariaDB 11.4 or later: it does.
    RecentMariaDb,
}

impl Flavor {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::MySql, Self::MariaDb, Self::RecentMariaDb];

    /// `--engine` of `aws rds create-db-instance`.
    pub fn engine(self) -> &'static str {
        match self {
            Self::MySql => "mysql",
            Self::MariaDb | Self::RecentMariaDb => "mariadb",
        }
    }

    /// The server. One that is missing ends the test with the command that brings it.
    #[track_caller]
    pub fn server(self) -> Installed {
        match self {
            Self::MySql => {
                let found = find(&sbin(), &["mysqld"], Make::MySql, 8, 0);
                found.unwrap_or_else(|| install("a MySQL server, 8.0 or later,", "mysql"))
            }
            Self::MariaDb => {
                let found = find(&sbin(), &["mariadbd", "mysqld"], Make::MariaDb, 10, 6);
                found.unwrap_or_else(|| install("a MariaDB server, 10.6 or later,", "mariadb"))
            }
            Self::RecentMariaDb => {
                let found = find(&sbin(), &["mariadbd", "mysqld"], Make::MariaDb, 11, 4);
                found.unwrap_or_else(|| install("a MariaDB server, 11.4 or later,", "mariadb-new"))
            }
        }
    }
}

/// A program that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The program.
    pub program: PathBuf,
    /// Its version, such as `10.11.19`.
    pub version: String,
}

impl Installed {
    /// The folder of the program.
    pub fn folder(&self) -> &Path {
        self.program.parent().unwrap()
    }

    /// The series, such as `10.11`: as `--engine-version` may name it.
    pub fn series(&self) -> String {
        self.version.split('.').take(2).collect::<Vec<_>>().join(".")
    }
}

/// The folders of all servers, each once: what Countersign is told to look for servers in.
#[track_caller]
pub fn server_folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    for flavor in Flavor::ALL {
        let folder = flavor.server().folder().to_owned();
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders
}

/// MySQL's own command line. Debian has MariaDB's under its name too.
#[track_caller]
pub fn mysql_client() -> PathBuf {
    let found = find(&bin(), &["mysql"], Make::MySql, 0, 0);
    found.unwrap_or_else(|| install("MySQL's own client `mysql`", "mysql")).program
}

/// MariaDB's command line.
#[track_caller]
pub fn mariadb_client() -> PathBuf {
    let found = find(&bin(), &["mariadb", "mysql"], Make::MariaDb, 0, 0);
    found.unwrap_or_else(|| install("MariaDB's client `mariadb`", "mariadb")).program
}

/// The Python that has the drivers.
#[track_caller]
pub fn python() -> PathBuf {
    let program = repository().join(".cache/clients/bin/python");
    if !program.exists() {
        install("a Python with drivers of MySQL", "clients")
    }
    program
}

/// The folder with Node's drivers.
#[track_caller]
pub fn node_clients() -> PathBuf {
    let folder = repository().join(".cache/node");
    if !folder.join("node_modules/mysql2").exists() {
        install("Node's driver `mysql2`", "clients")
    }
    folder
}

/// The folder of the clients' scripts.
pub fn client_scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// The blocks of a language in `docs/clients.md`, each with the heading above it.
pub fn documented(language: &str) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(repository().join("docs/clients.md")).expect("docs/clients.md");
    let fence = format!("```{language}");
    let (mut heading, mut block, mut blocks) = (String::new(), None::<String>, Vec::new());
    for line in text.lines() {
        match &mut block {
            Some(_) if line == "```" => blocks.extend(block.take().map(|block| (heading.clone(), block))),
            Some(block) => {
                block.push_str(line);
                block.push('\n');
            }
            None if line == fence => block = Some(String::new()),
            None if line.starts_with('#') => line.trim_start_matches(['#', ' ']).clone_into(&mut heading),
            None => {}
        }
    }
    blocks
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

#[track_caller]
fn install(what: &str, part: &str) -> ! {
    panic!("this test drives {what}, which is not here: scripts/install-deps.sh {part}")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Make {
    MySql,
    MariaDb,
}

fn sbin() -> Vec<PathBuf> {
    places("sbin")
}

fn bin() -> Vec<PathBuf> {
    places("bin")
}

/// Where programs are looked for: `PATH`, where distributions have them, and what was unpacked, as `folder` of each tree.
fn places(folder: &str) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = [
        "/usr/sbin",
        "/usr/libexec",
        "/usr/bin",
        "/usr/local/mysql/bin",
        "/usr/local/sbin",
        "/usr/local/bin",
    ];
    let trees = std::fs::read_dir(repository().join(".cache/servers")).into_iter().flatten().flatten();
    // Servers come there by the path without links.
    let trees = trees.filter_map(|tree| tree.path().join("usr").join(folder).canonicalize().ok());
    let mut trees: Vec<_> = trees.collect();
    trees.sort();
    std::env::split_paths(&path).chain(usual.map(PathBuf::from)).chain(trees).collect()
}

/// The first program of one of the names that is of the make, and of the version or later.
fn find(places: &[PathBuf], names: &[&str], make: Make, major: u32, minor: u32) -> Option<Installed> {
    let programs = names.iter().flat_map(|name| places.iter().map(move |place| place.join(name)));
    programs.filter(|program| program.is_file()).find_map(|program| {
        let said = run(Command::new(&program).arg("--version"));
        let (its, version) = said.ok().then(|| read_version(&said.stdout)).flatten()?;
        let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
        let number = (numbers.next()?, numbers.next()?);
        (its == make && number >= (major, minor)).then_some(Installed { program, version })
    })
}

/// Reads what a server or a client says to `--version`. MariaDB's clients have a version of their own besides.
fn read_version(text: &str) -> Option<(Make, String)> {
    let make = if text.contains("MariaDB") { Make::MariaDb } else { Make::MySql };
    let mut words = text.split([' ', ',']).filter(|word| !word.is_empty());
    let version = words.find(|word| match make {
        Make::MariaDb => word.contains("-MariaDB"),
        Make::MySql => word.starts_with(|c: char| c.is_ascii_digit()),
    })?;
    Some((make, version.split('-').next()?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        let read = |text| read_version(text).map(|(make, version)| format!("{make:?} {version}"));
        for (text, wanted) in [
            ("/usr/sbin/mysqld  Ver 9.7.4-2 for Linux on x86_64 ((Debian))\n", "MySql 9.7.4"),
            ("mysql  Ver 8.0.43 for Linux on x86_64 (MySQL Community Server - GPL)", "MySql 8.0.43"),
            ("mariadbd  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64", "MariaDb 10.11.19"),
            ("mysql  Ver 15.1 Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)", "MariaDb 10.11.19"),
            ("mariadb from 11.8.9-MariaDB, client 15.2 for debian-linux-gnu", "MariaDb 11.8.9"),
        ] {
            assert_eq!(read(text).as_deref(), Some(wanted), "{text}");
        }
        assert_eq!(read("nothing"), None);
    }
}
