//! Finds the database servers that are installed on this machine.

use crate::OsUser;
use futures_util::future::join_all;
use iam::{Engine, Product};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use store::records::EngineVersion;

/// A product's programs, and where distributions and makers put them.
struct Search {
    product: Product,
    /// The server's program.
    server: &'static str,
    /// What must lie beside it.
    beside: &'static [&'static str],
    /// Folders with one installation.
    folders: &'static [&'static str],
    /// Folders with one folder per series: what is before it, what it starts with, and what is behind it.
    series: &'static [(&'static str, &'static str, &'static str)],
}

const SEARCHES: [Search; 3] = [
    Search {
        product: Product::PostgreSql,
        server: "postgres",
        beside: &["initdb"],
        folders: &[],
        series: &[("/usr/lib/postgresql", "", "bin"), ("/usr", "pgsql-", "bin")],
    },
    Search {
        product: Product::MySql,
        server: "mysqld",
        beside: &[],
        folders: &["/usr/sbin", "/usr/libexec", "/usr/local/mysql/bin", "/opt/mysql/bin"],
        series: &[("/usr/local", "mysql-", "bin"), ("/opt", "mysql-", "bin")],
    },
    Search {
        product: Product::MariaDb,
        server: "mariadbd",
        beside: &[],
        folders: &["/usr/sbin", "/usr/libexec", "/usr/local/mariadb/bin", "/opt/mariadb/bin"],
        series: &[("/usr/local", "mariadb-", "bin"), ("/opt", "mariadb-", "bin")],
    },
];

/// The oldest series of a product that is served.
pub fn oldest(product: Product) -> &'static str {
    match product {
        Product::PostgreSql => "14",
        Product::MySql => "8.0",
        Product::MariaDb => "10.6",
    }
}

/// A database server that is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// The product.
    pub product: Product,
    /// The series, such as `15` or `10.11`.
    pub series: String,
    /// The version, such as `15.18` or `10.11.19`.
    pub version: String,
    /// The folder of its programs.
    pub bin_dir: PathBuf,
}

impl Installation {
    /// One of its programs.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.bin_dir.join(name)
    }

    /// The server's program.
    pub(crate) fn server(&self) -> PathBuf {
        let search = SEARCHES.iter().find(|search| search.product == self.product);
        self.program(search.map_or_else(Default::default, |search| search.server))
    }

    /// The first number of its version.
    pub(crate) fn major(&self) -> u32 {
        numbers(&self.version).first().copied().unwrap_or_default()
    }
}

/// Finds the servers that can be run, of a series that is served: in `configured` folders, where distributions have them,
/// and on `PATH`.
///
/// Of several of one series the first found is taken, in that order. What does not run or is too old is logged and left
/// out. Sorted by product and series.
pub async fn discover(configured: &BTreeMap<Product, Vec<PathBuf>>, user: &OsUser) -> Vec<Installation> {
    let none = Vec::new();
    let searches = SEARCHES.iter().map(|search| {
        let configured = configured.get(&search.product).unwrap_or(&none);
        async move { search.carry_out(configured, user).await }
    });
    join_all(searches).await.into_iter().flatten().collect()
}

impl Search {
    async fn carry_out(&self, configured: &[PathBuf], user: &OsUser) -> Vec<Installation> {
        let mut places: Vec<PathBuf> = Vec::new();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let usual = self.folders.iter().map(PathBuf::from).chain(self.per_series());
        for place in configured.iter().cloned().chain(usual).chain(std::env::split_paths(&path)) {
            // A link such as /usr/bin/postgres leads to the folder that has the other programs too.
            let Ok(program) = place.join(self.server).canonicalize() else { continue };
            // MariaDB's program has MySQL's name too, by a link to its own.
            let same_name = program.file_name().is_some_and(|name| name == self.server);
            match program.parent() {
                Some(folder)
                    if same_name
                        && self.beside.iter().all(|other| folder.join(other).is_file())
                        && !places.iter().any(|place| place == folder) =>
                {
                    places.push(folder.to_owned());
                }
                _ => {}
            }
        }
        for folder in configured.iter().filter(|folder| !folder.join(self.server).exists()) {
            tracing::warn!(folder = %folder.display(), "a configured folder has no program `{}`", self.server);
        }

        let oldest = numbers(oldest(self.product));
        let mut found: BTreeMap<Vec<u32>, Installation> = BTreeMap::new();
        let inspected = join_all(places.iter().map(|place| self.inspect(place, user))).await;
        for installation in inspected.into_iter().flatten() {
            let series = numbers(&installation.series);
            if series < oldest {
                let Installation { product, version, bin_dir, .. } = installation;
                tracing::info!(%product, %version, folder = %bin_dir.display(), "too old: not used");
            } else {
                found.entry(series).or_insert(installation);
            }
        }
        found.into_values().collect()
    }

    fn per_series(&self) -> impl Iterator<Item = PathBuf> {
        self.series.iter().flat_map(|(folder, prefix, suffix)| {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            let mut versions: Vec<PathBuf> = entries
                .filter(|entry| {
                    let name = entry.file_name();
                    let version = name.to_str().and_then(|name| name.strip_prefix(prefix));
                    version.is_some_and(|version| version.starts_with(|first: char| first.is_ascii_digit()))
                })
                .map(|entry| entry.path().join(suffix))
                .collect();
            versions.sort();
            versions
        })
    }

    async fn inspect(&self, bin_dir: &Path, user: &OsUser) -> Option<Installation> {
        let program = bin_dir.join(self.server);
        let output = user.command(&program).arg("--version").output().await;
        let text = match &output {
            Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout),
            Ok(output) => {
                tracing::warn!(program = %program.display(), status = %output.status, "`--version` fails");
                return None;
            }
            Err(error) => {
                tracing::warn!(program = %program.display(), %error, "cannot be run");
                return None;
            }
        };
        match parse_version(&text) {
            Some((product, version)) if product == self.product => Some(Installation {
                product,
                series: product.series(&version).to_owned(),
                version,
                bin_dir: bin_dir.to_owned(),
            }),
            // MariaDB's program has MySQL's name too.
            Some(_) => None,
            None => {
                let (program, product) = (program.display(), self.product);
                tracing::warn!(%program, answer = text.trim(), "not a released {product}");
                None
            }
        }
    }
}

/// The engine versions that the installed servers can serve.
pub fn engine_versions(installations: &[Installation]) -> Vec<EngineVersion> {
    let of = |installation: &Installation| {
        let Installation { product, series, version, .. } = installation.clone();
        product.engines().iter().map(move |engine| EngineVersion {
            engine: *engine,
            version: match engine {
                // Amazon's own number of the release is behind the dots.
                Engine::AuroraMysql => format!("{series}.mysql_aurora.{version}"),
                _ => version.clone(),
            },
            family: format!("{engine}{series}"),
        })
    };
    installations.iter().flat_map(of).collect()
}

fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map_while(|part| part.parse().ok()).collect()
}

/// Reads what the servers say of themselves:
///
/// * `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`
/// * `/usr/sbin/mysqld  Ver 8.4.3 for Linux on x86_64 (MySQL Community Server - GPL)`
/// * `mariadbd  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)`
fn parse_version(text: &str) -> Option<(Product, String)> {
    let (product, version, parts) = match text.split_once("(PostgreSQL)") {
        Some((_, behind)) => (Product::PostgreSql, behind.split_whitespace().next()?, 2),
        None => {
            let word = text.split_once("Ver ")?.1.split_whitespace().next()?;
            let (version, rest) = word.split_once('-').unwrap_or((word, ""));
            let product = if rest.contains("MariaDB") { Product::MariaDb } else { Product::MySql };
            (product, version, 3)
        }
    };
    let whole = version.split('.').count() == parts && numbers(version).len() == parts;
    whole.then(|| (product, version.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn versions() {
        let read = |text| parse_version(text).map(|(product, version)| format!("{product} {version}"));
        for (text, expected) in [
            ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", "PostgreSQL 15.18"),
            ("postgres (PostgreSQL) 17.4\n", "PostgreSQL 17.4"),
            (
                "/usr/sbin/mysqld  Ver 8.4.3 for Linux on x86_64 (MySQL Community Server - GPL)\n",
                "MySQL 8.4.3",
            ),
            ("mysqld  Ver 9.7.4-2 for Linux on x86_64 ((Debian))\n", "MySQL 9.7.4"),
            (
                "mariadbd  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)\n",
                "MariaDB 10.11.19",
            ),
            (
                "/usr/sbin/mysqld  Ver 11.4.2-MariaDB-log for Linux on x86_64 (MariaDB Server)\n",
                "MariaDB 11.4.2",
            ),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected));
        }
        for bad in
            ["", "postgres (PostgreSQL) 18devel", "postgres (PostgreSQL) 18beta1", "mysqld 8.4", "Ver 8.4"]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_engines_of_an_installation() {
        let installation = |product: Product, version: &str| Installation {
            product,
            series: product.series(version).to_owned(),
            version: version.to_owned(),
            bin_dir: PathBuf::new(),
        };
        let installations = [
            installation(Product::PostgreSql, "15.18"),
            installation(Product::MySql, "8.4.3"),
            installation(Product::MariaDb, "10.11.19"),
        ];
        let found: Vec<_> = engine_versions(&installations)
            .iter()
            .map(|v| format!("{} {} {}", v.engine, v.version, v.family))
            .collect();
        assert_eq!(
            found,
            [
                "postgres 15.18 postgres15",
                "aurora-postgresql 15.18 aurora-postgresql15",
                "mysql 8.4.3 mysql8.4",
                "aurora-mysql 8.4.mysql_aurora.8.4.3 aurora-mysql8.4",
                "mariadb 10.11.19 mariadb10.11",
            ]
        );
    }

    #[tokio::test]
    async fn a_link_leads_to_the_folder_and_one_of_a_series_is_taken() {
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
        let configured = BTreeMap::from([(Product::PostgreSql, configured.to_vec())]);
        let user = OsUser::resolve(None).unwrap();
        let found = discover(&configured, &user).await;
        let ours: Vec<_> = found.iter().filter(|i| i.major() > 90).collect();
        assert_eq!(ours.len(), 2, "{found:?}");
        assert_eq!((ours[0].version.as_str(), ours[0].bin_dir.ends_with("a")), ("97.1", true));
        assert_eq!((ours[1].version.as_str(), ours[1].bin_dir.ends_with("d")), ("98.0", true));
        assert!(found.iter().all(|i| i.product != Product::PostgreSql || i.major() >= 14));
    }
}
