//! `docs/clients.md` has what the tests run: its shell lines are run as they stand, its calls are those of `tests/clients`.
//! The lines and calls of MySQL and MariaDB are run by `mysql_walk` and `mysql_clients`, those of PostgreSQL here.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use countersign_tests::{Door, Driver, Server, documented, installed::client_scripts};

#[test]
fn the_calls_are_those_that_are_run() {
    let scripts = std::fs::read_dir(client_scripts()).unwrap();
    let scripts: Vec<String> =
        scripts.filter_map(|script| std::fs::read_to_string(script.unwrap().path()).ok()).collect();
    // There the arguments of the script are meant.
    let plain = |line: &str| line.trim().replace("process.env.TOKEN", "token").replace("to.", "");
    let calls: Vec<Vec<String>> = scripts
        .iter()
        .map(|script| script.lines().map(|line| plain(line).replace("return ", "")).collect())
        .collect();
    for language in ["python", "js"] {
        let blocks = documented(language);
        assert!(!blocks.is_empty(), "{language}");
        for (heading, block) in blocks {
            let lines: Vec<String> = block.lines().map(plain).collect();
            let runs = |script: &Vec<String>| script.windows(lines.len()).any(|window| window == lines);
            assert!(calls.iter().any(runs), "{heading}: not what a script of tests/clients has:\n{block}");
        }
    }
}

#[test]
fn clients_of_postgresql() {
    let mut server = Server::start(Door::usual());
    let db = server.create_instance("mydb", &["--enable-iam-database-authentication"]);
    server.as_master(&db, "CREATE USER app; GRANT rds_iam TO app");
    let key = server.create_user("jane", Some(&db.policy("Allow", "app")));
    let token = server.token(&db, "app", &key);
    for (name, value) in
        [("RDSHOST", db.host.clone()), ("RDSPORT", db.port.to_string()), ("TOKEN", token.text())]
    {
        server.set(name, value);
    }
    server.bundle(&db.region);
    let psql = documented("sh").into_iter().find(|(_, block)| block.contains(" psql ")).unwrap().1;
    let shown = server.shell(&format!("{} -At -c 'select session_user'", psql.trim_end())).succeed();
    assert_eq!(shown, "app");
    for driver in [Driver::Psycopg, Driver::Asyncpg] {
        let log_in = |password: &str| {
            let mut login = server.mysql_login(&db, "app", password);
            login.database = "postgres".to_owned();
            driver.log_in(&server.work_dir(), &login)
        };
        let said = log_in(&token.text()).succeed();
        let row: Vec<String> = serde_json::from_str(&said).expect("an array");
        assert!(row[0] == "app" && row[1] == "app" && row[2].starts_with("PostgreSQL 1"), "{said}");
        let said = log_in("Other-pass-1").fail();
        assert!(said.contains("authentication failed for user \"app\""), "{said}");
    }
}
