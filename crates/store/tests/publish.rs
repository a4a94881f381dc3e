//! The snapshot follows the store: every commit is in force when it is waited for, and a restart publishes the same.
#![allow(clippy::unwrap_used, reason = "a test says so by panicking")]

use iam::{AccessKeyId, AccountId, IdKind, KeyKind, Naming, ResourceId, ResourceKind, UniqueId};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use store::records::{
    AccessKey, Instance, KeyStatus, ManagedPolicy, PolicyVersion, Session, SessionPrincipal, User, Wanted,
};
use store::{Change, EmbeddedStore, MasterKey, Outcome, Published, Record, Records, follow};
use time::OffsetDateTime;
use time::macros::datetime;

const NOW: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);
const POLICY: &str = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "rds-db:connect", "Resource": "*"}}"#;

struct World {
    records: Records,
    master_key: Arc<MasterKey>,
    published: Arc<Published>,
}

impl World {
    async fn open(folder: &Path) -> Self {
        let account: AccountId = "123456789012".parse().unwrap();
        let records = Records::new(Arc::new(EmbeddedStore::open(&folder.join("store.redb")).unwrap()));
        let master_key = Arc::new(MasterKey::load_or_create(&folder.join("master.key")).unwrap());
        let naming = Naming::new(account, None);
        let published = follow(records.clone(), master_key.clone(), naming, account).await.unwrap();
        Self { records, master_key, published }
    }

    async fn commit(&self, change: Change) {
        let Outcome::Committed(revision) = self.records.commit(change).await.unwrap() else { unreachable!() };
        self.published.wait_for(revision).await;
        assert!(self.published.current().revision() >= revision);
    }

    fn access_key(&self, status: KeyStatus) -> AccessKey {
        let id = AccessKeyId::generate(KeyKind::LongTerm, &[1; 16]);
        let secret = self.master_key.seal(&format!("{}{id}", AccessKey::PREFIX), b"secret").unwrap();
        AccessKey { id, user: "Jane".parse().unwrap(), status, created: NOW, secret }
    }

    fn session(&self) -> Session {
        let id = AccessKeyId::generate(KeyKind::Temporary, &[2; 16]);
        let seal = |text: &[u8]| self.master_key.seal(&format!("{}{id}", Session::PREFIX), text).unwrap();
        Session {
            id,
            principal: SessionPrincipal::User { name: "Jane".parse().unwrap(), id: jane().id },
            created: NOW,
            expires: NOW + time::Duration::HOUR,
            secret: seal(b"other secret"),
            token: seal(b"token"),
            policies: None,
            tags: BTreeMap::new(),
            transitive_tags: BTreeSet::new(),
        }
    }
}

fn jane() -> User {
    User {
        name: "Jane".parse().unwrap(),
        id: UniqueId::generate(IdKind::User, &[1; 17]),
        path: "/staff/".parse().unwrap(),
        created: NOW,
        tags: BTreeMap::new(),
        attached: BTreeSet::from([policy().arn]),
        inline: BTreeMap::from([("own".parse().unwrap(), POLICY.to_owned())]),
        groups: BTreeSet::new(),
        boundary: None,
    }
}

fn policy() -> ManagedPolicy {
    ManagedPolicy {
        arn: "arn:aws:iam::123456789012:policy/connect".parse().unwrap(),
        name: "connect".parse().unwrap(),
        id: UniqueId::generate(IdKind::Policy, &[2; 17]),
        path: iam::Path::default(),
        created: NOW,
        updated: NOW,
        description: None,
        tags: BTreeMap::new(),
        versions: BTreeMap::from([(1, PolicyVersion { document: POLICY.to_owned(), created: NOW })]),
        default_version: 1,
        latest_version: 1,
        attachments: 1,
        boundary_uses: 0,
    }
}

fn instance() -> Instance {
    Instance {
        region: "us-east-1".parse().unwrap(),
        identifier: "mydb".to_owned(),
        resource_id: ResourceId::generate(ResourceKind::Instance, [3; 16]),
        engine: iam::Engine::Postgres,
        engine_version: "15.18".to_owned(),
        class: "db.t3.micro".to_owned(),
        cluster: None,
        port: 5432,
        database: None,
        master: None,
        iam_auth: true,
        pending_iam_auth: None,
        ca: "rds-ca-ecc384-g1".to_owned(),
        pending_ca: None,
        parameter_group: "default.postgres15".to_owned(),
        subnet_group: "default".to_owned(),
        deletion_protection: false,
        tags: BTreeMap::new(),
        created: NOW,
        settings: BTreeMap::new(),
        wanted: Wanted::Running,
        generation: 1,
        reboots: 0,
        reboot_awaited_after: None,
    }
}

/// Runs a life of the process: what it spawned ends with it, and frees the store.
fn life<T>(life: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(life)
}

#[test]
fn what_is_committed_is_in_force_and_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (key, session, before) = life(async {
        let world = World::open(folder.path()).await;
        let (key, session) = (world.access_key(KeyStatus::Active), world.session());
        let change = Change::new().insert(&jane()).unwrap().insert(&policy()).unwrap().insert(&key).unwrap();
        world.commit(change.insert(&session).unwrap().insert(&instance()).unwrap()).await;
        (key, session, world.published.current())
    });
    let after = life(async { World::open(folder.path()).await.published.current() });
    for snapshot in [&before, &after] {
        let credential = snapshot.credential(&key.id).unwrap();
        assert_eq!(credential.secret.expose(), b"secret");
        let principal = snapshot.principal(credential).unwrap();
        assert_eq!(principal.arn.as_str(), "arn:aws:iam::123456789012:user/staff/Jane");
        let temporary = snapshot.credential(&session.id).unwrap();
        assert!(temporary.session.as_ref().unwrap().token.matches(b"token"));
        assert!(snapshot.principal(temporary).is_some());
        assert!(snapshot.policy(&policy().arn).unwrap().policy.is_ok());
        let database = snapshot.database(instance().resource_id.as_str()).unwrap();
        assert!(database.iam_enabled && database.answers_at("localhost", 5432));
    }
    assert_eq!(before.revision(), after.revision());
}

#[tokio::test]
async fn every_kind_of_change_and_deletion_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::open(folder.path()).await;
    let key = world.access_key(KeyStatus::Active);
    let change = Change::new().insert(&jane()).unwrap().insert(&policy()).unwrap().insert(&key).unwrap();
    world.commit(change.insert(&instance()).unwrap()).await;
    let first = world.published.current();

    let found = world.records.get::<AccessKey>(&key.key()).await.unwrap().unwrap();
    world.commit(Change::new().replace(&found, &world.access_key(KeyStatus::Inactive)).unwrap()).await;
    assert!(!world.published.current().credential(&key.id).unwrap().active);

    let found = world.records.get::<Instance>("us-east-1/mydb").await.unwrap().unwrap();
    world.commit(Change::new().replace(&found, &Instance { iam_auth: false, ..instance() }).unwrap()).await;
    let id = instance().resource_id;
    assert!(!world.published.current().database(id.as_str()).unwrap().iam_enabled);

    let found = world.records.get::<AccessKey>(&key.key()).await.unwrap().unwrap();
    let jane = world.records.get::<User>("jane").await.unwrap().unwrap();
    let policy = world.records.get::<ManagedPolicy>("connect").await.unwrap().unwrap();
    let instance = world.records.get::<Instance>("us-east-1/mydb").await.unwrap().unwrap();
    world.commit(Change::new().delete(&found).delete(&jane).delete(&policy).delete(&instance)).await;
    let last = world.published.current();
    assert!(last.credential(&key.id).is_none() && last.user("jane").is_none());
    assert!(last.policy(&policy.arn).is_none() && last.database(id.as_str()).is_none());
    // The first picture is what it was.
    assert!(first.credential(&key.id).unwrap().active && first.database(id.as_str()).unwrap().iam_enabled);
}

#[tokio::test]
async fn a_record_that_cannot_be_used_counts_as_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::open(folder.path()).await;
    let key = world.access_key(KeyStatus::Active);
    world.commit(Change::new().insert(&jane()).unwrap().insert(&key).unwrap()).await;
    // Sealed for another record: somebody put one secret in the place of another.
    let moved = AccessKey { secret: world.session().secret, ..key.clone() };
    let found = world.records.get::<AccessKey>(&key.key()).await.unwrap().unwrap();
    world.commit(Change::new().replace(&found, &moved).unwrap()).await;
    assert!(world.published.current().credential(&key.id).is_none());
    assert!(world.published.current().user("jane").is_some());
}
