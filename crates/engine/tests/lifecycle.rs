//! A real PostgreSQL server from its making to its end: what the reconciler does, seen with psql as a user sees it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests may; clippy.toml only reaches the functions marked as tests"
)]

mod common;

use common::{LIMIT, Noted, PASSWORD, World, announced, free_port, rand};
use engine::{DoorChoice, Doors, Reconciler, Settings};
use iam::{Engine, Naming, ResourceId, ResourceKind};
use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::records::{Cluster, ClusterStatus, Instance, ParameterGroup, ParameterGroupKind, State, Wanted};
use store::{Change, EmbeddedStore, MasterKey, Outcome, Record, Records};
use time::OffsetDateTime;

/// Whether a client that trusts this authority of the region alone connects.
async fn trusts(world: &World, port: u16, authority: &str) -> Result<String, String> {
    let root = world.authority(authority).await;
    let checked = format!("sslmode=verify-full sslrootcert={}", root.display());
    psql(&url(port, "postgres").replace("sslmode=require", &checked), PASSWORD, "SELECT 1")
}

/// What psql prints, or what it complains about.
fn psql(url: &str, password: &str, statement: &str) -> Result<String, String> {
    let output = Command::new("psql")
        .args(["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", statement])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("PGPASSWORD", password)
        .env("PGCONNECT_TIMEOUT", "10")
        .output()
        .expect("psql must be installed for this test");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

fn url(port: u16, user: &str) -> String {
    format!("host=localhost port={port} user={user} dbname=postgres sslmode=require")
}

fn hba(world: &World, id: &ResourceId) -> Vec<String> {
    let text = std::fs::read_to_string(world.database(id).join("config/pg_hba.conf")).unwrap();
    text.lines().filter(|l| !l.starts_with('#')).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn from_its_making_to_its_end() {
    let mut world = World::new().await;
    let port = free_port();
    let instance = world.instance("mydb", port);
    let (key, id) = (instance.key(), instance.resource_id.clone());
    // The prepared data directory is made once per installation.
    while std::fs::read_dir(world.data_dir().join("templates"))
        .into_iter()
        .flatten()
        .flatten()
        .all(|t| t.path().extension().is_some())
    {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let began = Instant::now();
    world.create(&instance).await;
    let status = world.until(&key, State::Available).await;
    let took = began.elapsed();
    println!("available after {took:?}");
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!((status.generation, status.password_generation, status.door.as_deref()), (1, 1, Some("ldap")));
    assert!(status.certificate_valid_till.is_some() && status.message.is_none(), "{status:?}");
    let door = world.doors.0.lock().unwrap().get(id.as_str()).unwrap().clone();
    assert_eq!(door.socket_path, world.database(&id).canonicalize().unwrap().join("data/countersign.sock"));
    let owner = std::os::unix::fs::MetadataExt::uid(&world.database(&id).join("data").metadata().unwrap());
    assert_eq!(owner, door.server_uid);

    // The master is as on RDS.
    let master = |statement: &str| psql(&url(port, "postgres"), PASSWORD, statement);
    assert_eq!(
        master("SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = 'postgres'")
            .unwrap(),
        "f|t|t"
    );
    master("CREATE USER jane PASSWORD 'Janes-pass-1'; GRANT rds_iam TO jane; CREATE USER bob PASSWORD 'Bobs-pass-1'").unwrap();
    master("CREATE DATABASE other").unwrap();
    master("CREATE TABLE t (x int); GRANT pg_monitor TO bob; GRANT rds_superuser TO bob").unwrap();
    assert_eq!(
        master("SELECT datname FROM pg_database WHERE datdba = 'postgres'::regrole ORDER BY 1").unwrap(),
        "my \"db\nother\npostgres"
    );
    assert_eq!(master("SHOW data_checksums; ").unwrap(), "on");
    assert_eq!(
        master(
            "SELECT datcollate, pg_encoding_to_char(encoding) FROM pg_database WHERE datname = 'postgres'"
        )
        .unwrap(),
        "C.UTF-8|UTF8"
    );
    assert!(master("ALTER ROLE postgres SUPERUSER").is_err());
    for role in ["pg_execute_server_program", "pg_read_server_files", "pg_write_server_files", "rdsadmin"] {
        let grant = master(&format!("GRANT {role} TO postgres"));
        assert!(grant.is_err(), "{role} is in reach of the master");
    }
    assert!(master("COPY t FROM PROGRAM 'id'").unwrap_err().contains("pg_execute_server_program"));
    let refused =
        psql(&url(port, "postgres").replace("dbname=postgres", "dbname=rdsadmin"), PASSWORD, "SELECT 1")
            .unwrap_err();
    assert!(refused.contains("pg_hba.conf rejects connection") && refused.contains("rdsadmin"), "{refused}");
    assert!(psql(&url(port, "rdsadmin"), PASSWORD, "SELECT 1").unwrap_err().contains("rejects"));
    let plain = url(port, "postgres").replace("require", "disable");
    assert!(psql(&plain, PASSWORD, "SELECT 1").unwrap_err().contains("no encryption"));

    // Members of rds_iam go to the door, which nobody answers at; others have their password.
    let refused = psql(&url(port, "jane"), "Janes-pass-1", "SELECT 1").unwrap_err();
    assert!(refused.contains("LDAP authentication failed"), "{refused}");
    assert_eq!(psql(&url(port, "bob"), "Bobs-pass-1", "SELECT session_user").unwrap(), "bob");
    let rules = "SELECT count(*) FROM pg_hba_file_rules WHERE error IS NOT NULL";
    let socket = format!(
        "host={} port={port} user=rdsadmin dbname=rdsadmin",
        world.database(&id).join("run").display()
    );
    assert!(socket.len() > 150 && psql(&socket, "", rules).unwrap_err().contains("too long"));

    // From 16 on whoever may grant rds_iam is matched by +rds_iam: the master has kept its password, until it is granted
    // the role as others are.
    let major: u32 = instance.engine_version.split('.').next().unwrap().parse().unwrap();
    if major >= 16 {
        master("GRANT rds_iam TO postgres").unwrap();
        let end = Instant::now() + LIMIT;
        while master("SELECT 1").is_ok() {
            assert!(Instant::now() < end);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(master("SELECT 1").unwrap_err().contains("LDAP authentication failed"));
        world.change(&key, State::ConfiguringIamDatabaseAuthentication, |i| i.iam_auth = false).await;
        world.until(&key, State::Available).await;
        master("REVOKE rds_iam FROM postgres GRANTED BY postgres").unwrap();
        world.change(&key, State::ConfiguringIamDatabaseAuthentication, |i| i.iam_auth = true).await;
        world.until(&key, State::Available).await;
        assert_eq!(master("SELECT 1").unwrap(), "1");
    }

    // Off and on again; sessions that are there stay.
    world.change(&key, State::ConfiguringIamDatabaseAuthentication, |i| i.iam_auth = false).await;
    world.until(&key, State::Available).await;
    assert!(hba(&world, &id).iter().all(|line| !line.contains("rds_iam")));
    assert_eq!(psql(&url(port, "jane"), "Janes-pass-1", "SELECT session_user").unwrap(), "jane");
    let pid = world.pid(&id).unwrap();
    world.change(&key, State::ConfiguringIamDatabaseAuthentication, |i| i.iam_auth = true).await;
    world.until(&key, State::Available).await;
    assert!(psql(&url(port, "jane"), "Janes-pass-1", "SELECT 1").is_err());
    assert_eq!(world.pid(&id), Some(pid), "a reload is enough");

    // The certificate names the host, and another authority's takes its place at a reload.
    trusts(&world, port, "rds-ca-ecc384-g1").await.unwrap();
    world.change(&key, State::Modifying, |i| i.ca = "rds-ca-rsa2048-g1".into()).await;
    world.until(&key, State::Available).await;
    trusts(&world, port, "rds-ca-rsa2048-g1").await.unwrap();
    assert!(
        trusts(&world, port, "rds-ca-ecc384-g1").await.unwrap_err().contains("certificate verify failed")
    );
    assert_eq!(world.pid(&id), Some(pid), "a reload is enough");

    // What waits for the maintenance window is done in it.
    let (open, close) =
        (OffsetDateTime::now_utc() - time::Duration::HOUR, OffsetDateTime::now_utc() + time::Duration::HOUR);
    let point = |at: OffsetDateTime| {
        format!("{}:{:02}:{:02}", &at.weekday().to_string().to_lowercase()[..3], at.hour(), at.minute())
    };
    let window = format!("{}-{}", point(open), point(close));
    world
        .change(&key, State::Modifying, |i| {
            i.pending_iam_auth = Some(false);
            i.settings.insert("PreferredMaintenanceWindow".into(), window.clone().into());
        })
        .await;
    world.until(&key, State::Available).await;
    assert!(hba(&world, &id).iter().all(|line| !line.contains("rds_iam")));

    // A new password of the master.
    let sealed = world.master(&key_of(&instance), "postgres", "Master-pass-2", 2);
    world.change(&key, State::ResettingMasterCredentials, |i| i.master = Some(sealed.clone())).await;
    assert_eq!(world.until(&key, State::Available).await.password_generation, 2);
    assert!(master("SELECT 1").is_err());
    let master = |statement: &str| psql(&url(port, "postgres"), "Master-pass-2", statement);
    assert_eq!(master("SELECT count(*) FROM t").unwrap(), "0");

    // A reboot.
    world.change(&key, State::Rebooting, |i| i.reboots += 1).await;
    assert_eq!(world.until(&key, State::Available).await.reboots, 1);
    let pid = world.pid(&id).unwrap();

    // Killed, it comes back.
    assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
    let end = Instant::now() + LIMIT;
    while master("SELECT 1").is_err() {
        assert!(Instant::now() < end, "{:?}", master("SELECT 1"));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let pid = world.pid(&id).unwrap();

    // Countersign goes; the server stays, and is found again.
    world.stop().await;
    assert_eq!(master("SELECT 1").unwrap(), "1");
    world.doors.0.lock().unwrap().clear();
    world.start().await;
    world.change(&key, State::Modifying, |i| i.tags = [("a".to_owned(), "b".to_owned())].into()).await;
    world.until(&key, State::Available).await;
    assert_eq!(world.pid(&id), Some(pid));
    assert!(world.doors.0.lock().unwrap().contains_key(id.as_str()), "its door is open again");

    // Stopped and started.
    world.change(&key, State::Stopping, |i| i.wanted = Wanted::Stopped).await;
    world.until(&key, State::Stopped).await;
    assert_eq!(world.pid(&id), None);
    assert!(world.doors.0.lock().unwrap().is_empty());
    // Somebody else takes the port meanwhile.
    let thief = TcpListener::bind(("127.0.0.1", port)).unwrap();
    world.change(&key, State::Starting, |i| i.wanted = Wanted::Running).await;
    let message = world.until(&key, State::Failed).await.message.unwrap();
    assert!(message.contains(&format!("port {port} is in use")), "{message}");
    drop(thief);
    world.until(&key, State::Available).await;
    assert_eq!(master("SELECT 1").unwrap(), "1");

    // Gone, with everything.
    world.change(&key, State::Deleting, |i| i.wanted = Wanted::Deleted).await;
    world.gone(&key).await;
    assert_eq!(std::fs::read_dir(world.data_dir().join("databases")).unwrap().count(), 0);
    assert!(master("SELECT 1").unwrap_err().contains("refused"));
    assert!(world.doors.0.lock().unwrap().is_empty());
}

fn key_of(instance: &Instance) -> String {
    instance.full_key()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_keeps_its_data_from_member_to_member() {
    let mut world = World::new().await;
    let port = free_port();
    let member = |identifier: &str| Instance {
        engine: Engine::AuroraPostgresql,
        cluster: Some("mypg".into()),
        master: None,
        iam_auth: false,
        database: None,
        ..world.instance(identifier, port)
    };
    let (one, two) = (member("mypg-1"), member("mypg-2"));
    let mut cluster = Cluster {
        region: one.region.clone(),
        identifier: "mypg".into(),
        resource_id: ResourceId::generate(ResourceKind::Cluster, rand("mypg", port)),
        engine: Engine::AuroraPostgresql,
        engine_version: one.engine_version.clone(),
        port,
        database: None,
        master: world.master("/rds/cluster/us-east-1/mypg", "admin1", PASSWORD, 1),
        iam_auth: false,
        pending_iam_auth: None,
        parameter_group: "strict".into(),
        subnet_group: "default".into(),
        members: BTreeSet::new(),
        deletion_protection: false,
        tags: BTreeMap::new(),
        created: OffsetDateTime::UNIX_EPOCH,
        settings: BTreeMap::new(),
        wanted: Wanted::Running,
        generation: 1,
    };
    let group = ParameterGroup {
        region: one.region.clone(),
        kind: ParameterGroupKind::Cluster,
        name: "strict".into(),
        family: "aurora-postgresql15".into(),
        description: String::new(),
        parameters: [("work_mem", "5MB"), ("fsync", "off"), ("rds.force_ssl", "0")]
            .map(|(n, v)| (n.to_owned(), v.to_owned()))
            .into(),
        tags: BTreeMap::new(),
    };
    let change = Change::new().insert(&cluster).unwrap().insert(&group).unwrap();
    assert!(matches!(world.records.commit(change).await.unwrap(), Outcome::Committed(_)));
    assert_eq!(until_cluster(&world, State::Available).await.generation, 1);

    join(&world, &mut cluster, &one).await;
    let status = world.until(&one.key(), State::Available).await;
    assert_eq!(status.generation, 2 + 1, "the cluster's generation and its own");
    assert!(status.message.unwrap().contains("`fsync` cannot be set"));
    let admin = |statement: &str| psql(&url(port, "admin1"), PASSWORD, statement);
    assert_eq!(admin("SELECT aurora_version()").unwrap(), format!("{}.0", one.engine_version));
    assert_eq!(admin("SHOW work_mem").unwrap(), "5MB");
    assert_eq!(admin("SHOW fsync").unwrap(), "on");
    psql(&url(port, "admin1").replace("require", "disable"), PASSWORD, "CREATE TABLE kept (x int)").unwrap();

    // IAM is the cluster's.
    modify(&world, &mut cluster, State::UpdateIamDbAuth, |c| c.iam_auth = true).await;
    assert_eq!(until_cluster(&world, State::Available).await.generation, cluster.generation);
    assert!(
        hba(&world, &cluster.resource_id).iter().any(|l| l.starts_with("hostssl all +rds_iam all ldap "))
    );
    // A parameter that the server does not know is said so, and everything goes on.
    let set = |value: Option<&'static str>| {
        let mut changed = group.clone();
        changed.parameters.extend(value.map(|v| ("no_such_parameter".to_owned(), v.to_owned())));
        changed
    };
    put_group(&world, &set(Some("1"))).await;
    let message = world.until(&one.key(), State::Failed).await.message.unwrap();
    assert!(message.contains("no_such_parameter"), "{message}");
    assert_eq!(admin("SELECT 1").unwrap(), "1");
    put_group(&world, &set(None)).await;
    world.until(&one.key(), State::Available).await;

    // The instance goes, the data stays, and the next instance has it.
    world.change(&one.key(), State::Deleting, |i| i.wanted = Wanted::Deleted).await;
    world.gone(&one.key()).await;
    let found = world.records.get::<Cluster>(&cluster.key()).await.unwrap().unwrap();
    assert!(found.members.is_empty());
    cluster = found.record;
    assert!(admin("SELECT 1").is_err());
    join(&world, &mut cluster, &two).await;
    world.until(&two.key(), State::Available).await;
    assert_eq!(admin("SELECT count(*) FROM kept").unwrap(), "0");

    // Everything stops when it is asked to.
    world.stop().await.stop_all().await;
    assert!(world.pids().is_empty() && admin("SELECT 1").is_err());
    world.start().await;
    let end = Instant::now() + LIMIT;
    while admin("SELECT 1").is_err() {
        assert!(Instant::now() < end, "{:?}", admin("SELECT 1"));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    world.change(&two.key(), State::Deleting, |i| i.wanted = Wanted::Deleted).await;
    world.gone(&two.key()).await;
    assert!(world.database(&cluster.resource_id).exists());
    cluster = world.records.get::<Cluster>(&cluster.key()).await.unwrap().unwrap().record;
    modify(&world, &mut cluster, State::Deleting, |c| c.wanted = Wanted::Deleted).await;
    let end = Instant::now() + LIMIT;
    while world.records.get::<ClusterStatus>(&cluster.key()).await.unwrap().is_some() {
        assert!(Instant::now() < end);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(world.records.get::<Cluster>(&cluster.key()).await.unwrap().is_none());
    assert!(!world.database(&cluster.resource_id).exists());
}

async fn put_group(world: &World, new: &ParameterGroup) {
    let old = world.records.get::<ParameterGroup>(&new.key()).await.unwrap().unwrap();
    let outcome = world.records.commit(Change::new().replace(&old, new).unwrap()).await.unwrap();
    assert!(matches!(outcome, Outcome::Committed(_)));
}

async fn join(world: &World, cluster: &mut Cluster, instance: &Instance) {
    let old = world.records.get::<Cluster>(&cluster.key()).await.unwrap().unwrap();
    *cluster = old.record.clone();
    cluster.members.insert(instance.identifier.clone());
    cluster.generation += 1;
    let status = announced(instance, State::Creating);
    let change =
        Change::new().replace(&old, cluster).unwrap().insert(instance).unwrap().insert(&status).unwrap();
    assert!(matches!(world.records.commit(change).await.unwrap(), Outcome::Committed(_)));
}

async fn modify(world: &World, cluster: &mut Cluster, state: State, change: impl Fn(&mut Cluster)) {
    let old = world.records.get::<Cluster>(&cluster.key()).await.unwrap().unwrap();
    let status = world.records.get::<ClusterStatus>(&cluster.key()).await.unwrap().unwrap();
    *cluster = old.record.clone();
    change(cluster);
    cluster.generation += 1;
    let announced = ClusterStatus { state, ..status.record.clone() };
    let change = Change::new().replace(&old, cluster).unwrap().replace(&status, &announced).unwrap();
    assert!(matches!(world.records.commit(change).await.unwrap(), Outcome::Committed(_)));
}

async fn until_cluster(world: &World, state: State) -> ClusterStatus {
    let end = Instant::now() + LIMIT;
    loop {
        let status = world.records.get::<ClusterStatus>("us-east-1/mypg").await.unwrap();
        match status {
            Some(status) if status.state == state => return status.record,
            status => assert!(Instant::now() < end, "{status:?}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_cut_short_is_made_anew() {
    let mut world = World::new().await;
    let port = free_port();
    let instance = world.instance("halfway", port);
    world.create(&instance).await;
    world.until(&instance.key(), State::Available).await;
    let marker = psql(&url(port, "postgres"), PASSWORD, "CREATE TABLE marker ()");
    marker.unwrap();

    // As if Countersign had been killed before it had set the database up: the server runs, nothing is promised yet.
    world.stop().await;
    std::fs::write(world.database(&instance.resource_id).join("unfinished"), "").unwrap();
    world.start().await;
    let end = Instant::now() + LIMIT;
    while world.database(&instance.resource_id).join("unfinished").exists() {
        assert!(Instant::now() < end, "{:?}", world.status(&instance.key()).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let tables =
        psql(&url(port, "postgres"), PASSWORD, "SELECT count(*) FROM pg_tables WHERE tablename = 'marker'");
    assert_eq!(tables.unwrap(), "0");

    // Data that was there and is gone is not made anew.
    world.stop().await.stop_all().await;
    std::fs::remove_dir_all(world.database(&instance.resource_id).join("data")).unwrap();
    world.start().await;
    let message = world.until(&instance.key(), State::Failed).await.message.unwrap();
    assert!(message.contains("is gone"), "{message}");
    world.change(&instance.key(), State::Deleting, |i| i.wanted = Wanted::Deleted).await;
    world.gone(&instance.key()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_at_any_moment_it_is_finished_by_the_next_start() {
    let mut world = World::new().await;
    let port = free_port();
    let instance = world.instance("often", port);
    world.create(&instance).await;
    // From before the prepared data directory is there until after the roles are.
    for pause in [0, 20, 60, 150, 250, 350, 450, 550, 700, 900] {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        world.stop().await;
        world.start().await;
    }
    world.until(&instance.key(), State::Available).await;
    let owner = "SELECT datdba::regrole FROM pg_database WHERE datname = 'my \"db'";
    assert_eq!(psql(&url(port, "postgres"), PASSWORD, owner).unwrap(), "postgres");
    assert!(!world.database(&instance.resource_id).join("unfinished").exists());
}

#[tokio::test]
async fn a_folder_that_the_servers_user_cannot_enter_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let closed = folder.path().join("closed");
    std::fs::create_dir_all(closed.join("data")).unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700)).unwrap();
    let store = EmbeddedStore::open(&folder.path().join("store.redb")).unwrap();
    let settings = Settings {
        data_dir: closed.join("data"),
        os_user: None,
        listen_addresses: vec!["localhost".into()],
        naming: Naming::new("123456789012".parse().unwrap(), None),
        door: DoorChoice::Pam { service: "countersign".into() },
        server_dirs: BTreeMap::new(),
        mysql_plugin: None,
    };
    let key = Arc::new(MasterKey::new(&[7; 32]).unwrap());
    let doors: Arc<dyn Doors> = Arc::<Noted>::default();
    let made = Reconciler::new(settings, Records::new(Arc::new(store)), key, doors).await;
    if rustix::process::geteuid().is_root() {
        let error = made.err().unwrap().to_string();
        assert!(error.contains("cannot enter") && error.contains("/closed`"), "{error}");
    } else {
        // Servers run as ourselves then.
        made.unwrap();
    }
}
