//! What the master user of MySQL and MariaDB may, and what it may not; who else has an account; its password, its database and
//! its parameter groups.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

use countersign_tests::{Database, Flavor, Output, Server, run};
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn mysql() {
    master(Flavor::MySql);
}

#[test]
fn mariadb() {
    master(Flavor::MariaDb);
}

#[test]
fn recent_mariadb() {
    master(Flavor::RecentMariaDb);
}

fn master(flavor: Flavor) {
    let server = Server::for_mysql(flavor, &[]);
    let family = format!("{}{}", flavor.engine(), flavor.server().series());
    let group = ["--db-parameter-group-name", "tuned", "--db-parameter-group-family", &family];
    server.aws(&[&["rds", "create-db-parameter-group", "--description", "d"], &group[..]].concat()).succeed();
    let arguments =
        ["--enable-iam-database-authentication", "--db-name", "shop", "--db-parameter-group-name", "tuned"];
    let db = server.create_mysql_instance("mydb", flavor, &arguments);
    let world = World { flavor, server, db };
    world.accounts();
    world.may();
    world.may_not();
    world.the_administrator();
    world.files();
    world.parameters();
    world.another_password();
    if flavor != Flavor::MySql {
        world.what_mariadb_cannot_hold();
    }
}

struct World {
    flavor: Flavor,
    server: Server,
    db: Database,
}

impl World {
    #[track_caller]
    fn ok(&self, sql: &str) -> String {
        self.server.as_mysql_master(&self.db, sql)
    }

    fn run(&self, sql: &str) -> Output {
        self.server.sql(&self.db, "admin", "Master-pass-1", sql)
    }

    /// The master must be refused it for want of a privilege.
    #[track_caller]
    fn denied(&self, sql: &str) {
        let said = self.run(sql).fail();
        // Of a global privilege, a database's, a table's, a column's; what the option file forbids; what is a system user's.
        let codes =
            ["1227", "1044", "1142", "1045", "1143", "1290", "1370", "3619", "3630", "3878", "1396", "1698"];
        assert!(codes.iter().any(|code| said.contains(&format!("ERROR {code} "))), "{sql}: {said}");
    }

    #[track_caller]
    fn aws(&self, line: &str) {
        self.server.aws(&line.split_whitespace().collect::<Vec<_>>()).succeed();
    }

    /// Nobody but the master, Countersign's administrator and the server's own locked accounts.
    fn accounts(&self) {
        let accounts = self.ok("SELECT CONCAT(user, '@', host) FROM mysql.user ORDER BY 1");
        let accounts: Vec<&str> = accounts.lines().collect();
        let (own, locked) = match self.flavor {
            Flavor::MySql => (
                &["mysql.infoschema@localhost", "mysql.session@localhost", "mysql.sys@localhost"][..],
                "SELECT COUNT(*) FROM mysql.user WHERE user LIKE 'mysql.%' AND account_locked = 'Y'",
            ),
            Flavor::MariaDb | Flavor::RecentMariaDb => (
                &["mariadb.sys@localhost"][..],
                "SELECT COUNT(*) FROM mysql.global_priv WHERE user = 'mariadb.sys' AND JSON_VALUE(Priv, '$.account_locked')",
            ),
        };
        let mut expected = vec!["admin@%", "rdsadmin@localhost"];
        expected.extend(own);
        expected.sort_unstable();
        assert_eq!(accounts, expected);
        assert_eq!(self.ok(locked), own.len().to_string());
        let empty =
            "SELECT user FROM mysql.user WHERE authentication_string = '' AND user NOT LIKE 'mariadb.sys'";
        assert_eq!(self.ok(empty), "");
        let databases = self.ok("SHOW DATABASES");
        assert!(databases.lines().any(|name| name == "shop"), "{databases}");
    }

    fn may(&self) {
        for sql in [
            "CREATE TABLE shop.t (id INT PRIMARY KEY, x INT); INSERT INTO shop.t VALUES (1, 2); ALTER TABLE shop.t ADD y INT",
            "CREATE INDEX x ON shop.t (x); CREATE VIEW shop.v AS SELECT x FROM shop.t; CREATE TEMPORARY TABLE shop.w (x INT)",
            "CREATE PROCEDURE shop.p() SELECT 1; CALL shop.p(); CREATE FUNCTION shop.f() RETURNS INT DETERMINISTIC RETURN 1",
            "CREATE TRIGGER shop.r BEFORE INSERT ON shop.t FOR EACH ROW SET NEW.y = 1; CREATE EVENT shop.e ON SCHEDULE EVERY 1 DAY DO SELECT 1",
            "CREATE USER app IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'; ALTER USER app REQUIRE SSL",
            "GRANT SELECT, INSERT, UPDATE, DELETE, ALTER ON *.* TO 'app'@'%'; GRANT ALL PRIVILEGES ON shop.* TO app WITH GRANT OPTION",
            "CREATE USER pat IDENTIFIED BY 'Pat-pass-1'; CREATE ROLE clerks; GRANT clerks TO pat; REVOKE clerks FROM pat",
            "CREATE DATABASE other; DROP DATABASE other; LOCK TABLES shop.t WRITE; UNLOCK TABLES",
            "SHOW PROCESSLIST; FLUSH TABLES; FLUSH STATUS; SHOW ENGINE INNODB STATUS; SELECT COUNT(*) FROM mysql.user",
            "SET SESSION sql_mode = ''; SET SESSION max_join_size = 1000000; ANALYZE TABLE shop.t",
        ] {
            self.ok(sql);
        }
    }

    fn may_not(&self) {
        for sql in [
            "SET GLOBAL max_connections = 5",
            "SET GLOBAL require_secure_transport = OFF",
            "SET GLOBAL general_log = ON",
            "SET GLOBAL read_only = ON",
            "SHUTDOWN",
            "SELECT LOAD_FILE('/etc/passwd') INTO OUTFILE '/tmp/countersign-test-outfile'",
            "LOAD DATA INFILE '/etc/passwd' INTO TABLE shop.t",
            "GRANT SUPER ON *.* TO admin",
            "GRANT FILE ON *.* TO pat",
            "GRANT SHUTDOWN ON *.* TO pat",
            "GRANT ALL PRIVILEGES ON *.* TO pat",
        ] {
            self.denied(sql);
        }
        // Without FILE it gives nothing.
        assert_eq!(self.ok("SELECT LOAD_FILE('/etc/passwd') IS NULL"), "1");
        let grants = self.ok("SHOW GRANTS");
        for never in
            ["SUPER", "FILE", "SHUTDOWN", "SYSTEM_USER", "SYSTEM_VARIABLES_ADMIN", "CONNECTION ADMIN"]
        {
            let granted =
                grants.split([',', '\n']).any(|word| word.trim().trim_start_matches("GRANT ") == never);
            assert!(!granted, "{never}: {grants}");
        }
        if self.flavor == Flavor::MySql {
            for sql in [
                "INSTALL PLUGIN AUDIT_NULL SONAME 'adt_null.so'",
                "INSTALL COMPONENT 'file://component_validate_password'",
                "UNINSTALL PLUGIN AWSAuthenticationPlugin",
                "CREATE FUNCTION sys_exec RETURNS INTEGER SONAME 'lib_mysqludf_sys.so'",
                "INSERT INTO mysql.plugin VALUES ('x', 'x.so')",
                "INSERT INTO mysql.func VALUES ('x', 0, 'x.so', 'function')",
                "UPDATE mysql.user SET Super_priv = 'Y' WHERE user = 'admin'",
                "DELETE FROM mysql.user WHERE user = 'rdsadmin'",
                "DROP TABLE mysql.user",
                "CREATE TABLE mysql.t (x INT)",
                "GRANT SYSTEM_USER ON *.* TO admin",
                "GRANT SYSTEM_VARIABLES_ADMIN ON *.* TO admin",
                "GRANT INSERT ON mysql.* TO pat",
                "ALTER USER rdsadmin@localhost IDENTIFIED BY 'Other-pass-1'",
                "RENAME USER rdsadmin@localhost TO rdsadmin@'%'",
                "DROP USER rdsadmin@localhost",
                "REVOKE ALL PRIVILEGES ON *.* FROM rdsadmin@localhost",
                "GRANT rdsadmin@localhost TO admin",
                "GRANT PROXY ON rdsadmin@localhost TO admin",
                "CREATE DEFINER = rdsadmin@localhost PROCEDURE shop.q() SELECT 1",
                "SET PERSIST max_connections = 5",
                "SET PERSIST_ONLY back_log = 5",
                "ALTER INSTANCE RELOAD TLS",
                "CLONE LOCAL DATA DIRECTORY = '/tmp/countersign-test-clone'",
            ] {
                self.denied(sql);
            }
        }
    }

    /// It is in no way reached over the network.
    fn the_administrator(&self) {
        let key = self.server.create_user("jane", Some(&self.db.policy("Allow", "*")));
        let token = self.server.token(&self.db, "rdsadmin", &key).text();
        for password in ["", "Master-pass-1", &token] {
            let said = self.server.sql(&self.db, "rdsadmin", password, "SELECT 1").fail();
            assert!(said.contains("Access denied for user 'rdsadmin'@"), "{said}");
        }
        for user in ["root", "", "mysql.sys", "mariadb.sys"] {
            let said = self.server.sql(&self.db, user, "", "SELECT 1").fail();
            assert!(said.contains("Access denied"), "{user}: {said}");
        }
    }

    /// A server that is led astray cannot change its own rules.
    fn files(&self) {
        let (data, pid) = self.server.mysql_servers().pop_first().unwrap();
        let ids = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let id = |name: &str| {
            let line = ids.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().to_owned()
        };
        let (uid, gid) = (id("Uid:"), id("Gid:"));
        if uid == rustix::process::geteuid().as_raw().to_string() {
            println!("NOT TESTED: what the servers' OS user cannot write; it is the tester's own");
            return;
        }
        let writes = |path: &str| {
            let path = data.parent().unwrap().join(path);
            assert!(path.exists(), "{}", path.display());
            let mut command = Command::new("setpriv");
            command.args(["--reuid", &uid, "--regid", &gid, "--clear-groups", "test", "-w"]).arg(path);
            run(&mut command).ok()
        };
        assert!(writes("data") && writes("log"));
        for path in [
            ".",
            "config",
            "config/my.cnf",
            "config/set-up.sql",
            "config/plugins",
            "config/plugins/auth_countersign.so",
        ] {
            assert!(!writes(path), "{path}");
        }
    }

    #[track_caller]
    fn set_parameters(&self, parameters: &str) {
        self.aws(&format!(
            "rds modify-db-parameter-group --db-parameter-group-name tuned --parameters {parameters}"
        ));
    }

    #[track_caller]
    fn await_variable(&self, name: &str, wanted: &str) {
        let started = Instant::now();
        loop {
            let found = self.ok(&format!("SELECT @@GLOBAL.{name}"));
            if found == wanted {
                return;
            }
            assert!(started.elapsed() < Duration::from_secs(30), "{name} is {found}, not {wanted}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A password user without TLS is let in, or refused in the server's own words.
    #[track_caller]
    fn check_plaintext(&self, refused: bool) {
        let output = self.plaintext();
        if refused {
            output.fail_with(match self.flavor {
                Flavor::MySql => "ERROR 3159 (HY000): Connections using insecure transport are prohibited",
                Flavor::MariaDb => "ERROR 1045 (28000): Access denied for user 'pat'@",
                Flavor::RecentMariaDb => {
                    "ERROR 3159 (08004): Connections using insecure transport are prohibited"
                }
            });
        } else {
            output.succeed();
        }
    }

    fn plaintext(&self) -> Output {
        let login = self.server.mysql_login(&self.db, "pat", "Pat-pass-1");
        let arguments = ["--skip-ssl", "--skip-ssl-verify-server-cert", "--execute=SELECT 1"];
        login.mariadb(&self.server.work_dir(), &arguments)
    }

    fn parameters(&self) {
        // As on RDS: before MariaDB 11.8 a password may come without TLS unless the group says otherwise.
        let forced = self.flavor != Flavor::MariaDb;
        self.check_plaintext(forced);
        self.set_parameters(
            &"ParameterName=long_query_time,ParameterValue=7,ApplyMethod=immediate \
             ParameterName=back_log,ParameterValue=77,ApplyMethod=pending-reboot \
             ParameterName=require_secure_transport,ParameterValue=OTHER,ApplyMethod=immediate"
                .replace("OTHER", if forced { "0" } else { "1" }),
        );
        self.await_variable("long_query_time", "7.000000");
        let back_log = self.ok("SELECT @@GLOBAL.back_log");
        assert_ne!(back_log, "77");
        self.await_message("parameter `back_log` takes effect at the next reboot");
        self.check_plaintext(!forced);
        for name in ["datadir", "plugin_dir", "init_file", "skip_grant_tables", "secure_file_priv"] {
            let parameter = format!("ParameterName={name},ParameterValue=x,ApplyMethod=pending-reboot");
            let modify = ["rds", "modify-db-parameter-group", "--db-parameter-group-name", "tuned"];
            self.server
                .aws(&[&modify[..], &["--parameters", &parameter]].concat())
                .fail_with("InvalidParameterValue");
        }
        self.aws("rds reboot-db-instance --db-instance-identifier mydb");
        self.server.await_database("mydb");
        assert_eq!(self.ok("SELECT @@GLOBAL.back_log, @@GLOBAL.long_query_time"), "77\t7.000000");
        self.aws("rds reset-db-parameter-group --db-parameter-group-name tuned --reset-all-parameters");
        self.await_variable("long_query_time", "10.000000");
        self.server.await_database("mydb");
    }

    #[track_caller]
    fn await_message(&self, wanted: &str) {
        let started = Instant::now();
        loop {
            let status = self.server.status("mydb").unwrap();
            if status["message"].as_str().is_some_and(|message| message.contains(wanted)) {
                return;
            }
            assert!(started.elapsed() < Duration::from_secs(30), "no `{wanted}`: {status}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn another_password(&self) {
        let modify = "rds modify-db-instance --db-instance-identifier mydb --apply-immediately";
        self.aws(&format!("{modify} --master-user-password Another'pass\\2"));
        self.server.await_database("mydb");
        self.run("SELECT 1").fail_with("ERROR 1045 (28000): Access denied for user 'admin'@");
        self.server.sql(&self.db, "admin", "Another'pass\\2", "SELECT 1").succeed();
        self.aws(&format!("{modify} --master-user-password Master-pass-1"));
        self.server.await_database("mydb");
        self.ok("SELECT 1");
    }

    /// MariaDB has no partial revokes and no system users: whoever may write every table may write those that say who may do
    /// what. RDS's master user has the same there, minus what its own stored procedures do. What must hold is that the files
    /// are out of reach, and that Countersign can be let in again.
    fn what_mariadb_cannot_hold(&self) {
        self.ok("INSERT INTO mysql.plugin VALUES ('nothing', 'nothing.so'); DELETE FROM mysql.plugin WHERE name = 'nothing'");
        self.ok("CREATE TABLE mysql.t (x INT); DROP TABLE mysql.t");
        // Libraries come from a folder that nobody can write to but Countersign.
        self.run("CREATE FUNCTION sys_exec RETURNS INTEGER SONAME 'lib_mysqludf_sys.so'")
            .fail_with("ERROR 1126");
        self.run("CREATE FUNCTION f RETURNS INTEGER SONAME '../data/x.so'").fail_with("ERROR 1124");
        self.ok("DROP USER rdsadmin@localhost");
        self.aws("rds reboot-db-instance --db-instance-identifier mydb");
        self.server.await_database("mydb");
        assert_eq!(
            self.ok("SELECT plugin FROM mysql.user WHERE user = 'rdsadmin'"),
            "countersign_administrator"
        );
    }
}
