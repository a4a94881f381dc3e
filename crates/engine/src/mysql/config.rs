//! What a server is told: `my.cnf`, and the statements that it runs at each start before it lets anybody in. Text in,
//! text out.
//!
//! Of an option that stands twice the last one counts: RDS's defaults, then the parameter group, then what must be so.

use super::admin::{ADMINISTRATOR, quote};
use super::flavor::Flavor;
use super::plugins::LIBRARY;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// The plugin by which the administrator logs in.
const ADMINISTRATOR_PLUGIN: &str = "countersign_administrator";

/// Where things are, seen from the data directory: the path of a Unix socket is cut at 107 bytes.
pub(crate) const SOCKET: &str = "mysqld.sock";
pub(crate) const PID_FILE: &str = "mysqld.pid";
/// The folder of temporary tables. At its start MariaDB deletes whatever temporary table it finds there, those of another
/// server too.
pub(crate) const TEMPORARY: &str = "tmp";
/// RDS's names.
pub(crate) const ERROR_LOG: &str = "mysql-error.log";
pub(crate) const SLOW_LOG: &str = "mysql-slowquery.log";
pub(crate) const GENERAL_LOG: &str = "mysql-general.log";

/// What `my.cnf` depends on.
pub(crate) struct Server<'a> {
    pub(crate) flavor: Flavor,
    pub(crate) iam: bool,
    pub(crate) addresses: &'a [String],
    pub(crate) parameters: &'a BTreeMap<String, String>,
    pub(crate) base: &'a Path,
    /// MariaDB's messages and character sets, which it would look for where it was built to be.
    pub(crate) share: Option<&'a Path>,
    pub(crate) plugins: &'a Path,
    pub(crate) set_up: &'a Path,
    /// A folder without files, which no statement may leave.
    pub(crate) files: &'a Path,
    pub(crate) certificate: &'a Path,
    pub(crate) authority: &'a Path,
}

/// `my.cnf`, the server's option file.
pub(crate) fn server(server: &Server<'_>) -> String {
    let mut text =
        "# Written by Countersign; changes here are lost: use a parameter group.\n[server]\n".to_owned();
    // A server by itself replicates to nobody.
    text.push_str("skip_log_bin\n");
    for (name, value) in DEFAULTS.iter().chain([&server.flavor.log_size()]) {
        option(&mut text, name, value);
    }
    text.push_str(GROUP);
    for (name, value) in settable_of(server.parameters) {
        // One that the server does not know is named in the status, and keeps it from nothing.
        match name.as_str() {
            TIME_ZONE => option(&mut text, "default_time_zone", value),
            BINARY_LOG if is_on(value) => option(&mut text, BINARY_LOG, "mysql-bin-changelog"),
            BINARY_LOG => {}
            _ => option(&mut text, &format!("loose_{name}"), value),
        }
    }
    text.push_str(OURS);
    for (name, value) in server.own() {
        option(&mut text, name, &value);
    }
    text
}

const GROUP: &str = "\n# Parameter group.\n";
const OURS: &str = "\n# Countersign's.\n";

impl Server<'_> {
    fn own(&self) -> Vec<(&'static str, String)> {
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let mut own = vec![
            ("basedir", path(self.base)),
            ("plugin_dir", path(self.plugins)),
            ("plugin_load_add", format!("{ADMINISTRATOR_PLUGIN}={LIBRARY}")),
            ("init_file", path(self.set_up)),
            ("bind_address", self.bound()),
            ("skip_name_resolve", "ON".to_owned()),
            ("skip_networking", "OFF".to_owned()),
            ("skip_grant_tables", "OFF".to_owned()),
            ("tmpdir", format!("../{TEMPORARY}")),
            ("socket", format!("../run/{SOCKET}")),
            ("pid_file", format!("../run/{PID_FILE}")),
            ("log_error", format!("../log/{ERROR_LOG}")),
            ("slow_query_log_file", format!("../log/{SLOW_LOG}")),
            ("general_log_file", format!("../log/{GENERAL_LOG}")),
            ("ssl_cert", path(self.certificate)),
            ("ssl_key", path(self.certificate)),
            (SECURE_TRANSPORT, on_or_off(requires_tls(self.flavor, self.iam, self.parameters)).to_owned()),
        ];
        if self.flavor.is_mysql() {
            // Before it takes a new certificate, it wants to see who signed it.
            own.push(("ssl_ca", path(self.authority)));
        }
        if let Some(share) = self.share {
            own.push(("lc_messages_dir", path(share)));
            own.push(("character_sets_dir", path(&share.join("charsets"))));
        }
        if !self.flavor.is_mysql() {
            own.push(("secure_file_priv", path(self.files)));
        }
        own.extend(self.flavor.own_options().iter().map(|(name, value)| (*name, (*value).to_owned())));
        own
    }

    fn bound(&self) -> String {
        match self.addresses {
            [first, ..] if !self.flavor.takes_addresses() => first.clone(),
            all => all.join(","),
        }
    }
}

/// RDS's, where they are not the server's own.
const DEFAULTS: [(&str, &str); 4] = [
    ("log_output", "FILE"),
    ("default_time_zone", "+00:00"),
    ("tls_version", "TLSv1.2,TLSv1.3"),
    ("local_infile", "ON"),
];

/// Two that are options by another name, or in another way, than they are variables.
const TIME_ZONE: &str = "time_zone";
const BINARY_LOG: &str = "log_bin";

/// What the server runs at each start, as its superuser: the administrator's account is there, whatever became of it, and
/// no way into it but the Unix socket, for Countersign's own user.
pub(crate) fn set_up(uid: u32) -> String {
    let account = format!("{}@'localhost'", quote(ADMINISTRATOR));
    let identified = format!("IDENTIFIED WITH {ADMINISTRATOR_PLUGIN} AS '{uid}'");
    format!(
        "SET sql_log_bin = 0;\n\
         CREATE USER IF NOT EXISTS {account} {identified};\n\
         ALTER USER {account} {identified} REQUIRE NONE PASSWORD EXPIRE NEVER ACCOUNT UNLOCK;\n\
         GRANT ALL PRIVILEGES ON *.* TO {account} WITH GRANT OPTION;\n"
    )
}

/// The parameter that decides whether connections without TLS are accepted.
pub(crate) const SECURE_TRANSPORT: &str = "require_secure_transport";

/// Whether they are refused: as the parameter group says, and always where nothing else keeps tokens out of plain text.
pub(crate) fn requires_tls(flavor: Flavor, iam: bool, parameters: &BTreeMap<String, String>) -> bool {
    let wanted = settable_of(parameters).any(|(name, value)| name == SECURE_TRANSPORT && is_on(value));
    wanted || (iam && !flavor.tells_tls())
}

pub(crate) fn on_or_off(on: bool) -> &'static str {
    if on { "ON" } else { "OFF" }
}

pub(crate) fn is_on(value: &str) -> bool {
    ["1", "on", "true"].iter().any(|on| value.trim().eq_ignore_ascii_case(on))
}

/// Parameters that a parameter group cannot set: those that are Countersign's, those that lead to files or load code,
/// and those that open the server or give up what is in it.
const FIXED: &[&str] = &[
    "admin_address",
    "admin_ssl_ca",
    "admin_ssl_capath",
    "admin_ssl_cert",
    "admin_ssl_crl",
    "admin_ssl_crlpath",
    "admin_ssl_key",
    "allow_suspicious_udfs",
    "aria_log_dir_path",
    "authentication_policy",
    "auto_generate_certs",
    "basedir",
    "bind_address",
    "bootstrap",
    "caching_sha2_password_auto_generate_rsa_keys",
    "caching_sha2_password_private_key_path",
    "caching_sha2_password_public_key_path",
    "character_sets_dir",
    "chroot",
    "component_load",
    "core_file",
    "create_admin_listener_thread",
    "daemonize",
    "datadir",
    "debug",
    "default_authentication_plugin",
    "defaults_extra_file",
    "defaults_file",
    "defaults_group_suffix",
    "early_plugin_load",
    "external_locking",
    "extra_port",
    "feedback",
    "gdb",
    "general_log_file",
    "ignore_builtin_innodb",
    "ignore_db_dirs",
    "init_file",
    "initialize",
    "initialize_insecure",
    "innodb_checksum_algorithm",
    "innodb_data_file_path",
    "innodb_data_home_dir",
    "innodb_directories",
    "innodb_doublewrite_dir",
    "innodb_doublewrite_files",
    "innodb_force_recovery",
    "innodb_log_group_home_dir",
    "innodb_page_size",
    "innodb_read_only",
    "innodb_temp_data_file_path",
    "innodb_temp_tablespaces_dir",
    "innodb_tmpdir",
    "innodb_undo_directory",
    "keyring_file_data",
    "language",
    "lc_messages_dir",
    "log_bin_basename",
    "log_bin_index",
    "log_error",
    "log_error_services",
    "log_tc",
    "lower_case_table_names",
    "memlock",
    "mysqlx",
    "mysqlx_bind_address",
    "mysqlx_port",
    "mysqlx_socket",
    "named_pipe",
    "no_defaults",
    "one_thread",
    "partial_revokes",
    "persist_only_admin_x509_subject",
    "persist_sensitive_variables_in_plaintext",
    "persisted_globals_load",
    "pid_file",
    "plugin_dir",
    "plugin_load",
    "plugin_load_add",
    "plugin_maturity",
    "port",
    "print_defaults",
    "proxy_protocol_networks",
    "relay_log",
    "relay_log_index",
    "relay_log_info_file",
    "replica_load_tmpdir",
    "report_host",
    "report_password",
    "report_port",
    "report_user",
    "safe_user_create",
    "secure_file_priv",
    "sha256_password_auto_generate_rsa_keys",
    "sha256_password_private_key_path",
    "sha256_password_public_key_path",
    "shared_memory",
    "skip_grant_tables",
    "skip_name_resolve",
    "skip_networking",
    "skip_ssl",
    "slave_load_tmpdir",
    "slow_query_log_file",
    "socket",
    "ssl",
    "ssl_ca",
    "ssl_capath",
    "ssl_cert",
    "ssl_crl",
    "ssl_crlpath",
    "ssl_key",
    "ssl_passphrase",
    "super_read_only",
    "symbolic_links",
    "syslog",
    "tc_heuristic_recover",
    "tmpdir",
    "unix_socket",
    "upgrade",
    "user",
    "validate_config",
    "verbose",
    "version",
];

/// Names that are parameters of their own though a longer one of [`FIXED`] begins with them: a server takes the beginning
/// of a name for the whole.
const WHOLE: [&str; 4] = ["general_log", "innodb_doublewrite", "log_bin", "slow_query_log"];

/// Beginnings that a server takes for a word about the rest of the name.
const PREFIXES: [&str; 5] = ["loose_", "skip_", "disable_", "enable_", "maximum_"];

/// The parameters that are passed on, by the names that the server has in its variables.
pub(crate) fn settable_of(parameters: &BTreeMap<String, String>) -> impl Iterator<Item = (String, &str)> {
    parameters.iter().filter_map(|(name, value)| Some((settable(name, value).ok()?, value.as_str())))
}

/// The parameters that are left out, each with the reason.
pub(crate) fn left_out(flavor: Flavor, iam: bool, parameters: &BTreeMap<String, String>) -> Vec<String> {
    let refused = parameters
        .iter()
        .filter_map(|(name, value)| Some(format!("parameter `{name}` {}", settable(name, value).err()?)));
    let overruled = settable_of(parameters)
        .filter(|(name, value)| name == SECURE_TRANSPORT && !is_on(value) && iam && !flavor.tells_tls())
        .map(|(name, _)| {
            format!(
                "parameter `{name}` is ON while IAM authentication is: this series does not tell its plugins whether a \
                 connection has TLS, and tokens travel in TLS only"
            )
        });
    refused.chain(overruled).collect()
}

/// The parameters that an option file had before and that are no longer wanted.
pub(crate) fn dropped(before: &str, parameters: &BTreeMap<String, String>) -> Vec<String> {
    let named = |line: &str| Some(line.split_once(" = ")?.0.strip_prefix("loose_")?.to_owned());
    let group = before.split_once(GROUP).map_or("", |(_, behind)| behind);
    let group = group.split_once(OURS).map_or(group, |(group, _)| group);
    let wanted: Vec<String> = settable_of(parameters).map(|(name, _)| name).collect();
    group.lines().filter_map(named).filter(|name| !wanted.contains(name)).collect()
}

/// Says which addresses are left out, where the server takes one alone.
pub(crate) fn not_listened_on(flavor: Flavor, addresses: &[String]) -> Option<String> {
    let others = addresses.get(1..).filter(|_| !flavor.takes_addresses())?;
    // `localhost` is reached by either of its addresses.
    let missed: Vec<&str> = others.iter().map(String::as_str).filter(|address| *address != "::1").collect();
    (!missed.is_empty())
        .then(|| format!("MariaDB before 10.11 listens on one address: not on `{}`", missed.join("`, `")))
}

/// The name as the server spells it; else why the parameter is not passed on.
fn settable(name: &str, value: &str) -> Result<String, &'static str> {
    let name = name.trim().to_ascii_lowercase().replace('-', "_");
    let is_name = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'.');
    let of_server =
        |fixed: &&str| **fixed == name || (fixed.starts_with(&name) && !WHOLE.contains(&name.as_str()));
    if !is_name {
        Err("has a name that the server's option file cannot hold")
    } else if PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        Err("has a name that begins with a word of the option file: name the parameter itself")
    } else if FIXED.iter().any(of_server) {
        Err("cannot be set: it is Countersign's, or would take the server out of its bounds")
    } else if value.contains('{') {
        Err("has a formula of RDS as its value: set a number")
    } else if value.contains(char::is_control) || (value.contains('"') && value.contains('\'')) {
        Err("has a value that the server's option file cannot hold")
    } else {
        Ok(name)
    }
}

fn option(text: &mut String, name: &str, value: &str) {
    let quote = if value.contains('"') { '\'' } else { '"' };
    // Writing to a string does not fail.
    let _infallible = writeln!(text, "{name} = {quote}{}{quote}", value.replace('\\', "\\\\"));
}

/// A value as a server shows it in its variables, for a comparison.
pub(crate) fn normal(value: &str) -> String {
    let value = value.trim().to_ascii_lowercase();
    match value.as_str() {
        "on" | "true" | "yes" => return "1".to_owned(),
        "off" | "false" | "no" => return "0".to_owned(),
        _ => {}
    }
    number(&value).map_or(value, |number| number.to_string())
}

/// A number with the suffix that an option may have.
pub(crate) fn number(value: &str) -> Option<i128> {
    let value = value.trim();
    let (digits, shift) = match value.char_indices().next_back()? {
        (at, 'k' | 'K') => (value.get(..at)?, 10),
        (at, 'm' | 'M') => (value.get(..at)?, 20),
        (at, 'g' | 'G') => (value.get(..at)?, 30),
        (at, 't' | 'T') => (value.get(..at)?, 40),
        _ => (value, 0),
    };
    digits.parse::<i64>().ok().map(|number| i128::from(number) << shift)
}

#[cfg(test)]
mod tests {
    use super::super::flavor::tests::flavor;
    use super::*;
    use iam::Product;

    fn text(flavor: Flavor, iam: bool, addresses: &[String], parameters: &[(&str, &str)]) -> String {
        server(&Server {
            flavor,
            iam,
            addresses,
            parameters: &map(parameters),
            base: Path::new("/usr"),
            share: None,
            plugins: Path::new("/d/config/plugins"),
            set_up: Path::new("/d/config/set-up.sql"),
            files: Path::new("/d/config/files"),
            certificate: Path::new("/d/it's/server.pem"),
            authority: Path::new("/d/authority.pem"),
        })
    }

    fn map(parameters: &[(&str, &str)]) -> BTreeMap<String, String> {
        parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_is_ours_comes_last() {
        let text = text(
            flavor(Product::MySql, "8.4"),
            true,
            &["127.0.0.1".into(), "::1".into()],
            &[
                ("max_connections", "99"),
                ("general-log", "1"),
                ("init_connect", "SET NAMES 'utf8mb4'"),
                ("sql_mode", "a\\b"),
                ("time_zone", "+02:00"),
                ("log_bin", "ON"),
            ],
        );
        let at =
            |line: &str| text.lines().position(|l| l == line).unwrap_or_else(|| panic!("{line} in {text}"));
        assert!(at("[server]") < at("loose_max_connections = \"99\""));
        assert!(at("loose_max_connections = \"99\"") < at("plugin_dir = \"/d/config/plugins\""));
        at("loose_general_log = \"1\"");
        at("default_time_zone = \"+02:00\"");
        assert!(at("skip_log_bin") < at("log_bin = \"mysql-bin-changelog\""));
        at("loose_init_connect = \"SET NAMES 'utf8mb4'\"");
        at("loose_sql_mode = \"a\\\\b\"");
        at("bind_address = \"127.0.0.1,::1\"");
        at("socket = \"../run/mysqld.sock\"");
        at("tmpdir = \"../tmp\"");
        at("ssl_key = \"/d/it's/server.pem\"");
        at("secure_file_priv = \"NULL\"");
        at("partial_revokes = \"ON\"");
        at("require_secure_transport = \"OFF\"");
        at("plugin_load_add = \"countersign_administrator=auth_countersign.so\"");
    }

    #[test]
    fn what_is_taken_out_of_the_group_is_known() {
        let before = text(
            flavor(Product::MySql, "8.4"),
            true,
            &[],
            &[("max_connections", "9"), ("Wait-Timeout", "5")],
        );
        assert_eq!(dropped(&before, &map(&[("wait_timeout", "6")])), ["max_connections"]);
        assert!(dropped("", &map(&[])).is_empty());
    }

    #[test]
    fn the_series_differ() {
        let old = flavor(Product::MariaDb, "10.6");
        let text = text(old, true, &["127.0.0.1".into(), "::1".into()], &[("require_secure_transport", "0")]);
        for line in [
            "bind_address = \"127.0.0.1\"",
            "secure_file_priv = \"/d/config/files\"",
            "symbolic_links = \"OFF\"",
            "require_secure_transport = \"ON\"",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in {text}");
        }
        assert!(!text.contains("partial_revokes") && !text.contains("mysqlx"), "{text}");
    }

    #[test]
    fn where_tls_is_not_told_it_is_required() {
        let (told, untold) = (flavor(Product::MariaDb, "11.4"), flavor(Product::MariaDb, "10.11"));
        let (none, on, off) = (map(&[]), map(&[(SECURE_TRANSPORT, "1")]), map(&[(SECURE_TRANSPORT, "OFF")]));
        assert!(!requires_tls(told, true, &none) && requires_tls(told, true, &on));
        assert!(requires_tls(untold, true, &off) && !requires_tls(untold, false, &off));
        assert_eq!(left_out(told, true, &off), Vec::<String>::new());
        assert!(left_out(untold, true, &off).iter().any(|why| why.contains("tokens travel in TLS only")));
        assert!(left_out(untold, false, &off).is_empty() && left_out(untold, true, &on).is_empty());
    }

    #[test]
    fn parameters_cannot_reach_what_is_ours() {
        let mysql = flavor(Product::MySql, "8.4");
        for name in [
            "datadir",
            "DataDir",
            "plugin-dir",
            "plugin_di",
            "plugin-load-add",
            "plugin_load_a",
            "early_plugin_load",
            "loose_plugin_dir",
            "loose-plugin-dir",
            "skip-grant-tables",
            "skip_networking",
            "disable_ssl",
            "init_file",
            "init_fil",
            "secure_file_pri",
            "ssl_key",
            "partial_revokes",
            "tmpdir",
            "general_log_file",
            "lower_case_table_names",
            "[mysqld]",
            "a = 1\nplugin_dir",
            "!include",
            "#x",
            "",
        ] {
            let parameters = [(name, "/tmp")];
            assert_eq!(left_out(mysql, true, &map(&parameters)).len(), 1, "{name}");
            let (with, without) = (text(mysql, true, &[], &parameters), text(mysql, true, &[], &[]));
            assert_eq!(with, without, "{name}");
        }
        for (name, value) in [
            ("init_connect", "a\nplugin_dir=/tmp"),
            ("init_connect", "\"'"),
            ("innodb_buffer_pool_size", "{DBInstanceClassMemory*3/4}"),
        ] {
            assert_eq!(left_out(mysql, true, &map(&[(name, value)])).len(), 1, "{value}");
        }
        for name in [
            "general_log",
            "slow_query_log",
            "log_bin",
            "init_connect",
            "max_connections",
            "innodb_flush_log_at_trx_commit",
            "character_set_server",
            "binlog_format",
            "event_scheduler",
            "tls_version",
            "wait_timeout",
            "log_bin_trust_function_creators",
            "time_zone",
            "sql_mode",
            "require_secure_transport",
        ] {
            assert_eq!(left_out(mysql, true, &map(&[(name, "1")])), Vec::<String>::new(), "{name}");
        }
    }

    #[test]
    fn values_are_compared_as_the_server_means_them() {
        for (one, other) in
            [("ON", "1"), ("off", "0"), ("1M", "1048576"), ("2g", "2147483648"), (" Row ", "ROW")]
        {
            assert_eq!(normal(one), normal(other));
        }
        assert_ne!(normal("10"), normal("1"));
        assert_eq!((number("-1"), number("1K"), number("M"), number("")), (Some(-1), Some(1024), None, None));
    }

    #[test]
    fn the_list_is_sorted_so_that_it_can_be_read() {
        assert!(FIXED.is_sorted());
    }

    #[test]
    fn the_administrator_is_made_anew_at_each_start() {
        let text = set_up(4711);
        assert!(text.starts_with("SET sql_log_bin = 0;\n") && text.contains(" AS '4711'"), "{text}");
        // The server reads one statement a line.
        assert!(text.lines().all(|line| line.ends_with(';')), "{text}");
    }
}
