//! Settings: from flags, then the environment, then a TOML file, then defaults; checked before anything is touched.

use anyhow::Context;
use clap::Args;
use iam::{AccountId, Product};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A setting that cannot be used: the process ends with 2.
#[derive(Debug)]
pub(crate) struct UsageError(pub(crate) String);

impl std::fmt::Display for UsageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// Where everything is kept; every command takes it.
#[derive(Debug, Clone, Args)]
pub(crate) struct DataDir {
    /// Where everything is kept [default: /var/lib/countersign for root, else ~/.local/share/countersign]
    #[arg(long, value_name = "D", env = "COUNTERSIGN_DATA_DIR")]
    data_dir: Option<PathBuf>,
}

impl DataDir {
    /// The absolute path of the directory.
    pub(crate) fn path(&self) -> anyhow::Result<PathBuf> {
        let path = match &self.data_dir {
            Some(path) => path.clone(),
            None => default_data_dir()?,
        };
        std::path::absolute(&path).with_context(|| format!("data directory `{}`", path.display()))
    }

    fn or(self, path: Option<PathBuf>) -> Self {
        Self { data_dir: self.data_dir.or(path) }
    }
}

fn default_data_dir() -> anyhow::Result<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Ok("/var/lib/countersign".into());
    }
    let base = match (std::env::var_os("XDG_DATA_HOME"), std::env::var_os("HOME")) {
        (Some(base), _) if !base.is_empty() => PathBuf::from(base),
        (_, Some(home)) if !home.is_empty() => PathBuf::from(home).join(".local/share"),
        _ => {
            return Err(
                UsageError("HOME is not set: say where to keep things with --data-dir".to_owned()).into()
            );
        }
    };
    Ok(base.join("countersign"))
}

/// Where database servers listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum Listen {
    /// The loopback addresses that there are.
    Loopback,
    /// An address.
    Address(std::net::IpAddr),
}

impl std::str::FromStr for Listen {
    type Err = UsageError;
    fn from_str(text: &str) -> Result<Self, UsageError> {
        match text {
            "localhost" => Ok(Self::Loopback),
            address => address.parse().map(Self::Address).map_err(|_| {
                UsageError(format!(
                    "`{address}` is not an IP address: expected one such as `10.0.0.5`, or `localhost`"
                ))
            }),
        }
    }
}

impl TryFrom<String> for Listen {
    type Error = UsageError;
    fn try_from(text: String) -> Result<Self, UsageError> {
        text.parse()
    }
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Loopback => f.write_str("localhost"),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// Which door PostgreSQL asks through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DoorSetting {
    /// PAM where the module and its service file are installed, else LDAP
    Auto,
    /// The PAM module; needs `countersign pam install`
    Pam,
    /// The server's built-in LDAP method; nothing to install
    Ldap,
}

/// How the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people on a terminal, else JSON
    Auto,
    /// For people
    Human,
    /// One JSON object a line
    Json,
}

/// What becomes of the database servers when Countersign ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnExit {
    /// Stopped after an interrupt (Ctrl-C), left running after SIGTERM, so that a restart ends no session
    Auto,
    /// Left running; the next start takes them over
    Leave,
    /// Stopped
    Stop,
}

/// The settings of `serve`, as flags and environment variables give them.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Ready when GET /health answers 200. Stops on Ctrl-C and on SIGTERM.

Settings come from the flags, then the environment, then the --config file, then the defaults.

Examples:
  countersign serve
  countersign serve --data-dir /srv/countersign --listen 127.0.0.1:4600 --endpoint-domain db.example.com \\
      --database-listen 10.0.0.5")]
pub(crate) struct Arguments {
    /// A TOML file with these settings, named as the flags without dashes in front (data-dir, listen, ...)
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    data_dir: DataDir,
    /// Where the API listens; a loopback address [default: 127.0.0.1:4590]
    #[arg(long, value_name = "ADDR:PORT", env = "COUNTERSIGN_LISTEN")]
    listen: Option<SocketAddr>,
    /// The AWS account that is served [default: 123456789012]
    #[arg(long, value_name = "N", env = "COUNTERSIGN_ACCOUNT_ID")]
    account_id: Option<AccountId>,
    /// The domain of endpoint addresses, <identifier>.<hash>.<region>.<domain>; it must resolve to this machine
    /// [default: every endpoint is `localhost`]
    #[arg(long, value_name = "DOMAIN", env = "COUNTERSIGN_ENDPOINT_DOMAIN")]
    endpoint_domain: Option<String>,
    /// The address that database servers listen on, or `localhost` for the loopback addresses; may be given several times
    /// [default: localhost]
    #[arg(long, value_name = "ADDR", env = "COUNTERSIGN_DATABASE_LISTEN", value_delimiter = ',')]
    database_listen: Option<Vec<Listen>>,
    /// The operating system user that database servers run as when Countersign runs as root [default: postgres]
    #[arg(long, value_name = "USER", env = "COUNTERSIGN_OS_USER")]
    os_user: Option<String>,
    /// A directory with PostgreSQL's programs, besides those found on the machine; may be given several times
    #[arg(long, value_name = "DIR", env = "COUNTERSIGN_POSTGRES_DIR", value_delimiter = ',')]
    postgres_dir: Option<Vec<PathBuf>>,
    /// A directory with MySQL's programs, besides those found on the machine; may be given several times
    #[arg(long, value_name = "DIR", env = "COUNTERSIGN_MYSQL_DIR", value_delimiter = ',')]
    mysql_dir: Option<Vec<PathBuf>>,
    /// A directory with MariaDB's programs, besides those found on the machine; may be given several times
    #[arg(long, value_name = "DIR", env = "COUNTERSIGN_MARIADB_DIR", value_delimiter = ',')]
    mariadb_dir: Option<Vec<PathBuf>>,
    /// The library of the plugin by which MySQL and MariaDB ask [default: libauth_countersign.so beside this program, or in
    /// ../lib/countersign]
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_MYSQL_PLUGIN")]
    mysql_plugin: Option<PathBuf>,
    /// Which door PostgreSQL asks through [default: auto]
    #[arg(long, value_enum, env = "COUNTERSIGN_DOOR")]
    door: Option<DoorSetting>,
    /// The name of the PAM service file [default: countersign]
    #[arg(long, value_name = "NAME", env = "COUNTERSIGN_PAM_SERVICE")]
    pam_service: Option<String>,
    /// Where the LDAP door listens; a loopback address, port 0 for any that is free [default: 127.0.0.1:0]
    #[arg(long, value_name = "ADDR:PORT", env = "COUNTERSIGN_LDAP_LISTEN")]
    ldap_listen: Option<SocketAddr>,
    /// Whether policies see the client's address at a login, as aws:SourceIp. On AWS they do not [default: false]
    #[arg(
        long,
        value_name = "BOOL",
        env = "COUNTERSIGN_SOURCE_IP",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    source_ip: Option<bool>,
    /// How the log looks, on standard error [default: auto]
    #[arg(long, value_enum, env = "COUNTERSIGN_LOG_FORMAT")]
    log_format: Option<LogFormat>,
    /// What is logged: error, warn, info, debug, or a filter such as info,engine=debug [default: info]
    #[arg(long, value_name = "FILTER", env = "COUNTERSIGN_LOG")]
    log: Option<String>,
    /// What becomes of the database servers when Countersign ends [default: auto]
    #[arg(long, value_enum, env = "COUNTERSIGN_ON_EXIT")]
    on_exit: Option<OnExit>,
}

/// The same settings in the TOML file.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    data_dir: Option<PathBuf>,
    listen: Option<SocketAddr>,
    account_id: Option<AccountId>,
    endpoint_domain: Option<String>,
    database_listen: Option<Vec<Listen>>,
    os_user: Option<String>,
    postgres_dir: Option<Vec<PathBuf>>,
    mysql_dir: Option<Vec<PathBuf>>,
    mariadb_dir: Option<Vec<PathBuf>>,
    mysql_plugin: Option<PathBuf>,
    door: Option<DoorSetting>,
    pam_service: Option<String>,
    ldap_listen: Option<SocketAddr>,
    source_ip: Option<bool>,
    log_format: Option<LogFormat>,
    log: Option<String>,
    on_exit: Option<OnExit>,
}

/// The settings of `serve`, all of them.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) data_dir: PathBuf,
    pub(crate) listen: SocketAddr,
    /// None takes the account of the data directory, or 123456789012 for a new one.
    pub(crate) account_id: Option<AccountId>,
    pub(crate) endpoint_domain: Option<String>,
    pub(crate) database_listen: Vec<Listen>,
    pub(crate) os_user: Option<String>,
    pub(crate) server_dirs: BTreeMap<Product, Vec<PathBuf>>,
    pub(crate) mysql_plugin: Option<PathBuf>,
    pub(crate) door: DoorSetting,
    pub(crate) pam_service: String,
    pub(crate) ldap_listen: SocketAddr,
    pub(crate) source_ip: bool,
    pub(crate) log_format: LogFormat,
    pub(crate) log: String,
    pub(crate) on_exit: OnExit,
}

/// Where the API listens unless told otherwise.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4590);

/// The LDAP door takes a free port; the servers are told which.
const LDAP_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

impl Arguments {
    /// All settings, from flags and environment, file, and defaults.
    pub(crate) fn settle(self) -> anyhow::Result<Settings> {
        let file = match &self.config {
            Some(path) => read_file(path)?,
            None => File::default(),
        };
        let settings = Settings {
            data_dir: self.data_dir.or(file.data_dir).path()?,
            listen: self.listen.or(file.listen).unwrap_or(LISTEN),
            account_id: self.account_id.or(file.account_id),
            endpoint_domain: self.endpoint_domain.or(file.endpoint_domain),
            database_listen: self
                .database_listen
                .or(file.database_listen)
                .unwrap_or_else(|| vec![Listen::Loopback]),
            os_user: self.os_user.or(file.os_user),
            server_dirs: [
                (Product::PostgreSql, self.postgres_dir.or(file.postgres_dir)),
                (Product::MySql, self.mysql_dir.or(file.mysql_dir)),
                (Product::MariaDb, self.mariadb_dir.or(file.mariadb_dir)),
            ]
            .into_iter()
            .filter_map(|(product, folders)| Some((product, folders?)))
            .collect(),
            mysql_plugin: self.mysql_plugin.or(file.mysql_plugin),
            door: self.door.or(file.door).unwrap_or(DoorSetting::Auto),
            pam_service: self.pam_service.or(file.pam_service).unwrap_or_else(|| "countersign".to_owned()),
            ldap_listen: self.ldap_listen.or(file.ldap_listen).unwrap_or(LDAP_LISTEN),
            source_ip: self.source_ip.or(file.source_ip).unwrap_or(false),
            log_format: self.log_format.or(file.log_format).unwrap_or(LogFormat::Auto),
            log: self.log.or(file.log).unwrap_or_else(|| "info".to_owned()),
            on_exit: self.on_exit.or(file.on_exit).unwrap_or(OnExit::Auto),
        };
        settings.check()?;
        Ok(settings)
    }
}

fn read_file(path: &std::path::Path) -> anyhow::Result<File> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| UsageError(format!("cannot read the settings `{}`: {error}", path.display())))?;
    toml::from_str(&text)
        .map_err(|error| UsageError(format!("the settings `{}` are wrong: {error}", path.display())).into())
}

impl Settings {
    fn check(&self) -> Result<(), UsageError> {
        for (flag, address) in [("--listen", self.listen), ("--ldap-listen", self.ldap_listen)] {
            if !address.ip().is_loopback() {
                return Err(UsageError(format!(
                    "{flag} `{address}` is not a loopback address: this port speaks without TLS, and secrets cross it; \
                     listen on 127.0.0.1 or [::1] and put a TLS proxy or a tunnel in front for other machines"
                )));
            }
        }
        if !self.ldap_listen.is_ipv4() {
            return Err(UsageError(format!(
                "--ldap-listen `{}` is an IPv6 address, which PostgreSQL cannot name to its LDAP client: expected one such as \
                 `127.0.0.1:0`",
                self.ldap_listen
            )));
        }
        if let Some(domain) = &self.endpoint_domain {
            let label = |l: &str| {
                (1..=63).contains(&l.len())
                    && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                    && !l.starts_with('-')
                    && !l.ends_with('-')
            };
            if domain.len() > 150 || !domain.split('.').all(label) {
                return Err(UsageError(format!(
                    "--endpoint-domain `{domain}` is not a domain name: expected one such as `db.example.com`"
                )));
            }
        }
        if let Some(plugin) = self.mysql_plugin.as_ref().filter(|plugin| !plugin.is_file()) {
            return Err(UsageError(format!("--mysql-plugin `{}` is not a file", plugin.display())));
        }
        let service = &self.pam_service;
        if service.is_empty() || !service.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
            return Err(UsageError(format!(
                "--pam-service `{service}` is not the name of a PAM service: expected letters, digits, `.`, `_`, `-`"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn settle(arguments: &[&str]) -> anyhow::Result<Settings> {
        Cli::try_parse_from(std::iter::once(&"serve").chain(arguments))?.arguments.settle()
    }

    #[test]
    fn flags_go_before_the_file_and_the_file_before_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("countersign.toml");
        std::fs::write(&path, "listen = \"127.0.0.1:1\"\naccount-id = \"210987654321\"\n").unwrap();
        let path = path.to_str().unwrap();
        let settings = settle(&["--config", path, "--listen", "127.0.0.1:2"]).unwrap();
        assert_eq!(settings.listen.port(), 2);
        assert_eq!(settings.account_id.unwrap().as_str(), "210987654321");
        assert_eq!(settings.door, DoorSetting::Auto);
    }

    #[test]
    fn a_switch_is_set_in_the_file_and_taken_back_by_its_flag() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("countersign.toml");
        std::fs::write(&path, "source-ip = true\n").unwrap();
        let path = path.to_str().unwrap();
        assert!(!settle(&[]).unwrap().source_ip && settle(&["--source-ip"]).unwrap().source_ip);
        assert!(settle(&["--config", path]).unwrap().source_ip);
        assert!(!settle(&["--config", path, "--source-ip=false"]).unwrap().source_ip);
        assert!(settle(&["--source-ip=maybe"]).is_err());
    }

    #[test]
    fn wrong_settings_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("countersign.toml");
        std::fs::write(&path, "lisen = \"127.0.0.1:1\"\n").unwrap();
        let error = settle(&["--config", path.to_str().unwrap()]).unwrap_err().to_string();
        assert!(error.contains("lisen") && error.contains("listen"), "{error}");
        let error = settle(&["--listen", "0.0.0.0:4590"]).unwrap_err();
        assert!(error.downcast_ref::<UsageError>().is_some_and(|e| e.0.contains("loopback")), "{error}");
        assert!(settle(&["--endpoint-domain", "a..b"]).is_err());
        assert!(settle(&["--pam-service", "../x"]).is_err());
        let error = settle(&["--mysql-plugin", "/no/such.so"]).unwrap_err().to_string();
        assert!(error.contains("--mysql-plugin `/no/such.so`"), "{error}");
    }
}
