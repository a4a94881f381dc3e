//! Databases as a login sees them: their resource id, their region, whether IAM is on, and every spelling of their
//! endpoints; and how those spellings are made.

use crate::{AccountId, Region, ResourceId, Tags};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A database engine, by the name the RDS API has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Engine {
    /// `postgres`
    Postgres,
    /// `aurora-postgresql`
    AuroraPostgresql,
    /// `mysql`
    Mysql,
    /// `mariadb`
    Mariadb,
    /// `aurora-mysql`
    AuroraMysql,
}

/// The server program that serves an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Product {
    /// `postgres`
    PostgreSql,
    /// `mysqld`
    MySql,
    /// `mariadbd`
    MariaDb,
}

impl Product {
    /// The product as its makers write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PostgreSql => "PostgreSQL",
            Self::MySql => "MySQL",
            Self::MariaDb => "MariaDB",
        }
    }

    /// The engines that it serves, the stand-alone one first.
    pub fn engines(self) -> &'static [Engine] {
        match self {
            Self::PostgreSql => &[Engine::Postgres, Engine::AuroraPostgresql],
            Self::MySql => &[Engine::Mysql, Engine::AuroraMysql],
            Self::MariaDb => &[Engine::Mariadb],
        }
    }

    /// Whether the parameter that forces TLS on every connection, IAM or not, is on in a series where no parameter group
    /// says otherwise: `require_secure_transport` as on RDS, where it is from MySQL 8.4 and MariaDB 11.8 on;
    /// `rds.force_ssl` in every series, where RDS has it so from PostgreSQL 15 on.
    pub fn forces_tls_by_default(self, series: &str) -> bool {
        let first = match self {
            Self::PostgreSql => return true,
            Self::MySql => [8, 4],
            Self::MariaDb => [11, 8],
        };
        let numbers: Vec<u32> = series.split('.').map_while(|part| part.parse().ok()).collect();
        numbers.as_slice() >= first.as_slice()
    }

    /// The series that a version belongs to, which stays from one release to the next: `15` of PostgreSQL 15.18, `8.4` of
    /// MySQL 8.4.3 and of Aurora's `8.4.mysql_aurora.8.4.3`, `10.11` of MariaDB 10.11.19. A series is its own.
    pub fn series(self, version: &str) -> &str {
        let parts = match self {
            Self::PostgreSql => 1,
            Self::MySql | Self::MariaDb => 2,
        };
        let end = version.match_indices('.').nth(parts - 1).map_or(version.len(), |(at, _)| at);
        version.get(..end).unwrap_or(version)
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text is no engine we run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an engine that is served here: expected {expected}", expected = names())]
pub struct EngineError(String);

fn names() -> String {
    Engine::ALL.map(|engine| format!("`{engine}`")).join(", ")
}

impl Engine {
    /// Every engine that is served.
    pub const ALL: [Self; 5] =
        [Self::Postgres, Self::AuroraPostgresql, Self::Mysql, Self::AuroraMysql, Self::Mariadb];

    /// The engine's name in the RDS API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::AuroraPostgresql => "aurora-postgresql",
            Self::Mysql => "mysql",
            Self::Mariadb => "mariadb",
            Self::AuroraMysql => "aurora-mysql",
        }
    }

    /// The server program that serves it.
    pub fn product(self) -> Product {
        match self {
            Self::Postgres | Self::AuroraPostgresql => Product::PostgreSql,
            Self::Mysql | Self::AuroraMysql => Product::MySql,
            Self::Mariadb => Product::MariaDb,
        }
    }

    /// Whether its instances belong to clusters.
    pub fn is_cluster_engine(self) -> bool {
        matches!(self, Self::AuroraPostgresql | Self::AuroraMysql)
    }

    /// The port that is taken where none is asked for and it is free.
    pub fn default_port(self) -> u16 {
        match self.product() {
            Product::PostgreSql => 5432,
            Product::MySql | Product::MariaDb => 3306,
        }
    }
}

impl FromStr for Engine {
    type Err = EngineError;
    fn from_str(text: &str) -> Result<Self, EngineError> {
        let found = Self::ALL.into_iter().find(|engine| engine.as_str() == text);
        found.ok_or_else(|| EngineError(text.chars().take(64).collect()))
    }
}

impl TryFrom<String> for Engine {
    type Error = EngineError;
    fn try_from(text: String) -> Result<Self, EngineError> {
        text.parse()
    }
}

impl From<Engine> for String {
    fn from(engine: Engine) -> Self {
        engine.as_str().to_owned()
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A place where a database answers, as a token may name it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Lower-case host name or address, IPv6 in brackets.
    pub host: Arc<str>,
    /// TCP port.
    pub port: u16,
    /// `host:port`, as a client that keeps every port signs it.
    pub signed: Arc<str>,
}

impl Endpoint {
    /// An endpoint; the host is folded to lower case.
    pub fn new(host: &str, port: u16) -> Self {
        let host = host.to_ascii_lowercase();
        let signed = format!("{host}:{port}").into();
        Self { host: host.into(), port, signed }
    }
}

/// A database that tokens are checked for.
#[derive(Clone, Debug)]
pub struct Database {
    /// The id that policies name.
    pub resource_id: ResourceId,
    /// The region whose scope tokens must carry.
    pub region: Region,
    /// The region's partition.
    pub partition: &'static str,
    /// The account whose principals may log in.
    pub account: AccountId,
    /// Whether IAM database authentication is switched on.
    pub iam_enabled: bool,
    /// Every spelling under which it may be signed for.
    pub endpoints: Vec<Endpoint>,
    /// `dbuser:<resource id>/`, the resource of a connect but for the user's name.
    pub dbuser_prefix: Arc<str>,
    /// Its tags: the instance's, or the cluster's.
    pub tags: Tags,
}

impl Database {
    /// A database; `endpoints` are all its spellings.
    pub fn new(
        resource_id: ResourceId,
        region: Region,
        account: AccountId,
        iam_enabled: bool,
        endpoints: Vec<Endpoint>,
    ) -> Self {
        let dbuser_prefix = format!("dbuser:{resource_id}/").into();
        let partition = region.partition();
        Self {
            resource_id,
            region,
            partition,
            account,
            iam_enabled,
            endpoints,
            dbuser_prefix,
            tags: Tags::default(),
        }
    }

    /// The same with tags.
    #[must_use]
    pub fn with_tags(self, tags: Tags) -> Self {
        Self { tags, ..self }
    }

    /// Whether a token for this host and port is meant for this database. Hosts are compared without regard to case.
    pub fn answers_at(&self, host: &str, port: u16) -> bool {
        self.endpoint(host, port).is_some()
    }

    /// The endpoint with this host, in any case, and port.
    pub fn endpoint(&self, host: &str, port: u16) -> Option<&Endpoint> {
        self.endpoints.iter().find(|e| e.port == port && e.host.eq_ignore_ascii_case(host))
    }
}

/// How endpoints are named: what Describe shows, what certificates carry and what tokens may be signed for.
#[derive(Clone, Debug)]
pub struct Naming {
    account: AccountId,
    domain: Option<Arc<str>>,
}

impl Naming {
    /// Naming for an account. With a domain, endpoints are shown as `<identifier>.<hash>.<region>.<domain>`, else as
    /// `localhost`.
    pub fn new(account: AccountId, domain: Option<&str>) -> Self {
        Self { account, domain: domain.map(|d| d.trim_matches('.').to_ascii_lowercase().into()) }
    }

    /// The twelve characters that Amazon RDS puts behind an identifier: one and the same for an account in a region.
    fn hash(&self, region: &Region) -> String {
        // FNV-1a: a stable name, nothing that anybody must not guess.
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        for byte in self.account.as_str().bytes().chain(region.as_str().bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        (0..12)
            .map(|_| {
                let index = (hash % 36) as usize;
                hash /= 36;
                ALPHABET.get(index).map_or('a', |b| char::from(*b))
            })
            .collect()
    }

    fn named(&self, identifier: &str, infix: &str, region: &Region) -> impl Iterator<Item = String> + use<> {
        let label = format!("{identifier}.{infix}{}", self.hash(region));
        let own = self.domain.as_ref().map(|domain| format!("{label}.{region}.{domain}"));
        let rds = format!("{label}.{}", region.rds_suffix());
        own.into_iter().chain(std::iter::once(rds))
    }

    fn shown(&self, identifier: &str, infix: &str, region: &Region) -> String {
        match self.domain {
            Some(_) => self.named(identifier, infix, region).next().unwrap_or_default(),
            None => "localhost".to_owned(),
        }
    }

    /// The address of an instance that Describe shows.
    pub fn instance_address(&self, identifier: &str, region: &Region) -> String {
        self.shown(identifier, "", region)
    }

    /// The address of a cluster's writer that Describe shows.
    pub fn writer_address(&self, identifier: &str, region: &Region) -> String {
        self.shown(identifier, "cluster-", region)
    }

    /// The address of a cluster's readers that Describe shows.
    pub fn reader_address(&self, identifier: &str, region: &Region) -> String {
        self.shown(identifier, "cluster-ro-", region)
    }

    /// Every host name and address of a stand-alone instance, or of the members of a cluster: loopback, the RDS-shaped
    /// names, and those under the configured domain.
    pub fn hosts(&self, cluster: Option<&str>, instances: &[&str], region: &Region) -> Vec<String> {
        let mut hosts = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
        if let Some(cluster) = cluster {
            hosts.extend(self.named(cluster, "cluster-", region));
            hosts.extend(self.named(cluster, "cluster-ro-", region));
        }
        for instance in instances {
            hosts.extend(self.named(instance, "", region));
        }
        hosts
    }

    /// [`hosts`](Self::hosts) with the port, as tokens spell them: an IPv6 address stands in brackets and without.
    pub fn endpoints(
        &self,
        cluster: Option<&str>,
        instances: &[&str],
        region: &Region,
        port: u16,
    ) -> Vec<Endpoint> {
        let mut endpoints = Vec::new();
        for host in self.hosts(cluster, instances, region) {
            if host.contains(':') {
                endpoints.push(Endpoint::new(&format!("[{host}]"), port));
            }
            endpoints.push(Endpoint::new(&host, port));
        }
        endpoints
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naming(domain: Option<&str>) -> Naming {
        Naming::new("123456789012".parse().unwrap(), domain)
    }

    #[test]
    fn a_series_is_one_number_of_postgresql_and_two_of_the_others() {
        for (product, version, series) in [
            (Product::PostgreSql, "15.18", "15"),
            (Product::PostgreSql, "18", "18"),
            (Product::MySql, "9.7.4", "9.7"),
            (Product::MySql, "8.0.mysql_aurora.3.08.0", "8.0"),
            (Product::MySql, "8.4", "8.4"),
            (Product::MySql, "8", "8"),
            (Product::MariaDb, "10.11.19", "10.11"),
            (Product::MariaDb, "", ""),
        ] {
            assert_eq!(product.series(version), series, "{product} {version}");
        }
    }

    #[test]
    fn a_local_database_is_shown_as_localhost_and_known_by_its_rds_name() {
        let region = "us-east-1".parse().unwrap();
        assert_eq!(naming(None).instance_address("mydb", &region), "localhost");
        let endpoints = naming(None).endpoints(None, &["mydb"], &region, 5432);
        let hosts: Vec<&str> = endpoints.iter().map(|e| e.host.as_ref()).collect();
        assert_eq!(hosts[..4], ["localhost", "127.0.0.1", "[::1]", "::1"]);
        assert!(
            hosts[4].starts_with("mydb.") && hosts[4].ends_with(".us-east-1.rds.amazonaws.com"),
            "{}",
            hosts[4]
        );
        assert_eq!(hosts[4].split('.').nth(1).map(str::len), Some(12));
    }

    #[test]
    fn a_domain_names_instances_writers_and_readers_apart() {
        let region = "eu-west-1".parse().unwrap();
        let naming = naming(Some("db.example.com"));
        let instance = naming.instance_address("a", &region);
        assert!(instance.starts_with("a.") && instance.ends_with(".eu-west-1.db.example.com"), "{instance}");
        assert!(naming.writer_address("c", &region).starts_with("c.cluster-"));
        assert!(naming.reader_address("c", &region).starts_with("c.cluster-ro-"));
        assert!(naming.hosts(Some("c"), &["a"], &region).contains(&instance));
    }

    #[test]
    fn host_and_port_together_are_the_endpoint() {
        let region: Region = "us-east-1".parse().unwrap();
        let database = Database::new(
            ResourceId::generate(crate::ResourceKind::Instance, [1; 16]),
            region.clone(),
            "123456789012".parse().unwrap(),
            true,
            naming(None).endpoints(None, &["mydb"], &region, 5432),
        );
        assert!(database.answers_at("LocalHost", 5432));
        assert!(!database.answers_at("localhost", 5433));
        assert!(!database.answers_at("localhost.evil", 5432));
    }
}
