//! What a server is told: `countersign.conf`, `pg_hba.conf`, `pg_ident.conf`. Text in, text out.
//!
//! The order of the hba lines is the product's promise: the first that matches decides, so that a member of `rds_iam`
//! logs in by token over TLS, or not at all.

use super::ADMINISTRATOR;
use iam::ResourceId;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

/// How servers ask whether a token may log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DoorChoice {
    /// Through PAM, whose service leads to `pam_countersign.so`.
    Pam {
        /// The file's name in `/etc/pam.d`.
        service: String,
    },
    /// By an LDAP bind.
    Ldap {
        /// Where Countersign listens for it.
        address: SocketAddr,
    },
}

impl DoorChoice {
    /// The word for it in a status: `pam` or `ldap`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pam { .. } => "pam",
            Self::Ldap { .. } => "ldap",
        }
    }
}

/// What the hba rules depend on.
pub(crate) struct Rules<'a> {
    pub(crate) id: &'a ResourceId,
    pub(crate) iam: bool,
    pub(crate) force_ssl: bool,
    pub(crate) door: &'a DoorChoice,
    /// Roles that may hand `rds_iam` on without being granted it: see [`hba`].
    pub(crate) granters: &'a [String],
}

/// `pg_hba.conf`.
///
/// From PostgreSQL 16 on a role that may grant `rds_iam` has to hold it with ADMIN OPTION, and `+rds_iam` matches such a
/// role too. The master user is one; it goes on with its password, by a line before, until it is granted `rds_iam`
/// as others are.
pub(crate) fn hba(rules: &Rules<'_>) -> String {
    let passwords = if rules.force_ssl { "hostssl" } else { "host" };
    let mut text = format!(
        "# Written by Countersign; changes here are lost.\n\
         local all {ADMINISTRATOR} peer map=countersign\n\
         host all {ADMINISTRATOR} all reject\n\
         host {ADMINISTRATOR} all all reject\n"
    );
    if rules.iam {
        for granter in rules.granters {
            line(&mut text, &format!("{passwords} all {} all md5", hba_quote(granter)));
        }
        let method = match rules.door {
            DoorChoice::Pam { service } => format!("pam pamservice={}", bare_or_quoted(service)),
            DoorChoice::Ldap { address } => format!(
                "ldap ldaptls=1 ldapserver={} ldapport={} ldapprefix=\"cn=\" ldapsuffix=\",dc={},dc=countersign\"",
                address.ip(),
                address.port(),
                rules.id
            ),
        };
        line(&mut text, &format!("hostssl all +rds_iam all {method}"));
        line(&mut text, "host all +rds_iam all reject");
    }
    line(&mut text, &format!("{passwords} all all all md5"));
    text
}

/// `pg_ident.conf`: who on this machine administers the server through its Unix socket.
pub(crate) fn ident(administrator: &str, server_user: &str) -> String {
    let mut text = "# Written by Countersign; changes here are lost.\n".to_owned();
    line(&mut text, &format!("countersign {} {ADMINISTRATOR}", hba_quote(administrator)));
    if server_user != administrator {
        line(&mut text, &format!("countersign {} {ADMINISTRATOR}", hba_quote(server_user)));
    }
    text
}

/// What `countersign.conf` depends on.
pub(crate) struct Server<'a> {
    pub(crate) id: &'a ResourceId,
    pub(crate) port: u16,
    pub(crate) addresses: &'a [String],
    pub(crate) parameters: &'a BTreeMap<String, String>,
    pub(crate) hba: &'a Path,
    pub(crate) ident: &'a Path,
    pub(crate) certificate: &'a Path,
}

/// `countersign.conf`, the server's configuration file. Of a parameter that stands twice the last one counts: what
/// initdb chose, then RDS's defaults, then the parameter group, then what must be so.
pub(crate) fn server(server: &Server<'_>) -> String {
    let mut text = "# Written by Countersign; changes here are lost: use a parameter group.\n\
                    include '../data/postgresql.conf'\n\n"
        .to_owned();
    for (name, value) in DEFAULTS {
        setting(&mut text, name, value);
    }
    text.push_str("\n# Parameter group.\n");
    for (name, value) in server.parameters.iter().filter(|(name, value)| settable(name, value).is_ok()) {
        setting(&mut text, name, value);
    }
    text.push_str("\n# Countersign's.\n");
    let certificate = server.certificate.to_string_lossy();
    let own = [
        ("listen_addresses", server.addresses.join(",")),
        ("port", server.port.to_string()),
        // Relative to the data directory: a socket's path is cut at 107 bytes.
        ("unix_socket_directories", "../run".to_owned()),
        ("unix_socket_permissions", "0700".to_owned()),
        ("hba_file", server.hba.to_string_lossy().into_owned()),
        ("ident_file", server.ident.to_string_lossy().into_owned()),
        ("ssl", "on".to_owned()),
        ("ssl_cert_file", certificate.clone().into_owned()),
        ("ssl_key_file", certificate.into_owned()),
        ("cluster_name", server.id.to_string()),
        ("logging_collector", "on".to_owned()),
        ("log_destination", "stderr".to_owned()),
        ("log_directory", "../log".to_owned()),
        ("log_filename", "postgresql.log.%Y-%m-%d".to_owned()),
        ("log_rotation_age", "1d".to_owned()),
        ("log_rotation_size", "0".to_owned()),
    ];
    for (name, value) in own {
        setting(&mut text, name, &value);
    }
    text
}

/// RDS's, where they are not PostgreSQL's.
const DEFAULTS: [(&str, &str); 4] = [
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("log_line_prefix", "%t:%r:%u@%d:[%p]:"),
    ("ssl_min_protocol_version", "TLSv1.2"),
];

/// Parameters that a parameter group cannot set: those that are Countersign's, those that would run programs or load
/// code as the servers' OS user, and those that give up durability.
const FIXED: &[&str] = &[
    "allow_system_table_mods",
    "archive_cleanup_command",
    "archive_command",
    "archive_library",
    "bonjour",
    "cluster_name",
    "config_file",
    "data_directory",
    "data_sync_retry",
    "dynamic_library_path",
    "event_source",
    "extension_control_path",
    "external_pid_file",
    "fsync",
    "full_page_writes",
    "hba_file",
    "ident_file",
    "ignore_checksum_failure",
    "ignore_invalid_pages",
    "ignore_system_indexes",
    "include",
    "include_dir",
    "include_if_exists",
    "jit_provider",
    "krb_server_keyfile",
    "listen_addresses",
    "local_preload_libraries",
    "log_destination",
    "log_directory",
    "log_file_mode",
    "log_filename",
    "logging_collector",
    "oauth_validator_libraries",
    "port",
    "primary_conninfo",
    "promote_trigger_file",
    "recovery_end_command",
    "recovery_init_sync_method",
    "restore_command",
    "session_preload_libraries",
    "shared_preload_libraries",
    "ssl",
    "ssl_ca_file",
    "ssl_cert_file",
    "ssl_crl_dir",
    "ssl_crl_file",
    "ssl_dh_params_file",
    "ssl_key_file",
    "ssl_passphrase_command",
    "stats_temp_directory",
    "superuser_reserved_connections",
    "synchronized_standby_slots",
    "unix_socket_directories",
    "unix_socket_group",
    "unix_socket_permissions",
    "zero_damaged_pages",
];

/// The parameter of RDS that decides whether passwords are accepted without TLS.
const FORCE_SSL: &str = "rds.force_ssl";

/// Whether passwords are accepted over TLS only: `rds.force_ssl`, which is on unless it is switched off.
pub(crate) fn force_ssl(parameters: &BTreeMap<String, String>) -> bool {
    !parameters.get(FORCE_SSL).is_some_and(|value| {
        ["0", "off", "false", "no"].iter().any(|off| value.trim().eq_ignore_ascii_case(off))
    })
}

/// The parameters that are left out, each with the reason.
pub(crate) fn left_out(parameters: &BTreeMap<String, String>) -> Vec<String> {
    let refused = |(name, value): (&String, &String)| {
        settable(name, value)
            .err()
            .filter(|_| name != FORCE_SSL)
            .map(|why| format!("parameter `{name}` {why}"))
    };
    parameters.iter().filter_map(refused).collect()
}

fn settable(name: &str, value: &str) -> Result<(), &'static str> {
    let folded = name.to_ascii_lowercase();
    let mut letters = folded.bytes();
    let well_formed = letters.next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_')
        && letters.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'$'));
    if !well_formed {
        Err("is not a name of a parameter")
    } else if FIXED.binary_search(&folded.as_str()).is_ok() {
        Err("cannot be set by a parameter group")
    } else if folded.starts_with("rds.") {
        Err("is one of RDS's without an effect here")
    } else if value.contains(['\n', '\r', '\0']) {
        Err("has a value of more than one line")
    } else if value.contains('{') {
        Err("has a formula for a value, which is not computed here")
    } else {
        Ok(())
    }
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn setting(text: &mut String, name: &str, value: &str) {
    // Writing to a string cannot fail.
    let _written = writeln!(text, "{name} = {}", conf_quote(value));
}

/// A value of the configuration file in single quotes: a quote is doubled, and so is a backslash, which would escape.
fn conf_quote(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "''"))
}

fn bare_or_quoted(token: &str) -> String {
    let bare = !token.is_empty()
        && token.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if bare { token.to_owned() } else { hba_quote(token) }
}

/// A token of the hba and ident files in double quotes, where no word has a meaning of its own.
fn hba_quote(token: &str) -> String {
    format!("\"{}\"", token.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use iam::ResourceKind;

    fn id() -> ResourceId {
        ResourceId::generate(ResourceKind::Instance, *b"0123456789abcdef")
    }

    fn rules<'a>(id: &'a ResourceId, door: &'a DoorChoice) -> Rules<'a> {
        Rules { id, iam: true, force_ssl: true, door, granters: &[] }
    }

    fn lines(text: &str) -> Vec<&str> {
        text.lines().filter(|line| !line.starts_with('#')).collect()
    }

    const FIRST: [&str; 3] = [
        "local all rdsadmin peer map=countersign",
        "host all rdsadmin all reject",
        "host rdsadmin all all reject",
    ];

    #[test]
    fn members_of_rds_iam_come_by_token_and_tls_or_not_at_all() {
        let (id, pam) = (id(), DoorChoice::Pam { service: "countersign".into() });
        let text = hba(&rules(&id, &pam));
        assert_eq!(lines(&text)[..3], FIRST);
        assert_eq!(
            lines(&text)[3..],
            [
                "hostssl all +rds_iam all pam pamservice=countersign",
                "host all +rds_iam all reject",
                "hostssl all all all md5",
            ]
        );
        let ldap = DoorChoice::Ldap { address: "127.0.0.1:3890".parse().unwrap() };
        assert_eq!(
            lines(&hba(&rules(&id, &ldap)))[3],
            "hostssl all +rds_iam all ldap ldaptls=1 ldapserver=127.0.0.1 ldapport=3890 ldapprefix=\"cn=\" \
             ldapsuffix=\",dc=db-GAYTEMZUGU3DOOBZMFRGGZDFMY,dc=countersign\""
        );
    }

    #[test]
    fn without_iam_and_forced_tls_there_are_passwords_alone() {
        let (id, pam) = (id(), DoorChoice::Pam { service: "countersign".into() });
        let text = hba(&Rules { iam: false, force_ssl: false, granters: &["m".into()], ..rules(&id, &pam) });
        assert_eq!(lines(&text)[3..], ["host all all all md5"]);
        let text = hba(&Rules { force_ssl: false, ..rules(&id, &pam) });
        assert_eq!(lines(&text)[4..], ["host all +rds_iam all reject", "host all all all md5"]);
    }

    #[test]
    fn who_may_only_hand_it_on_keeps_the_password() {
        let (id, pam) = (id(), DoorChoice::Pam { service: "countersign".into() });
        let text = hba(&Rules { granters: &["a\"b all".into()], ..rules(&id, &pam) });
        assert_eq!(
            lines(&text)[3..5],
            ["hostssl all \"a\"\"b all\" all md5", "hostssl all +rds_iam all pam pamservice=countersign"]
        );
    }

    #[test]
    fn both_users_administer_by_name() {
        assert_eq!(
            lines(&ident("root", "postgres")),
            ["countersign \"root\" rdsadmin", "countersign \"postgres\" rdsadmin"]
        );
        assert_eq!(lines(&ident("jane", "jane")), ["countersign \"jane\" rdsadmin"]);
    }

    #[test]
    fn parameters_are_quoted_and_cannot_reach_what_is_ours() {
        let parameters: BTreeMap<String, String> = [
            ("application_name", "it's \\n"),
            ("Work_Mem", "8MB"),
            ("FSYNC", "off"),
            ("archive_command", "touch /tmp/x"),
            ("log_statement", "all\nfsync = off"),
            ("x = 1\nfsync", "off"),
            ("shared_buffers", "{DBInstanceClassMemory/32768}"),
            ("rds.force_ssl", "0"),
            ("rds.logical_replication", "1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let id = id();
        let text = server(&Server {
            id: &id,
            port: 5433,
            addresses: &["127.0.0.1".into(), "::1".into()],
            parameters: &parameters,
            hba: Path::new("/d/it's/pg_hba.conf"),
            ident: Path::new("/d/pg_ident.conf"),
            certificate: Path::new("/d/server.pem"),
        });
        let has = |line: &str| text.lines().any(|l| l == line);
        assert!(has("application_name = 'it''s \\\\n'"), "{text}");
        assert!(has("Work_Mem = '8MB'") && has("port = '5433'"), "{text}");
        assert!(
            has("listen_addresses = '127.0.0.1,::1'") && has("hba_file = '/d/it''s/pg_hba.conf'"),
            "{text}"
        );
        for absent in ["fsync", "FSYNC", "archive_command", "shared_buffers", "rds.", "log_statement"] {
            assert!(!text.contains(absent), "{absent} in {text}");
        }
        assert_eq!(left_out(&parameters).len(), 6);
        assert!(!force_ssl(&parameters) && force_ssl(&BTreeMap::new()));
    }

    #[test]
    fn the_list_is_sorted_so_that_it_can_be_searched() {
        assert!(FIXED.is_sorted());
    }
}
