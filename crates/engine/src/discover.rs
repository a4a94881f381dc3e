//! Finds the PostgreSQL servers that are installed on this machine.

use crate::OsUser;
use futures_util::future::join_all;
use iam::{Engine, Product};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use store::records::EngineVersion;

/// The oldest major version that is served.
pub const OLDEST_MAJOR: u32 = 14;

/// Where distributions put every major version into a folder of its own: what is before it, what it starts with, and what
/// is behind it.
const DISTRIBUTIONS: [(&str, &str, &str); 2] =
    [("/usr/lib/postgresql", "", "bin"), ("/usr", "pgsql-", "bin")];

/// A PostgreSQL server that is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// The major version, such as 15.
    pub major: u32,
    /// The version, such as `15.18`.
    pub version: String,
    /// The folder of its programs.
    pub bin_dir: PathBuf,
}

impl Installation {
    /// One of its programs.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.bin_dir.join(name)
    }
}

/// Finds the servers of major version 14 and later: in `configured` folders, where distributions have them, and on `PATH`.
///
/// Of several with one major version the first found is taken, in that order. What does not run or is too old is logged
/// and left out. Sorted by major version.
pub async fn discover(configured: &[PathBuf], user: &OsUser) -> Vec<Installation> {
    let mut places: Vec<PathBuf> = Vec::new();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let named = configured.iter().cloned().chain(distributions()).chain(std::env::split_paths(&path));
    for place in named {
        // A link such as /usr/bin/postgres leads to the folder that has initdb too.
        let Ok(program) = place.join("postgres").canonicalize() else { continue };
        match program.parent() {
            Some(folder) if folder.join("initdb").is_file() && !places.iter().any(|p| p == folder) => {
                places.push(folder.to_owned());
            }
            _ => {}
        }
    }
    for folder in configured.iter().filter(|folder| !folder.join("postgres").exists()) {
        tracing::warn!(folder = %folder.display(), "a configured folder has no program `postgres`");
    }

    let mut found: BTreeMap<u32, Installation> = BTreeMap::new();
    for installation in join_all(places.iter().map(|place| inspect(place, user))).await.into_iter().flatten()
    {
        if installation.major < OLDEST_MAJOR {
            let Installation { version, bin_dir, .. } = installation;
            tracing::info!(%version, folder = %bin_dir.display(), "PostgreSQL is older than {OLDEST_MAJOR}: not used");
        } else {
            found.entry(installation.major).or_insert(installation);
        }
    }
    found.into_values().collect()
}

/// The engine versions that the installed servers can serve.
pub fn engine_versions(installations: &[Installation]) -> Vec<EngineVersion> {
    let of = |engine: &'static Engine| {
        installations.iter().map(move |installation| EngineVersion {
            engine: *engine,
            version: installation.version.clone(),
            family: format!("{engine}{}", installation.major),
        })
    };
    Product::PostgreSql.engines().iter().flat_map(of).collect()
}

fn distributions() -> impl Iterator<Item = PathBuf> {
    DISTRIBUTIONS.into_iter().flat_map(|(folder, prefix, suffix)| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut versions: Vec<PathBuf> = entries
            .filter(|entry| {
                let name = entry.file_name();
                let version = name.to_str().and_then(|name| name.strip_prefix(prefix)).unwrap_or_default();
                !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit() || b == b'.')
            })
            .map(|entry| entry.path().join(suffix))
            .collect();
        versions.sort();
        versions
    })
}

async fn inspect(bin_dir: &Path, user: &OsUser) -> Option<Installation> {
    let program = bin_dir.join("postgres");
    let output = user.command(&program).arg("--version").output().await;
    let text = match &output {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout),
        Ok(output) => {
            tracing::warn!(program = %program.display(), status = %output.status, "`postgres --version` fails");
            return None;
        }
        Err(error) => {
            tracing::warn!(program = %program.display(), %error, "cannot be run");
            return None;
        }
    };
    let parsed = parse_version(&text);
    if parsed.is_none() {
        tracing::warn!(program = %program.display(), answer = text.trim(), "not a released PostgreSQL");
    }
    let (major, version) = parsed?;
    Some(Installation { major, version, bin_dir: bin_dir.to_owned() })
}

/// Reads `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn parse_version(text: &str) -> Option<(u32, String)> {
    let version = text.split_once("(PostgreSQL)")?.1.split_whitespace().next()?;
    let (major, minor) = version.split_once('.')?;
    let _minor: u32 = minor.parse().ok()?;
    Some((major.parse().ok()?, version.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn versions() {
        let read = |text| parse_version(text).map(|(major, version)| format!("{major} {version}"));
        assert_eq!(
            read("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n").as_deref(),
            Some("15 15.18")
        );
        assert_eq!(read("postgres (PostgreSQL) 17.4\n").as_deref(), Some("17 17.4"));
        for bad in ["", "postgres (PostgreSQL) 18devel", "postgres (PostgreSQL) 18beta1", "mysqld 8.4"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn a_link_leads_to_the_folder_and_one_of_a_major_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        for (place, version) in [("a", "97.1"), ("b", "97.2"), ("c", "9.6"), ("d", "98.0")] {
            let bin = folder.path().join(place);
            std::fs::create_dir(&bin).unwrap();
            for program in ["postgres", "initdb"] {
                let script = format!("#!/bin/sh\necho \"$0 (PostgreSQL) {version}\"\n");
                std::fs::write(bin.join(program), script).unwrap();
                std::fs::set_permissions(bin.join(program), std::fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
        let linked = folder.path().join("links");
        std::fs::create_dir(&linked).unwrap();
        std::os::unix::fs::symlink(folder.path().join("d/postgres"), linked.join("postgres")).unwrap();

        let configured = ["a", "b", "c", "links", "nowhere"].map(|place| folder.path().join(place));
        let user = OsUser::resolve(None).unwrap();
        let found = discover(&configured, &user).await;
        let ours: Vec<_> = found.iter().filter(|i| i.major > 90).collect();
        assert_eq!(ours.len(), 2, "{found:?}");
        assert_eq!((ours[0].version.as_str(), ours[0].bin_dir.ends_with("a")), ("97.1", true));
        assert_eq!((ours[1].version.as_str(), ours[1].bin_dir.ends_with("d")), ("98.0", true));
        assert!(found.iter().all(|i| i.major >= OLDEST_MAJOR));

        let versions = engine_versions(&found);
        assert!(
            versions
                .iter()
                .any(|v| v.engine == Engine::AuroraPostgresql && v.family == "aurora-postgresql97")
        );
        assert_eq!(versions.len(), 2 * found.len());
    }
}
