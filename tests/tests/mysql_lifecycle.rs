//! IAM authentication off and on, and the ends and starts of servers and of Countersign, on MySQL and MariaDB: accounts work
//! as before, and nobody's session ends but with its server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use countersign_tests::{Database, Flavor, Key, OpenSession, Server};
use rustix::process::{Pid, Signal, kill_process};
use std::time::{Duration, Instant};

#[test]
fn mysql() {
    lifecycle(Flavor::MySql);
}

#[test]
fn mariadb() {
    lifecycle(Flavor::MariaDb);
}

#[test]
fn recent_mariadb() {
    lifecycle(Flavor::RecentMariaDb);
}

fn lifecycle(flavor: Flavor) {
    let mut world = World::new(flavor);
    world.switched_while_it_runs();
    world.switched_around_restarts();
    world.nobody_answers();
    world.the_server_is_killed();
}

const ON: &str = "--enable-iam-database-authentication";
const OFF: &str = "--no-enable-iam-database-authentication";
const NOT_LOADED: &str = "ERROR 1524 (HY000): Plugin 'AWSAuthenticationPlugin' is not loaded";

struct World {
    server: Server,
    db: Database,
    /// May log in as `app`.
    key: Key,
}

#[track_caller]
fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_secs(60), "not within 60 s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl World {
    /// The instance is made by a Countersign that is killed at each step of it, and goes on from there.
    fn new(flavor: Flavor) -> Self {
        let mut server = Server::for_mysql(flavor, &[]);
        server.request_mysql_instance("mydb", flavor, &[ON]);
        for step in ["config", "unfinished", "data", "run/mysqld.sock"] {
            wait_until(step, || {
                let folders = std::fs::read_dir(server.data_dir().join("databases")).into_iter().flatten();
                folders.flatten().any(|folder| folder.path().join(step).exists())
            });
            server.kill();
            server.start_again();
        }
        let db = server.await_database("mydb");
        assert_eq!(server.mysql_servers().len(), 1);
        server.as_mysql_master(
            &db,
            "CREATE USER app IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'; ALTER USER app REQUIRE SSL;
             CREATE USER pat IDENTIFIED BY 'Pat-pass-1'; CREATE DATABASE shop; CREATE TABLE shop.kept SELECT 1 AS one;
             GRANT SELECT ON shop.* TO app, pat",
        );
        let key = server.create_user("jane", Some(&db.policy("Allow", "app")));
        let world = Self { server, db, key };
        world.works();
        world
    }

    fn token(&self) -> String {
        self.server.token(&self.db, "app", &self.key).text()
    }

    /// The account logs in by token, as it was made.
    #[track_caller]
    fn works(&self) {
        let sql = "SELECT @@external_user, one FROM shop.kept";
        let shown = self.server.mysql(&self.db, "app", &self.token(), sql).succeed();
        assert_eq!(shown, "arn:aws:iam::123456789012:user/jane\t1");
    }

    /// The same within a while: a Countersign that has just started says of its databases what it last knew.
    #[track_caller]
    fn works_soon(&self) {
        wait_until("the account logs in", || {
            self.server.mysql(&self.db, "app", &self.token(), "SELECT 1").ok()
        });
        self.works();
    }

    /// It does not, users with a password do.
    #[track_caller]
    fn is_off(&self) {
        let asked = self.server.audit().len();
        self.server.mysql(&self.db, "app", &self.token(), "SELECT 1").fail_with(NOT_LOADED);
        assert_eq!(self.server.audit().len(), asked);
        self.passwords_work();
    }

    #[track_caller]
    fn passwords_work(&self) {
        let read = "SELECT one FROM shop.kept";
        assert_eq!(self.server.sql(&self.db, "pat", "Pat-pass-1", read).succeed(), "1");
    }

    fn open(&self) -> OpenSession {
        // MySQL's client takes tokens to each of them.
        self.server.open_mysql_session(&self.db, "app", &self.token())
    }

    fn pid(&self) -> i32 {
        *self.server.mysql_servers().values().next().expect("a server runs")
    }

    #[track_caller]
    fn rds(&self, operation: &str, more: &[&str]) {
        let named = ["rds", operation, "--db-instance-identifier", "mydb"];
        self.server.aws(&[&named[..], more].concat()).succeed();
    }

    #[track_caller]
    fn modify(&self, switch: &str) {
        self.rds("modify-db-instance", &["--apply-immediately", switch]);
        self.server.await_database("mydb");
    }

    fn switched_while_it_runs(&self) {
        let (pid, mut session) = (self.pid(), self.open());
        self.modify(OFF);
        self.is_off();
        session.check();
        self.modify(ON);
        self.works();
        session.check();
        self.passwords_work();
        assert_eq!(self.pid(), pid, "no restart was needed");
    }

    fn switched_around_restarts(&mut self) {
        // Countersign ends at once after it has said yes; it finds the server as it was.
        let (pid, mut session) = (self.pid(), self.open());
        self.rds("modify-db-instance", &["--apply-immediately", OFF]);
        self.server.kill();
        self.server.start_again();
        self.server.await_database("mydb");
        self.is_off();
        self.server.terminate();
        self.server.start_again();
        self.server.await_database("mydb");
        self.is_off();
        session.check();
        assert_eq!(self.pid(), pid);
        drop(session);

        self.rds("reboot-db-instance", &[]);
        self.server.await_database("mydb");
        assert_ne!(self.pid(), pid);
        self.is_off();
        self.modify(ON);
        self.works();
        self.rds("stop-db-instance", &[]);
        self.server.await_status("mydb", "stopped");
        assert!(self.server.mysql_servers().is_empty());
        // Ctrl-C stops the servers that run; what was stopped stays so.
        self.server.interrupt();
        self.server.start_again();
        self.rds("start-db-instance", &[]);
        self.server.await_database("mydb");
        self.works();
        self.server.interrupt();
        assert!(self.server.mysql_servers().is_empty());
        self.server.start_again();
        self.works_soon();
    }

    /// Countersign ends and hangs: tokens are refused, soon; all else goes on.
    fn nobody_answers(&mut self) {
        let (pid, mut session, token) = (self.pid(), self.open(), self.token());
        let refused = |world: &Self| {
            let output = world.server.mysql(&world.db, "app", &token, "SELECT 1");
            assert!(output.took < Duration::from_secs(6), "{output}");
            output.fail_with("ERROR 1045 (28000): Access denied for user 'app'@'");
        };
        self.server.terminate();
        refused(self);
        self.passwords_work();
        session.check();
        self.server.start_again();
        self.works_soon();
        self.server.pause();
        refused(self);
        self.passwords_work();
        self.server.resume();
        self.works();
        session.check();
        assert_eq!(self.pid(), pid);
    }

    fn the_server_is_killed(&self) {
        let pid = self.pid();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
        wait_until("another server", || self.server.mysql_servers().values().any(|other| *other != pid));
        self.works_soon();
        self.passwords_work();
        self.server.await_database("mydb");
    }
}
