//! From the store to the snapshot: a task follows every commit and publishes a picture of the new revision.
//!
//! Readers take the current picture and never wait. Whoever wrote may wait until what it wrote is in force. When the store
//! goes away the last picture stays, and the task tries again.

use crate::kv::{Event, Operation, Revision, StoreError};
use crate::records::{
    AccessKey, Cluster, Group, InlinePolicies, Instance, KeyStatus, ManagedPolicy, Record, Role,
    ServiceControlPolicy, Session, SessionPolicies, SessionPrincipal, User,
};
use crate::{MasterKey, Records, SealError, Sealed};
use arc_swap::ArcSwap;
use futures_util::StreamExt;
use iam::{
    AccountId, Arn, Credential, Database, Editor, Holder, NamedPolicy, Naming, Policies, SecurityToken,
    ServiceControlLevel, SessionCredential, Snapshot,
};
use policy::Kind;
use sigv4::{KeyCache, SecretKey, Timestamp};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The snapshot that is in force.
#[derive(Debug)]
pub struct Published {
    current: ArcSwap<Snapshot>,
    revision: watch::Sender<Revision>,
}

impl Published {
    /// A snapshot that is in force from now on, with nothing following the store; [`follow`] makes one that does.
    pub fn new(snapshot: Snapshot) -> Self {
        let revision = watch::Sender::new(snapshot.revision());
        Self { current: ArcSwap::from_pointee(snapshot), revision }
    }

    /// The snapshot in force.
    pub fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// The snapshot in force, without touching its reference count: for the login path.
    pub fn peek(&self) -> arc_swap::Guard<Arc<Snapshot>> {
        self.current.load()
    }

    /// Waits until the revision is in force.
    pub async fn wait_for(&self, revision: Revision) {
        // The sender lives in `self`: it cannot be gone while this waits.
        let waited = self.revision.subscribe().wait_for(|published| *published >= revision).await.map(|_| ());
        debug_assert!(waited.is_ok());
    }

    fn publish(&self, snapshot: Snapshot) {
        let revision = snapshot.revision();
        self.current.store(Arc::new(snapshot));
        self.revision.send_replace(revision);
    }
}

/// Reads the store, and follows it from then on. Returns when the first snapshot is in force.
pub async fn follow(
    records: Records,
    master_key: Arc<MasterKey>,
    naming: Naming,
    account: AccountId,
) -> Result<Arc<Published>, StoreError> {
    let mut follower = Follower {
        snapshot: Snapshot::new(account),
        records,
        master_key,
        naming,
        policy_arns: HashMap::new(),
        instances: BTreeMap::new(),
        clusters: BTreeMap::new(),
        service_control: BTreeMap::new(),
    };
    follower.load().await?;
    let published = Arc::new(Published::new(follower.snapshot.clone()));
    let to = published.clone();
    tokio::spawn(async move {
        loop {
            let error = follower.run(&to).await;
            tracing::error!(%error, "the store cannot be followed; logins go on from revision {}", follower.snapshot.revision());
            tokio::time::sleep(Duration::from_secs(1)).await;
            match follower.load().await {
                Ok(()) => to.publish(follower.snapshot.clone()),
                Err(error) => tracing::error!(%error, "the store cannot be read"),
            }
        }
    });
    Ok(published)
}

struct Follower {
    records: Records,
    master_key: Arc<MasterKey>,
    naming: Naming,
    snapshot: Snapshot,
    /// What a deleted policy's key stood for.
    policy_arns: HashMap<String, Arn>,
    instances: BTreeMap<String, Instance>,
    clusters: BTreeMap<String, Cluster>,
    /// By key, in the order of levels.
    service_control: BTreeMap<String, NamedPolicy>,
}

impl Follower {
    async fn load(&mut self) -> Result<(), StoreError> {
        let range = self.records.store().range("/").await?;
        let mut editor = Snapshot::new(self.snapshot.account()).edit();
        self.policy_arns.clear();
        self.instances.clear();
        self.clusters.clear();
        self.service_control.clear();
        for entry in &range.entries {
            self.put(&mut editor, &entry.key, &entry.value);
        }
        self.snapshot = editor.finish(range.revision);
        Ok(())
    }

    /// Follows until the watch breaks.
    async fn run(&mut self, published: &Published) -> StoreError {
        let watch = match self.records.store().watch("/", self.snapshot.revision()).await {
            Ok(watch) => watch,
            Err(error) => return error,
        };
        let mut batches = watch.ready_chunks(256);
        while let Some(batch) = batches.next().await {
            let mut editor = self.snapshot.edit();
            let mut revision = self.snapshot.revision();
            let mut broken = None;
            for event in batch {
                match event {
                    Ok(event) => {
                        revision = event.revision;
                        self.apply(&mut editor, &event);
                    }
                    Err(error) => broken = Some(error),
                }
            }
            self.snapshot = editor.finish(revision);
            published.publish(self.snapshot.clone());
            if let Some(error) = broken {
                return error;
            }
        }
        StoreError::Storage("the watch ended".to_owned())
    }

    fn apply(&mut self, editor: &mut Editor, event: &Event) {
        for operation in &event.operations {
            match operation {
                Operation::Put(key, value) => self.put(editor, key, value),
                Operation::Delete(key) => self.delete(editor, key),
            }
        }
    }

    /// A record that cannot be read is taken out: nobody logs in by what is not understood.
    fn put(&mut self, editor: &mut Editor, key: &str, value: &[u8]) {
        if let Err(error) = self.try_put(editor, key, value) {
            tracing::error!(record = key, %error, "a record cannot be used and counts as deleted");
            self.delete(editor, key);
        }
    }

    fn try_put(&mut self, editor: &mut Editor, key: &str, value: &[u8]) -> Result<(), Unusable> {
        if let Some(folded) = key.strip_prefix(User::PREFIX) {
            editor.put_user(folded, self.user(&serde_json::from_slice(value)?)?);
        } else if let Some(folded) = key.strip_prefix(Group::PREFIX) {
            editor.put_group(folded, self.group(&serde_json::from_slice(value)?)?);
        } else if let Some(folded) = key.strip_prefix(Role::PREFIX) {
            editor.put_role(folded, self.role(&serde_json::from_slice(value)?)?);
        } else if key.starts_with(ManagedPolicy::PREFIX) {
            let policy: ManagedPolicy = serde_json::from_slice(value)?;
            let version = policy.versions.get(&policy.default_version).ok_or(Unusable::NoDefaultVersion)?;
            let compiled = NamedPolicy::compile(policy.arn.as_str(), &version.document, Kind::Managed);
            self.policy_arns.insert(key.to_owned(), policy.arn.clone());
            editor.put_policy(policy.arn, compiled);
        } else if key.starts_with(AccessKey::PREFIX) {
            editor.put_credential(self.access_key(key, &serde_json::from_slice(value)?)?);
        } else if key.starts_with(Session::PREFIX) {
            editor.put_credential(self.session(key, &serde_json::from_slice(value)?)?);
        } else if key.starts_with(Instance::PREFIX) {
            let instance: Instance = serde_json::from_slice(value)?;
            if instance.cluster.is_none() {
                editor.put_database(self.instance_database(&instance));
            }
            self.instances.insert(key.to_owned(), instance);
        } else if key.starts_with(Cluster::PREFIX) {
            let cluster: Cluster = serde_json::from_slice(value)?;
            editor.put_database(self.cluster_database(&cluster));
            self.clusters.insert(key.to_owned(), cluster);
        } else if key.starts_with(ServiceControlPolicy::PREFIX) {
            self.service_control.insert(key.to_owned(), service_control_policy(key, value));
            editor.set_service_control(self.service_control_levels());
        }
        Ok(())
    }

    fn delete(&mut self, editor: &mut Editor, key: &str) {
        if let Some(folded) = key.strip_prefix(User::PREFIX) {
            editor.remove_user(folded);
        } else if let Some(folded) = key.strip_prefix(Group::PREFIX) {
            editor.remove_group(folded);
        } else if let Some(folded) = key.strip_prefix(Role::PREFIX) {
            editor.remove_role(folded);
        } else if key.starts_with(ManagedPolicy::PREFIX) {
            if let Some(arn) = self.policy_arns.remove(key) {
                editor.remove_policy(&arn);
            }
        } else if let Some(id) =
            key.strip_prefix(AccessKey::PREFIX).or_else(|| key.strip_prefix(Session::PREFIX))
        {
            if let Ok(id) = id.parse() {
                editor.remove_credential(&id);
            }
        } else if let Some(instance) = self.instances.remove(key) {
            if instance.cluster.is_none() {
                editor.remove_database(&instance.resource_id);
            }
        } else if let Some(cluster) = self.clusters.remove(key) {
            editor.remove_database(&cluster.resource_id);
        } else if self.service_control.remove(key).is_some() {
            editor.set_service_control(self.service_control_levels());
        }
    }

    fn arn(&self, kind: &str, path: &iam::Path, name: &str) -> Result<Arn, Unusable> {
        Ok(format!("arn:aws:iam::{}:{kind}{path}{name}", self.snapshot.account()).parse()?)
    }

    fn user(&self, user: &User) -> Result<iam::User, Unusable> {
        Ok(iam::User {
            arn: self.arn("user", &user.path, user.name.as_str())?,
            name: user.name.as_str().into(),
            id: user.id,
            policies: policies(&user.attached, &user.inline),
            groups: user.groups.iter().map(|group| group.folded().into()).collect(),
            boundary: user.boundary.clone(),
            tags: user.tags.iter().collect(),
        })
    }

    fn group(&self, group: &Group) -> Result<iam::Group, Unusable> {
        Ok(iam::Group {
            arn: self.arn("group", &group.path, group.name.as_str())?,
            policies: policies(&group.attached, &group.inline),
        })
    }

    fn role(&self, role: &Role) -> Result<iam::Role, Unusable> {
        Ok(iam::Role {
            arn: self.arn("role", &role.path, role.name.as_str())?,
            id: role.id,
            policies: policies(&role.attached, &role.inline),
            boundary: role.boundary.clone(),
            tags: role.tags.iter().collect(),
        })
    }

    fn secret(&self, record: &str, sealed: &Sealed) -> Result<SecretKey, Unusable> {
        Ok(SecretKey::from_bytes(&self.master_key.open(record, sealed)?))
    }

    fn access_key(&self, record: &str, key: &AccessKey) -> Result<Credential, Unusable> {
        Ok(Credential {
            id: key.id,
            secret: self.secret(record, &key.secret)?,
            keys: KeyCache::default(),
            active: key.status == KeyStatus::Active,
            session: None,
            holder: Holder::User { name: key.user.folded().into(), id: None },
        })
    }

    fn session(&self, record: &str, session: &Session) -> Result<Credential, Unusable> {
        let holder = match &session.principal {
            SessionPrincipal::User { name, id } => Holder::User { name: name.folded().into(), id: Some(*id) },
            SessionPrincipal::Role { name, id, session, .. } => Holder::Role {
                name: name.folded().into(),
                id: *id,
                arn: format!("arn:aws:sts::{}:assumed-role/{name}/{session}", self.snapshot.account())
                    .parse()?,
                user_id: format!("{id}:{session}").into(),
            },
            SessionPrincipal::FederatedUser { user, id, name } => Holder::FederatedUser {
                name: user.folded().into(),
                id: *id,
                arn: format!("arn:aws:sts::{}:federated-user/{name}", self.snapshot.account()).parse()?,
                user_id: format!("{}:{name}", self.snapshot.account()).into(),
            },
        };
        Ok(Credential {
            id: session.id,
            secret: self.secret(record, &session.secret)?,
            keys: KeyCache::default(),
            active: true,
            session: Some(SessionCredential {
                token: SecurityToken::new(self.master_key.open(record, &session.token)?),
                issued: Timestamp::from_unix(session.created.unix_timestamp()),
                expires: Timestamp::from_unix(session.expires.unix_timestamp()),
                policies: session.policies.as_ref().map(session_policies),
                tags: session.tags.iter().collect(),
            }),
            holder,
        })
    }

    fn instance_database(&self, instance: &Instance) -> Database {
        let endpoints =
            self.naming.endpoints(None, &[instance.identifier.as_str()], &instance.region, instance.port);
        let (id, region) = (instance.resource_id.clone(), instance.region.clone());
        Database::new(id, region, self.snapshot.account(), instance.iam_auth, endpoints)
            .with_tags(instance.tags.iter().collect())
    }

    fn cluster_database(&self, cluster: &Cluster) -> Database {
        let members: Vec<&str> = cluster.members.iter().map(String::as_str).collect();
        let endpoints =
            self.naming.endpoints(Some(&cluster.identifier), &members, &cluster.region, cluster.port);
        let (id, region) = (cluster.resource_id.clone(), cluster.region.clone());
        Database::new(id, region, self.snapshot.account(), cluster.iam_auth, endpoints)
            .with_tags(cluster.tags.iter().collect())
    }

    fn service_control_levels(&self) -> Vec<ServiceControlLevel> {
        let level_of = |key: &str| {
            let key = key.strip_prefix(ServiceControlPolicy::PREFIX).unwrap_or(key);
            key.split('/').next().unwrap_or_default().to_owned()
        };
        let policies: Vec<(String, &NamedPolicy)> =
            self.service_control.iter().map(|(key, policy)| (level_of(key), policy)).collect();
        // Those of a level come one after the other, as their keys do.
        let levels = policies.chunk_by(|a, b| a.0 == b.0).map(|level| ServiceControlLevel {
            name: level.first().map(|(name, _)| name.as_str()).unwrap_or_default().into(),
            policies: level.iter().map(|(_, policy)| (*policy).clone()).collect(),
        });
        levels.collect()
    }
}

/// A limit that cannot be read is not lifted: it denies everything, as any policy does that cannot be read.
fn service_control_policy(key: &str, value: &[u8]) -> NamedPolicy {
    match serde_json::from_slice::<ServiceControlPolicy>(value) {
        Ok(record) => NamedPolicy::compile(record.name.as_str(), &record.document, Kind::ServiceControl),
        Err(error) => {
            tracing::error!(record = key, %error, "a service control policy cannot be read: nothing is allowed");
            NamedPolicy { name: key.into(), policy: Err(error.to_string().into()) }
        }
    }
}

fn session_policies(passed: &SessionPolicies) -> Policies {
    let inline =
        passed.inline.iter().map(|document| NamedPolicy::compile("session policy", document, Kind::Session));
    Policies { managed: passed.managed.iter().cloned().collect(), inline: inline.collect() }
}

fn policies(attached: &BTreeSet<Arn>, inline: &InlinePolicies) -> Policies {
    Policies {
        managed: attached.iter().cloned().collect(),
        inline: inline
            .iter()
            .map(|(name, document)| NamedPolicy::compile(name.as_str(), document, Kind::Inline))
            .collect(),
    }
}

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error(transparent)]
    Arn(#[from] iam::ArnError),
    #[error("its default version does not exist")]
    NoDefaultVersion,
}
