//! Real MySQL and MariaDB servers from their making to their end: what the reconciler does, seen with the `mariadb` client
//! as a user sees it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests may; clippy.toml only reaches the functions marked as tests"
)]

mod common;

use common::{LIMIT, PASSWORD, World, free_port};
use iam::{Engine, Product, ResourceId};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use store::records::{Instance, ParameterGroup, ParameterGroupKind, State, Wanted};
use store::{Change, Outcome, Record};

/// A server to test with.
struct Server {
    engine: Engine,
    /// Where it is looked for: a variable, and folders.
    variable: &'static str,
    folders: &'static [&'static str],
    program: &'static str,
    /// What brings it.
    part: &'static str,
    /// Whether connections without TLS are refused by default.
    forces_tls: bool,
}

const MYSQL: Server = Server {
    engine: Engine::Mysql,
    variable: "COUNTERSIGN_TEST_MYSQL",
    folders: &["/usr/sbin", ".cache/servers/mysql/usr/sbin"],
    program: "mysqld",
    part: "mysql",
    forces_tls: true,
};
const MARIADB: Server = Server {
    engine: Engine::Mariadb,
    variable: "COUNTERSIGN_TEST_MARIADB",
    folders: &["/usr/sbin", "/usr/libexec"],
    program: "mariadbd",
    part: "mariadb",
    forces_tls: false,
};
const MARIADB_NEW: Server = Server {
    engine: Engine::Mariadb,
    variable: "COUNTERSIGN_TEST_MARIADB_NEW",
    folders: &[".cache/servers/mariadb-11.8/usr/sbin"],
    program: "mariadbd",
    part: "mariadb-new",
    forces_tls: true,
};

impl Server {
    fn product(&self) -> Product {
        self.engine.product()
    }

    fn folder(&self) -> PathBuf {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let named = std::env::var_os(self.variable).map(PathBuf::from);
        let usual = self.folders.iter().map(|folder| root.join(folder));
        let is_it = |folder: &PathBuf| {
            let version = Command::new(folder.join(self.program)).arg("--version").output();
            let is_mariadb = |text: Vec<u8>| String::from_utf8_lossy(&text).contains("MariaDB");
            version.is_ok_and(|out| is_mariadb(out.stdout) == (self.product() == Product::MariaDb))
        };
        named.into_iter().chain(usual).find(is_it).unwrap_or_else(|| {
            panic!(
                "{} must be installed for this test: run scripts/install-deps.sh {}",
                self.product(),
                self.part
            )
        })
    }

    async fn world(&self) -> World {
        let folder = self.folder().canonicalize().unwrap();
        World::with([(self.product(), vec![folder])].into(), Some(plugin())).await
    }

    /// The version of the server in the folder, of those that the machine has.
    fn version(&self, world: &World) -> String {
        let folder = self.folder().canonicalize().unwrap();
        let reconciler = &world.running.as_ref().unwrap().2;
        let found =
            reconciler.installations().iter().find(|i| i.product == self.product() && i.bin_dir == folder);
        found.expect("the server in the folder is found").version.clone()
    }

    fn instance(&self, world: &World, identifier: &str, port: u16) -> Instance {
        let version = self.version(world);
        let mut instance = world.instance_of(self.engine, &version, identifier, port);
        instance.database = Some("my `db".into());
        instance.master = Some(world.master(&instance.full_key(), "admin", PASSWORD, 1));
        instance.parameter_group = "tuned".into();
        instance
    }
}

/// The plugin's library: named, or built beside this program.
fn plugin() -> PathBuf {
    let named = std::env::var_os("COUNTERSIGN_TEST_MYSQL_PLUGIN").map(PathBuf::from);
    let beside = || {
        let folder = std::env::current_exe().unwrap().parent().unwrap().to_owned();
        let built = ["../libauth_countersign.so", "libauth_countersign.so"].map(|place| folder.join(place));
        built.iter().find(|place| place.exists()).unwrap_or(&built[0]).clone()
    };
    let library = named.unwrap_or_else(beside);
    assert!(library.exists(), "{} is missing: run cargo build -p auth_countersign", library.display());
    library.canonicalize().unwrap()
}

/// What the client prints, or what it complains about. It connects with TLS.
fn sql(port: u16, user: &str, password: &str, statement: &str) -> Result<String, String> {
    client(port, user, password, &["--ssl"], statement)
}

fn client(port: u16, user: &str, password: &str, more: &[&str], statement: &str) -> Result<String, String> {
    let output = Command::new("mariadb")
        .args(["--no-defaults", "--protocol=TCP", "--host=localhost", "--batch", "--skip-column-names"])
        .args([format!("--port={port}"), format!("--user={user}")])
        .args(["--connect-timeout=10"])
        .args(more)
        .args(["-e", statement])
        .env("MYSQL_PWD", password)
        .output()
        .expect("mariadb's client must be installed for this test: run scripts/install-deps.sh mariadb");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

fn master(port: u16, statement: &str) -> Result<String, String> {
    sql(port, "admin", PASSWORD, statement)
}

/// Creates a user as Amazon's documentation has it.
const CREATE: &str = "CREATE USER app IDENTIFIED WITH AWSAuthenticationPlugin as 'RDS'; ALTER USER app REQUIRE SSL; \
                      GRANT SELECT, INSERT, UPDATE, DELETE, ALTER ON *.* TO 'app'@'%'";

fn options(world: &World, id: &ResourceId) -> String {
    std::fs::read_to_string(world.database(id).join("config/my.cnf")).unwrap()
}

fn group(instance: &Instance, parameters: &[(&str, &str)]) -> ParameterGroup {
    ParameterGroup {
        region: instance.region.clone(),
        kind: ParameterGroupKind::Instance,
        name: "tuned".into(),
        family: "mysql8.4".into(),
        description: String::new(),
        parameters: parameters.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        tags: Default::default(),
    }
}

async fn prepared(world: &World, server: &Server) {
    let product = server.product().as_str().to_ascii_lowercase();
    let version = server.version(world).replace('.', "_");
    let is_there = || {
        let templates = std::fs::read_dir(world.data_dir().join("templates")).into_iter().flatten().flatten();
        templates.filter_map(|t| t.file_name().into_string().ok()).any(|name| {
            name.starts_with(&format!("{product}-{version}-"))
                && !name.contains(".new")
                && !name.contains(".sql")
        })
    };
    let end = Instant::now() + LIMIT;
    while !is_there() {
        assert!(Instant::now() < end, "no data directory is prepared");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn put(world: &World, new: &ParameterGroup) {
    let change = match world.records.get::<ParameterGroup>(&new.key()).await.unwrap() {
        Some(old) => Change::new().replace(&old, new).unwrap(),
        None => Change::new().insert(new).unwrap(),
    };
    assert!(matches!(world.records.commit(change).await.unwrap(), Outcome::Committed(_)));
}

/// Waits until something is so.
async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let end = Instant::now() + LIMIT;
    while !is_so().await {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn from_its_making_to_its_end(server: Server) {
    let began = Instant::now();
    let mut world = server.world().await;
    prepared(&world, &server).await;
    println!("a data directory was prepared after {:?}", began.elapsed());
    let port = free_port();
    let instance = server.instance(&world, "mydb", port);
    let (key, id) = (instance.key(), instance.resource_id.clone());

    let began = Instant::now();
    world.create(&instance).await;
    let status = world.until(&key, State::Available).await;
    println!("available after {:?}", began.elapsed());
    assert_eq!(
        (status.generation, status.password_generation, status.door.as_deref()),
        (1, 1, Some("mysql"))
    );
    assert!(status.certificate_valid_till.is_some() && status.message.is_none(), "{status:?}");
    let door = world.doors.0.lock().unwrap().get(id.as_str()).unwrap().clone();
    assert_eq!(door.socket_path, world.database(&id).canonicalize().unwrap().join("data/countersign.sock"));

    // The master is as on RDS, and not the server's equal.
    assert_eq!(master(port, "SELECT CURRENT_USER()").unwrap(), "admin@%");
    assert!(master(port, "SHOW DATABASES").unwrap().lines().any(|name| name == "my `db"));
    master(port, "CREATE TABLE `my ``db`.t (x int); CREATE USER bob IDENTIFIED BY 'Bobs-pass-1'").unwrap();
    let accounts = master(port, "SELECT User, Host, plugin FROM mysql.user ORDER BY 1").unwrap();
    for line in
        accounts.lines().filter(|line| !line.starts_with("mysql.") && !line.starts_with("mariadb.sys"))
    {
        assert!(
            ["admin", "bob", "rdsadmin\tlocalhost\tcountersign_administrator"]
                .iter()
                .any(|a| line.starts_with(a)),
            "{accounts}"
        );
    }
    for denied in [
        "SET GLOBAL max_connections = 5",
        "SHUTDOWN",
        "SELECT 1 INTO OUTFILE '/tmp/countersign-test'",
        "GRANT SUPER ON *.* TO admin",
        "GRANT FILE ON *.* TO admin",
    ] {
        assert!(master(port, denied).is_err(), "{denied}");
    }
    if server.product() == Product::MySql {
        for denied in [
            "UPDATE mysql.user SET Super_priv = 'Y'",
            "INSERT INTO mysql.plugin VALUES ('a', 'b')",
            "ALTER USER rdsadmin@localhost IDENTIFIED BY 'x'",
            "DROP USER rdsadmin@localhost",
            "GRANT rdsadmin@localhost TO admin",
            "CREATE DEFINER = rdsadmin@localhost PROCEDURE `my ``db`.p() SELECT 1",
            "UNINSTALL PLUGIN AWSAuthenticationPlugin",
            "SET PERSIST max_connections = 5",
        ] {
            assert!(master(port, denied).is_err(), "{denied}");
        }
    }
    for user in ["rdsadmin", "root", ""] {
        assert!(sql(port, user, "", "SELECT 1").unwrap_err().contains("Access denied"), "{user}");
    }

    // Users by token: the door is not answered here.
    master(port, CREATE).unwrap();
    let refused = sql(port, "app", "token", "SELECT 1").unwrap_err();
    assert!(refused.contains("ERROR 1045"), "{refused}");
    assert_eq!(sql(port, "bob", "Bobs-pass-1", "SELECT USER() LIKE 'bob@%'").unwrap(), "1");
    let plain = client(port, "bob", "Bobs-pass-1", &["--skip-ssl"], "SELECT 1");
    let requires_tls = master(port, "SELECT @@GLOBAL.require_secure_transport").unwrap();
    assert_eq!(requires_tls, if server.forces_tls { "1" } else { "0" });
    assert_eq!(plain.is_err(), server.forces_tls);

    // Off and on again, without a restart; the accounts stay.
    let pid = world.pid(&id).unwrap();
    world.change(&key, State::ConfiguringIamDatabaseAuthentication, |i| i.iam_auth = false).await;
    world.until(&key, State::Available).await;
    let refused = sql(port, "app", "token", "SELECT 1").unwrap_err();
    assert!(refused.contains("1524") && refused.contains("is not loaded"), "{refused}");
    if server.product() == Product::MariaDb {
        // A row that leads nowhere is in nobody's way.
        master(port, "INSERT INTO mysql.plugin VALUES ('AWSAuthenticationPlugin', 'gone.so')").unwrap();
    }
    world.change(&key, State::ConfiguringIamDatabaseAuthentication, |i| i.iam_auth = true).await;
    world.until(&key, State::Available).await;
    assert!(sql(port, "app", "token", "SELECT 1").unwrap_err().contains("ERROR 1045"));
    assert_eq!(world.pid(&id), Some(pid), "no restart was needed");

    // The certificate names the host, and another authority's takes its place.
    let trusts = async |authority: &str| {
        let root = world.authority(authority).await;
        let more = ["--ssl-verify-server-cert".to_owned(), format!("--ssl-ca={}", root.display())];
        client(port, "admin", PASSWORD, &more.each_ref().map(String::as_str), "SELECT 1")
    };
    trusts("rds-ca-ecc384-g1").await.unwrap();
    world.change(&key, State::Modifying, |i| i.ca = "rds-ca-rsa2048-g1".into()).await;
    world.until(&key, State::Available).await;
    trusts("rds-ca-rsa2048-g1").await.unwrap();
    assert!(trusts("rds-ca-ecc384-g1").await.is_err());
    for version in ["TLSv1.2", "TLSv1.3"] {
        let used = client(
            port,
            "admin",
            PASSWORD,
            &["--ssl", &format!("--tls-version={version}")],
            "SHOW STATUS LIKE 'Ssl_version'",
        );
        assert_eq!(used.unwrap(), format!("Ssl_version\t{version}"));
    }

    // Parameters: at once where that can be, at the next start where not, and said where never.
    let setting = |name: &str| master(port, &format!("SELECT @@GLOBAL.{name}")).unwrap();
    let default = setting("wait_timeout");
    let tuned = [
        ("wait_timeout", "777"),
        ("back_log", "99"),
        ("no_such_parameter", "1"),
        ("datadir", "/tmp"),
        ("require_secure_transport", "0"),
    ];
    put(&world, &group(&instance, &tuned)).await;
    until("the parameter is set", async || setting("wait_timeout") == "777").await;
    until("the status names the parameters", async || {
        world.status(&key).await.is_some_and(|s| s.message.is_some_and(|m| m.contains("no_such_parameter")))
    })
    .await;
    let message = world.until(&key, State::Available).await.message.unwrap();
    assert!(message.contains("`datadir` cannot be set"), "{message}");
    assert!(message.contains("`back_log` takes effect at the next reboot"), "{message}");
    assert_eq!(setting("require_secure_transport"), "0");
    world.change(&key, State::Rebooting, |i| i.reboots += 1).await;
    assert_eq!(world.until(&key, State::Available).await.reboots, 1);
    assert_ne!(world.pid(&id), Some(pid));
    assert_eq!((setting("wait_timeout"), setting("back_log")), ("777".into(), "99".into()));
    // A value that the server refuses is said so, and it goes on.
    put(&world, &group(&instance, &[("binlog_format", "sideways")])).await;
    let message = world.until(&key, State::Failed).await.message.unwrap();
    assert!(message.contains("`binlog_format` cannot be `sideways`"), "{message}");
    // At its next start MySQL refuses to run with it, and MariaDB runs without it.
    let pid = world.pid(&id);
    world.change(&key, State::Rebooting, |i| i.reboots += 1).await;
    until("it says what is wrong", async || {
        let message = world.status(&key).await.and_then(|status| status.message).unwrap_or_default();
        let expected = if server.product() == Product::MySql { "did not start" } else { "cannot be" };
        world.pid(&id) != pid && message.contains(expected) && message.contains("sideways")
    })
    .await;
    put(&world, &group(&instance, &[])).await;
    world.until(&key, State::Available).await;
    assert_eq!(setting("wait_timeout"), default);
    assert!(!options(&world, &id).contains("loose_wait"));

    // A new password of the master.
    let sealed = world.master(&instance.full_key(), "admin", "Master-pass-2'\\", 2);
    world.change(&key, State::ResettingMasterCredentials, |i| i.master = Some(sealed.clone())).await;
    assert_eq!(world.until(&key, State::Available).await.password_generation, 2);
    assert!(master(port, "SELECT 1").is_err());
    let master = |statement: &str| sql(port, "admin", "Master-pass-2'\\", statement);
    assert_eq!(master("SELECT COUNT(*) FROM `my ``db`.t").unwrap(), "0");

    if server.product() == Product::MariaDb {
        // MariaDB has nothing that keeps its administrator from who may create users: a reboot brings it back.
        master("DROP USER rdsadmin@localhost").unwrap();
        world.change(&key, State::Modifying, |i| i.tags = [("a".to_owned(), "b".to_owned())].into()).await;
        let message = world.until(&key, State::Failed).await.message.unwrap();
        assert!(message.contains("does not let its administrator in"), "{message}");
        world.change(&key, State::Rebooting, |i| i.reboots += 1).await;
        world.until(&key, State::Available).await;
    }

    // Killed, it comes back.
    let pid = world.pid(&id).unwrap();
    assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
    until("it is back", async || master("SELECT 1").is_ok()).await;
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
    assert!(sql(port, "app", "token", "SELECT 1").unwrap_err().contains("ERROR 1045"));

    // Stopped and started, with the port taken meanwhile.
    let began = Instant::now();
    world.change(&key, State::Stopping, |i| i.wanted = Wanted::Stopped).await;
    world.until(&key, State::Stopped).await;
    println!("stopped after {:?}", began.elapsed());
    assert_eq!(world.pid(&id), None);
    assert!(world.doors.0.lock().unwrap().is_empty());
    let thief = TcpListener::bind(("127.0.0.1", port)).unwrap();
    world.change(&key, State::Starting, |i| i.wanted = Wanted::Running).await;
    let message = world.until(&key, State::Failed).await.message.unwrap();
    assert!(message.contains(&format!("port {port} is in use")), "{message}");
    drop(thief);
    world.until(&key, State::Available).await;
    assert_eq!(master("SELECT 1").unwrap(), "1");

    // No password, and nothing of ours, is in a log.
    for log in std::fs::read_dir(world.database(&id).join("log")).unwrap().flatten() {
        let text = String::from_utf8_lossy(&std::fs::read(log.path()).unwrap()).into_owned();
        assert!(!text.contains("Master-pass"), "{}", log.path().display());
    }

    // Gone, with everything.
    world.change(&key, State::Deleting, |i| i.wanted = Wanted::Deleted).await;
    world.gone(&key).await;
    assert_eq!(std::fs::read_dir(world.data_dir().join("databases")).unwrap().count(), 0);
    assert!(master("SELECT 1").is_err());
}

async fn interrupted_at_any_moment_it_is_finished_by_the_next_start(server: Server) {
    let mut world = server.world().await;
    let port = free_port();
    let instance = server.instance(&world, "often", port);
    let id = instance.resource_id.clone();
    world.create(&instance).await;
    // From before the prepared data directory is there until after the accounts are.
    for pause in [0, 100, 1000, 2500, 400, 700, 1000, 1300, 1600] {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        world.stop().await;
        world.start().await;
    }
    world.until(&instance.key(), State::Available).await;
    assert!(master(port, "SHOW DATABASES").unwrap().lines().any(|name| name == "my `db"));
    assert!(!world.database(&id).join("unfinished").exists());

    // As if Countersign had been killed before it had set the database up: the server runs, nothing is promised yet.
    master(port, "CREATE DATABASE marker").unwrap();
    world.stop().await;
    std::fs::write(world.database(&id).join("unfinished"), "").unwrap();
    world.start().await;
    until("it is made anew", async || !world.database(&id).join("unfinished").exists()).await;
    assert!(!master(port, "SHOW DATABASES").unwrap().lines().any(|name| name == "marker"));

    // The server that starts while Countersign does is found, before it has written down that it is there.
    let pid = world.pid(&id).unwrap();
    world.stop().await;
    std::fs::remove_file(world.database(&id).join("run/mysqld.pid")).unwrap();
    world.start().await;
    world
        .change(&instance.key(), State::Modifying, |i| i.tags = [("a".to_owned(), "b".to_owned())].into())
        .await;
    world.until(&instance.key(), State::Available).await;
    assert_eq!(world.pid(&id), Some(pid));

    // Everything stops when it is asked to; data that was there and is gone is not made anew.
    world.stop().await.stop_all().await;
    assert!(world.pids().is_empty());
    std::fs::remove_dir_all(world.database(&id).join("data")).unwrap();
    world.start().await;
    let message = world.until(&instance.key(), State::Failed).await.message.unwrap();
    assert!(message.contains("is gone"), "{message}");
    world.change(&instance.key(), State::Deleting, |i| i.wanted = Wanted::Deleted).await;
    world.gone(&instance.key()).await;
}

macro_rules! each {
    ($($name:ident: $server:ident),*) => {
        $(mod $name {
            #[tokio::test(flavor = "multi_thread")]
            async fn from_its_making_to_its_end() {
                super::from_its_making_to_its_end(super::$server).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn interrupted_at_any_moment_it_is_finished_by_the_next_start() {
                super::interrupted_at_any_moment_it_is_finished_by_the_next_start(super::$server).await;
            }
        })*
    };
}
each!(mysql: MYSQL, mariadb: MARIADB, mariadb_new: MARIADB_NEW);
