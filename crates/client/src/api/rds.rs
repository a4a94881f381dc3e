//! RDS: a database by its identifier, or by the host that a client dials.

use serde::Deserialize;

use super::{Api, ApiError, Service};

/// More pages than these are not turned: a hundred databases are on each.
const MOST_PAGES: usize = 50;

/// An instance, as DescribeDBInstances shows it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Instance {
    /// Its identifier.
    #[serde(rename = "DBInstanceIdentifier")]
    pub identifier: String,
    /// Such as `postgres`, `aurora-mysql`.
    #[serde(rename = "Engine")]
    pub engine: String,
    /// Such as `15.4`.
    #[serde(rename = "EngineVersion", default)]
    pub engine_version: String,
    /// Such as `available`.
    #[serde(rename = "DBInstanceStatus", default)]
    pub status: String,
    /// None while it is being created.
    #[serde(rename = "Endpoint", default)]
    pub endpoint: Option<Address>,
    /// `db-` and 26 characters.
    #[serde(rename = "DbiResourceId", default)]
    pub resource_id: String,
    /// Whether tokens are taken.
    #[serde(rename = "IAMDatabaseAuthenticationEnabled", default)]
    pub iam_enabled: bool,
    /// What waits for the maintenance window.
    #[serde(rename = "PendingModifiedValues", default)]
    pub pending: Pending,
    /// The authority of its certificate.
    #[serde(rename = "CACertificateIdentifier", default)]
    pub ca: Option<String>,
    /// Whether it has an address outside of its network.
    #[serde(rename = "PubliclyAccessible", default)]
    pub publicly_accessible: Option<bool>,
    /// The cluster that it is a member of.
    #[serde(rename = "DBClusterIdentifier", default)]
    pub cluster: Option<String>,
    /// The master user.
    #[serde(rename = "MasterUsername", default)]
    pub master_user: Option<String>,
}

/// Where an instance answers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Address {
    /// The host.
    #[serde(default)]
    pub address: Option<String>,
    /// The port.
    #[serde(default)]
    pub port: Option<u16>,
}

/// Changes that have not been made yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Pending {
    /// Whether tokens will be taken.
    #[serde(rename = "IAMDatabaseAuthenticationEnabled", default)]
    pub iam_enabled: Option<bool>,
    /// The authority of the next certificate.
    #[serde(rename = "CACertificateIdentifier", default)]
    pub ca: Option<String>,
}

/// A cluster, as DescribeDBClusters shows it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Cluster {
    /// Its identifier.
    #[serde(rename = "DBClusterIdentifier")]
    pub identifier: String,
    /// Such as `aurora-postgresql`.
    #[serde(rename = "Engine")]
    pub engine: String,
    /// Such as `15.4`.
    #[serde(rename = "EngineVersion", default)]
    pub engine_version: String,
    /// Such as `available`.
    #[serde(rename = "Status", default)]
    pub status: String,
    /// The host of the writer.
    #[serde(rename = "Endpoint", default)]
    pub endpoint: Option<String>,
    /// The host of the readers.
    #[serde(rename = "ReaderEndpoint", default)]
    pub reader_endpoint: Option<String>,
    #[serde(rename = "CustomEndpoints", default)]
    custom_endpoints: Members<String>,
    /// The port of all of them.
    #[serde(rename = "Port", default)]
    pub port: Option<u16>,
    /// `cluster-` and 26 characters.
    #[serde(rename = "DbClusterResourceId", default)]
    pub resource_id: String,
    /// Whether tokens are taken.
    #[serde(rename = "IAMDatabaseAuthenticationEnabled", default)]
    pub iam_enabled: bool,
    /// What waits for the maintenance window.
    #[serde(rename = "PendingModifiedValues", default)]
    pub pending: Pending,
    /// The master user.
    #[serde(rename = "MasterUsername", default)]
    pub master_user: Option<String>,
    /// Whether it has an address outside of its network; said of some clusters only.
    #[serde(rename = "PubliclyAccessible", default)]
    pub publicly_accessible: Option<bool>,
}

impl Cluster {
    /// The hosts that people named themselves.
    pub fn custom_endpoints(&self) -> &[String] {
        &self.custom_endpoints.member
    }

    fn hosts(&self) -> impl Iterator<Item = &String> {
        self.endpoint.iter().chain(&self.reader_endpoint).chain(&self.custom_endpoints.member)
    }
}

/// What a database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An instance, also one of a cluster.
    Instance,
    /// A cluster.
    Cluster,
}

impl Kind {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Instance => "instance",
            Self::Cluster => "cluster",
        }
    }
}

/// A database, with all that matters for a login to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which of the two has the identifier.
    pub kind: Kind,
    /// The identifier.
    pub identifier: String,
    /// The cluster, if it is one or a member of one.
    pub cluster: Option<String>,
    /// Such as `postgres`, `aurora-mysql`.
    pub engine: String,
    /// Such as `15.4`.
    pub engine_version: String,
    /// The host to dial, of a cluster the writer's; none while it is being created.
    pub address: Option<String>,
    /// The port.
    pub port: Option<u16>,
    /// What policies name: of a cluster and of its members the cluster's.
    pub resource_id: String,
    /// Whether tokens are taken.
    pub iam_enabled: bool,
    /// Whether they will be, after the maintenance window.
    pub pending_iam: Option<bool>,
    /// The authority of the certificate; of a cluster none is said.
    pub ca_certificate_identifier: Option<String>,
    /// The authority of the next certificate.
    pub pending_ca: Option<String>,
    /// Such as `available`.
    pub status: String,
    /// Whether it has an address outside of its network.
    pub publicly_accessible: Option<bool>,
    /// The master user.
    pub master_user: Option<String>,
}

impl Found {
    fn new_instance(instance: Instance, cluster: Option<Cluster>) -> Self {
        let (address, port) =
            instance.endpoint.map_or((None, None), |endpoint| (endpoint.address, endpoint.port));
        // "Does not apply" to the members: what the cluster has counts.
        let (resource_id, iam_enabled, pending_iam, master_user) = match cluster {
            Some(cluster) => {
                (cluster.resource_id, cluster.iam_enabled, cluster.pending.iam_enabled, cluster.master_user)
            }
            None => (
                instance.resource_id,
                instance.iam_enabled,
                instance.pending.iam_enabled,
                instance.master_user,
            ),
        };
        Self {
            kind: Kind::Instance,
            identifier: instance.identifier,
            cluster: instance.cluster,
            engine: instance.engine,
            engine_version: instance.engine_version,
            address,
            port,
            resource_id,
            iam_enabled,
            pending_iam,
            ca_certificate_identifier: instance.ca,
            pending_ca: instance.pending.ca,
            status: instance.status,
            publicly_accessible: instance.publicly_accessible,
            master_user,
        }
    }

    /// `host` is the one that it was found by, if it was.
    fn new_cluster(cluster: Cluster, host: Option<&str>) -> Self {
        let dialled = host.and_then(|host| cluster.hosts().find(|own| own.eq_ignore_ascii_case(host)));
        Self {
            kind: Kind::Cluster,
            address: dialled.or(cluster.endpoint.as_ref()).cloned(),
            cluster: Some(cluster.identifier.clone()),
            identifier: cluster.identifier,
            engine: cluster.engine,
            engine_version: cluster.engine_version,
            port: cluster.port,
            resource_id: cluster.resource_id,
            iam_enabled: cluster.iam_enabled,
            pending_iam: cluster.pending.iam_enabled,
            ca_certificate_identifier: None,
            pending_ca: None,
            status: cluster.status,
            publicly_accessible: cluster.publicly_accessible,
            master_user: cluster.master_user,
        }
    }
}

#[derive(Deserialize)]
struct InstancesResponse {
    #[serde(rename = "DescribeDBInstancesResult")]
    result: InstancesResult,
}

#[derive(Deserialize)]
struct InstancesResult {
    #[serde(rename = "Marker", default)]
    marker: Option<String>,
    #[serde(rename = "DBInstances", default)]
    instances: Instances,
}

#[derive(Default, Deserialize)]
struct Instances {
    #[serde(rename = "DBInstance", default)]
    items: Vec<Instance>,
}

#[derive(Deserialize)]
struct ClustersResponse {
    #[serde(rename = "DescribeDBClustersResult")]
    result: ClustersResult,
}

#[derive(Deserialize)]
struct ClustersResult {
    #[serde(rename = "Marker", default)]
    marker: Option<String>,
    #[serde(rename = "DBClusters", default)]
    clusters: Clusters,
}

#[derive(Default, Deserialize)]
struct Clusters {
    #[serde(rename = "DBCluster", default)]
    items: Vec<Cluster>,
}

#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
struct Members<T> {
    #[serde(default = "Vec::new")]
    member: Vec<T>,
}

impl Api {
    /// The instances: one by its identifier, or all.
    ///
    /// # Errors
    /// [`ApiError`]; `DBInstanceNotFound` for an identifier that there is not.
    pub async fn instances(&self, identifier: Option<&str>) -> Result<Vec<Instance>, ApiError> {
        let mut all = Vec::new();
        let mut marker = None::<String>;
        for _ in 0..MOST_PAGES {
            let parameters = page("DBInstanceIdentifier", identifier, marker.as_deref());
            let InstancesResponse { result } =
                self.call(Service::Rds, "DescribeDBInstances", &parameters).await?;
            all.extend(result.instances.items);
            marker = result.marker.filter(|marker| !marker.is_empty());
            if marker.is_none() {
                break;
            }
        }
        Ok(all)
    }

    /// The clusters: one by its identifier, or all.
    ///
    /// # Errors
    /// [`ApiError`]; `DBClusterNotFoundFault` for an identifier that there is not.
    pub async fn clusters(&self, identifier: Option<&str>) -> Result<Vec<Cluster>, ApiError> {
        let mut all = Vec::new();
        let mut marker = None::<String>;
        for _ in 0..MOST_PAGES {
            let parameters = page("DBClusterIdentifier", identifier, marker.as_deref());
            let ClustersResponse { result } =
                self.call(Service::Rds, "DescribeDBClusters", &parameters).await?;
            all.extend(result.clusters.items);
            marker = result.marker.filter(|marker| !marker.is_empty());
            if marker.is_none() {
                break;
            }
        }
        Ok(all)
    }

    /// The instance or else the cluster with an identifier.
    ///
    /// # Errors
    /// [`ApiError::NoDatabase`] where there is neither.
    pub async fn find_database(&self, identifier: &str) -> Result<Found, ApiError> {
        if let Some(instance) = found(self.instances(Some(identifier)).await)? {
            return self.with_cluster(instance).await;
        }
        match found(self.clusters(Some(identifier)).await)? {
            Some(cluster) => Ok(Found::new_cluster(cluster, None)),
            None => Err(ApiError::NoDatabase(identifier.to_owned(), self.region().clone())),
        }
    }

    /// The database that answers at a host: of several at one host, the one with `port`.
    ///
    /// # Errors
    /// [`ApiError::NoDatabase`] where none does.
    pub async fn find_by_address(&self, host: &str, port: u16) -> Result<Found, ApiError> {
        // Amazon's host names begin with the identifier: then one question does, which a narrow policy may allow.
        if let Some((identifier, is_cluster)) = identifier_in(host) {
            let named = if is_cluster {
                found(self.clusters(Some(identifier)).await)?
                    .filter(|cluster| cluster.hosts().any(|own| own.eq_ignore_ascii_case(host)))
                    .map(|cluster| Found::new_cluster(cluster, Some(host)))
            } else {
                match found(self.instances(Some(identifier)).await)?.filter(|instance| instance.is_at(host)) {
                    Some(instance) => Some(self.with_cluster(instance).await?),
                    None => None,
                }
            };
            if let Some(named) = named {
                return Ok(named);
            }
        }
        let instances = self.instances(None).await?;
        let here = || instances.iter().filter(|instance| instance.is_at(host));
        let with_port = |instance: &&Instance| {
            instance.endpoint.as_ref().is_some_and(|endpoint| endpoint.port == Some(port))
        };
        if let Some(instance) = here().find(with_port) {
            return self.with_cluster(instance.clone()).await;
        }
        let clusters = self.clusters(None).await?;
        let of_host =
            || clusters.iter().filter(|cluster| cluster.hosts().any(|own| own.eq_ignore_ascii_case(host)));
        if let Some(cluster) = of_host().find(|cluster| cluster.port == Some(port)) {
            return Ok(Found::new_cluster(cluster.clone(), Some(host)));
        }
        // Another port than any has: which one is meant is clear where only one is there.
        let (mut here, mut of_host) = (here(), of_host());
        match (here.next(), here.next(), of_host.next(), of_host.next()) {
            (Some(instance), None, None, _) => self.with_cluster(instance.clone()).await,
            (None, _, Some(cluster), None) => Ok(Found::new_cluster(cluster.clone(), Some(host))),
            _ => Err(ApiError::NoDatabase(format!("{host}:{port}"), self.region().clone())),
        }
    }

    async fn with_cluster(&self, instance: Instance) -> Result<Found, ApiError> {
        let cluster = match &instance.cluster {
            Some(identifier) => found(self.clusters(Some(identifier)).await)?,
            None => None,
        };
        Ok(Found::new_instance(instance, cluster))
    }
}

impl Instance {
    fn is_at(&self, host: &str) -> bool {
        let own = self.endpoint.as_ref().and_then(|endpoint| endpoint.address.as_ref());
        own.is_some_and(|own| own.eq_ignore_ascii_case(host))
    }
}

/// The one that was asked for; none where there is no such, or where a name of that form cannot be.
fn found<T>(asked: Result<Vec<T>, ApiError>) -> Result<Option<T>, ApiError> {
    match asked {
        Ok(all) => Ok(all.into_iter().next()),
        Err(error) => match error.code() {
            Some(
                "DBInstanceNotFound"
                | "DBInstanceNotFoundFault"
                | "DBClusterNotFoundFault"
                | "DBClusterNotFound"
                | "InvalidParameterValue",
            ) => Ok(None),
            _ => Err(error),
        },
    }
}

fn page<'a>(name: &'a str, identifier: Option<&'a str>, marker: Option<&'a str>) -> Vec<(&'a str, &'a str)> {
    let identifier = identifier.map(|identifier| (name, identifier));
    let size = identifier.is_none().then_some(("MaxRecords", "100"));
    identifier.into_iter().chain(size).chain(marker.map(|marker| ("Marker", marker))).collect()
}

/// The identifier in a host name of Amazon's, and whether it is a cluster's. A custom endpoint's name is no identifier.
fn identifier_in(host: &str) -> Option<(&str, bool)> {
    let mut labels = host.split('.');
    let (first, second) = (labels.next()?, labels.next()?);
    let amazon = host.contains(".rds.") || host.contains(".rds-fips.");
    let custom = ["cluster-custom-", "proxy-", "global-"].iter().any(|kind| second.starts_with(kind));
    (amazon && !custom && !first.is_empty()).then_some((first, second.starts_with("cluster-")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::wire::read;

    const INSTANCES: &str = r#"<DescribeDBInstancesResponse xmlns="http://rds.amazonaws.com/doc/2014-10-31/">
  <DescribeDBInstancesResult>
    <Marker>next</Marker>
    <DBInstances>
      <DBInstance>
        <DBInstanceIdentifier>mydb</DBInstanceIdentifier>
        <DBInstanceClass>db.t3.micro</DBInstanceClass>
        <Engine>postgres</Engine>
        <DBInstanceStatus>available</DBInstanceStatus>
        <MasterUsername>postgres</MasterUsername>
        <Endpoint><Address>mydb.abcdefghijkl.us-east-1.rds.amazonaws.com</Address><Port>5433</Port><HostedZoneId>Z2</HostedZoneId></Endpoint>
        <VpcSecurityGroups><VpcSecurityGroupMembership><Status>active</Status></VpcSecurityGroupMembership></VpcSecurityGroups>
        <PendingModifiedValues><IAMDatabaseAuthenticationEnabled>true</IAMDatabaseAuthenticationEnabled></PendingModifiedValues>
        <EngineVersion>15.4</EngineVersion>
        <PubliclyAccessible>false</PubliclyAccessible>
        <DbiResourceId>db-ABCDEFGHIJKLMNOPQRSTUVWXYZ</DbiResourceId>
        <CACertificateIdentifier>rds-ca-rsa2048-g1</CACertificateIdentifier>
        <IAMDatabaseAuthenticationEnabled>false</IAMDatabaseAuthenticationEnabled>
      </DBInstance>
      <DBInstance>
        <DBInstanceIdentifier>member</DBInstanceIdentifier><Engine>aurora-mysql</Engine>
        <DBInstanceStatus>creating</DBInstanceStatus><PendingModifiedValues/>
        <DBClusterIdentifier>shop</DBClusterIdentifier><DbiResourceId>db-MEMBER</DbiResourceId>
      </DBInstance>
    </DBInstances>
  </DescribeDBInstancesResult>
  <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata>
</DescribeDBInstancesResponse>"#;

    const CLUSTERS: &str = r#"<DescribeDBClustersResponse xmlns="http://rds.amazonaws.com/doc/2014-10-31/">
  <DescribeDBClustersResult><DBClusters><DBCluster>
    <DBClusterIdentifier>shop</DBClusterIdentifier><Engine>aurora-mysql</Engine><Status>available</Status>
    <Endpoint>shop.cluster-abc.eu-west-1.rds.amazonaws.com</Endpoint>
    <ReaderEndpoint>shop.cluster-ro-abc.eu-west-1.rds.amazonaws.com</ReaderEndpoint>
    <CustomEndpoints><member>etl.cluster-custom-abc.eu-west-1.rds.amazonaws.com</member></CustomEndpoints>
    <Port>3306</Port><DbClusterResourceId>cluster-ABC</DbClusterResourceId>
    <IAMDatabaseAuthenticationEnabled>true</IAMDatabaseAuthenticationEnabled>
  </DBCluster></DBClusters></DescribeDBClustersResult>
  <ResponseMetadata><RequestId>1</RequestId></ResponseMetadata>
</DescribeDBClustersResponse>"#;

    #[test]
    fn instances_are_read() {
        let InstancesResponse { result } = read("DescribeDBInstances", 200, INSTANCES.as_bytes()).unwrap();
        assert_eq!(result.marker.as_deref(), Some("next"));
        let [instance, member] = result.instances.items.try_into().unwrap();
        assert!(instance.is_at("MYDB.abcdefghijkl.us-east-1.rds.amazonaws.com"));
        let found = Found::new_instance(instance, None);
        assert_eq!((found.port, found.iam_enabled, found.pending_iam), (Some(5433), false, Some(true)));
        assert_eq!(found.ca_certificate_identifier.as_deref(), Some("rds-ca-rsa2048-g1"));
        assert_eq!(found.publicly_accessible, Some(false));

        let ClustersResponse { result } = read("DescribeDBClusters", 200, CLUSTERS.as_bytes()).unwrap();
        let cluster = result.clusters.items.into_iter().next();
        let found = Found::new_instance(member, cluster.clone());
        assert_eq!((found.address, found.resource_id.as_str()), (None, "cluster-ABC"));
        assert!(found.iam_enabled, "the cluster's");

        let cluster = cluster.unwrap();
        let reader = "shop.cluster-ro-ABC.eu-west-1.rds.amazonaws.com";
        let found = Found::new_cluster(cluster.clone(), Some(reader));
        assert!(found.address.unwrap().eq_ignore_ascii_case(reader));
        assert_eq!(cluster.custom_endpoints().len(), 1);
        let found = Found::new_cluster(cluster, None);
        assert_eq!(found.address.as_deref(), Some("shop.cluster-abc.eu-west-1.rds.amazonaws.com"));
    }

    #[test]
    fn no_database_at_all_is_an_answer_too() {
        let body = "<DescribeDBInstancesResponse><DescribeDBInstancesResult><DBInstances/></DescribeDBInstancesResult></DescribeDBInstancesResponse>";
        let InstancesResponse { result } = read("DescribeDBInstances", 200, body.as_bytes()).unwrap();
        assert!(result.instances.items.is_empty() && result.marker.is_none());
    }

    #[test]
    fn identifiers_in_host_names() {
        for (host, identifier) in [
            ("mydb.abc.us-east-1.rds.amazonaws.com", Some(("mydb", false))),
            ("shop.cluster-abc.us-east-1.rds.amazonaws.com", Some(("shop", true))),
            ("shop.cluster-ro-abc.us-east-1.rds.amazonaws.com", Some(("shop", true))),
            ("etl.cluster-custom-abc.us-east-1.rds.amazonaws.com", None),
            ("p.proxy-abc.us-east-1.rds.amazonaws.com", None),
            ("mydb.abc.rds.cn-north-1.amazonaws.com.cn", Some(("mydb", false))),
            ("db.example.com", None),
            ("localhost", None),
        ] {
            assert_eq!(identifier_in(host), identifier, "{host}");
        }
    }
}
