//! Where MySQL and MariaDB, and their series, differ. What is not in here holds for all of them.

use crate::Installation;
use iam::Product;
use std::path::PathBuf;

/// A product in a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flavor {
    product: Product,
    series: (u32, u32),
}

impl Flavor {
    pub(crate) fn of(installation: &Installation) -> Self {
        let mut numbers = installation.series.split('.').map(|part| part.parse().unwrap_or_default());
        let series = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
        Self { product: installation.product, series }
    }

    pub(crate) fn is_mysql(self) -> bool {
        self.product == Product::MySql
    }

    /// Whether the server tells its plugins of the session's TLS. Where it does not, nothing but
    /// `require_secure_transport` keeps tokens out of plain text. Releases of MySQL 8.0 differ: none is relied on.
    pub(crate) fn tells_tls(self) -> bool {
        self.series >= if self.is_mysql() { (8, 4) } else { (11, 4) }
    }

    /// Whether `bind_address` may be a list.
    pub(crate) fn takes_addresses(self) -> bool {
        self.is_mysql() || self.series >= (10, 11)
    }

    /// Whether the master user can be kept from the tables that say who may do what: by partial revokes, and because
    /// the administrator's account is a system user's.
    pub(crate) fn has_partial_revokes(self) -> bool {
        self.is_mysql()
    }

    /// The statement that makes new connections have the certificate that stands in the file.
    pub(crate) fn reload_tls(self) -> &'static str {
        if self.is_mysql() { "ALTER INSTANCE RELOAD TLS" } else { "FLUSH LOCAL SSL" }
    }

    /// What only this product's option file has.
    pub(crate) fn own_options(self) -> &'static [(&'static str, &'static str)] {
        if self.is_mysql() {
            // Those that are loose are a plugin's, which a build need not have.
            &[
                // No file of the machine is read or written by a statement.
                ("secure_file_priv", "NULL"),
                ("loose_mysqlx", "OFF"),
                ("partial_revokes", "ON"),
                // Nobody but a parameter group says how the next start goes.
                ("persisted_globals_load", "OFF"),
                ("auto_generate_certs", "OFF"),
                // Without it passwords are accepted over TLS, or not at all.
                ("caching_sha2_password_auto_generate_rsa_keys", "OFF"),
            ]
        } else {
            &[("symbolic_links", "OFF"), ("loose_feedback", "OFF")]
        }
    }

    /// Files that are small on a developer's machine; a parameter group may say more.
    pub(crate) fn log_size(self) -> (&'static str, &'static str) {
        // MySQL's came with 8.0.30.
        if self.is_mysql() {
            ("loose_innodb_redo_log_capacity", "33554432")
        } else {
            ("innodb_log_file_size", "33554432")
        }
    }

    /// Where the server's stock plugins may lie, seen from the folder that has its `bin` or `sbin`.
    pub(crate) fn plugin_dirs(self) -> Vec<PathBuf> {
        let name = if self.is_mysql() { "mysql" } else { "mariadb" };
        let triplet = format!("{}-linux-gnu", std::env::consts::ARCH);
        let mut places = Vec::new();
        for lib in ["lib64", "lib", &format!("lib/{triplet}")] {
            for folder in [name, "mysql", "mariadb19", ""] {
                places.push(PathBuf::from(lib).join(folder).join("plugin"));
            }
        }
        places
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn flavor(product: Product, series: &str) -> Flavor {
        Flavor::of(&Installation {
            product,
            series: series.into(),
            version: format!("{series}.1"),
            bin_dir: PathBuf::from("/usr/sbin"),
        })
    }

    #[test]
    fn what_the_series_can_do() {
        for (product, series, tells_tls, takes_addresses) in [
            (Product::MySql, "8.0", false, true),
            (Product::MySql, "8.4", true, true),
            (Product::MySql, "9.7", true, true),
            (Product::MariaDb, "10.6", false, false),
            (Product::MariaDb, "10.11", false, true),
            (Product::MariaDb, "11.4", true, true),
            (Product::MariaDb, "11.8", true, true),
        ] {
            let flavor = flavor(product, series);
            assert_eq!(
                (flavor.tells_tls(), flavor.takes_addresses()),
                (tells_tls, takes_addresses),
                "{series}"
            );
        }
    }
}
