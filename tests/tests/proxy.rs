//! `countersign proxy` in front of a real PostgreSQL: psql and drivers that have no password.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use countersign_tests::{Database, Door, Key, Output, Proxy, Server, Suite};

/// A server with a database, and a key that may log in as `app`.
fn database(server: &Server) -> (Database, Key) {
    let db = server.create_instance("mydb", &["--enable-iam-database-authentication"]);
    server.as_master(
        &db,
        "CREATE USER app; GRANT rds_iam TO app; GRANT CREATE ON SCHEMA public TO app; CREATE USER other",
    );
    let key = server.create_user("jane", Some(&db.policy("Allow", "app")));
    (db, key)
}

/// What a user of the proxy types; no password anywhere.
fn conninfo(proxy: &Proxy, user: &str) -> String {
    format!("host=127.0.0.1 port={} user={user} dbname=postgres", proxy.port)
}

fn psql(server: &Server, proxy: &Proxy, sql: &str) -> Output {
    server.psql(&conninfo(proxy, "app"), "", sql)
}

#[test]
fn psql_and_drivers_need_no_password() {
    let server = Server::start(Door::usual());
    let (db, key) = database(&server);
    let folder = server.work_dir();
    let socket = folder.join("sockets");
    std::fs::create_dir(&socket).unwrap();
    let metrics = countersign_tests::free_port().to_string();
    let metrics = format!("127.0.0.1:{metrics}");
    let arguments = ["--listen", socket.to_str().unwrap(), "--metrics-listen", &metrics, "--log", "debug"];
    let proxy = server.proxy(&db, &key, &arguments);

    let shown = psql(
        &server,
        &proxy,
        "select session_user, (select ssl from pg_stat_ssl where pid = pg_backend_pid())",
    );
    assert_eq!(shown.succeed(), "app|t");
    let by_socket = format!("host={} port={} user=app dbname=postgres", socket.display(), db.port);
    assert_eq!(server.psql(&by_socket, "", "select session_user").succeed(), "app");

    // \c, COPY both ways, a large result, an interrupt.
    let line = |script: &str| {
        format!("PGHOST=127.0.0.1 PGPORT={} PGUSER=app PGDATABASE=postgres {script}", proxy.port)
    };
    let again = server.shell(&line("psql -XAtc 'select 1' -c '\\c postgres app' -c 'select 2'")).succeed();
    assert!(again.starts_with('1') && again.ends_with('2'), "{again}");
    psql(&server, &proxy, "create table copied (a text)").succeed();
    server.shell(&format!("seq 1 500000 | {}", line("psql -Xqc 'copy copied from stdin'"))).succeed();
    let sums = server
        .shell(&format!("{} | md5sum; seq 1 500000 | md5sum", line("psql -Xqc 'copy copied to stdout'")));
    let sums = sums.succeed();
    let (out, back) = sums.split_once('\n').unwrap();
    assert_eq!(out, back);
    let large = psql(&server, &proxy, "select repeat('x', 20000000)").succeed();
    assert!(large.len() == 20_000_000 && large.bytes().all(|b| b == b'x'));
    let interrupted = server.shell(&line("timeout -s INT 2 psql -Xc 'select pg_sleep(600)'"));
    assert!(interrupted.stderr.contains("canceling statement due to user request"), "{interrupted}");
    assert!(interrupted.took < Duration::from_secs(60), "{interrupted}");

    // The server's words, as they are without a proxy; and ours where there are none of its.
    let direct = server.psql(
        &server.conninfo(&db, "app").replace("dbname=postgres", "dbname=absent"),
        &server.token(&db, "app", &key).text(),
        "",
    );
    let through = server.psql(&conninfo(&proxy, "app").replace("dbname=postgres", "dbname=absent"), "", "");
    let words = |said: &str| said.split("FATAL:").nth(1).unwrap().trim().to_owned();
    assert_eq!(words(&through.fail()), words(&direct.fail()));
    let said = server.psql(&conninfo(&proxy, "other"), "", "select 1").fail();
    assert!(said.contains("rds_iam"), "{said}");
    server
        .psql(&format!("{} replication=database", conninfo(&proxy, "app")), "", "IDENTIFY_SYSTEM")
        .fail_with("replication");

    for suite in Suite::POSTGRES {
        let said = suite.run(&server, proxy.port, "app", "postgres").succeed();
        assert!(said.contains("checks"), "{suite:?}: {said}");
    }

    let health = server.countersign(&["proxy", "--check-health", &metrics]);
    assert!(health.ok(), "{health}");
    let shown = server.shell(&format!("curl -s http://{metrics}/metrics")).succeed();
    assert!(shown.contains("countersign_proxy_cancels_total") && shown.ends_with("# EOF"), "{shown}");

    // No token anywhere in the log, at its most talkative.
    let log = proxy.log();
    assert!(
        log.contains("session ends") && !log.contains("X-Amz-Signature") && !log.contains(&key.secret),
        "{log}"
    );
}

#[test]
fn a_pool_lives_on_over_the_lifetime_of_tokens_and_credentials() {
    let server = Server::start_with_clock(Door::usual());
    let (db, key) = database(&server);
    // Credentials that a program hands out, for a quarter of an hour each, and fewer each time.
    let folder = server.work_dir();
    let now = "$(python3 -c 'import time; print(time.strftime(\"%Y-%m-%dT%H:%M:%SZ\", time.gmtime(time.time() + 900)))')";
    let program = folder.join("credentials.sh");
    let counted = folder.join("asked");
    std::fs::write(
        &program,
        format!(
            "#!/bin/sh\necho x >> {}\ncat <<JSON\n{{\"Version\": 1, \"AccessKeyId\": \"{}\", \"SecretAccessKey\": \"{}\", \
             \"Expiration\": \"{now}\"}}\nJSON\n",
            counted.display(),
            key.id,
            key.secret
        ),
    )
    .unwrap();
    let profile = format!("[profile pool]\ncredential_process = sh {}\n", program.display());
    std::fs::write(folder.join("config"), profile).unwrap();
    let proxy = server.proxy(&db, &Key::default(), &["--profile", "pool"]);
    let mut kept = countersign_tests::OpenSession::psql_through(&server, &conninfo(&proxy, "app"));
    let clock = server.clock().unwrap();
    for _ in 0..3 {
        assert_eq!(psql(&server, &proxy, "select session_user").succeed(), "app");
        clock.advance(Duration::from_secs(16 * 60));
        kept.check();
    }
    assert_eq!(psql(&server, &proxy, "select session_user").succeed(), "app");
    let asked = std::fs::read_to_string(counted).unwrap().lines().count();
    assert!((4..=5).contains(&asked), "credentials were asked for {asked} times");
}

#[test]
fn only_the_database_itself_and_only_who_may() {
    let server = Server::start(Door::usual());
    let (db, key) = database(&server);
    // Another name than the certificate's, and other authorities.
    let other = Database { host: "127.0.0.2".to_owned(), ..db.clone() };
    let proxy = server.proxy(&other, &key, &["--connect-to", &format!("{}:{}", db.host, db.port)]);
    psql(&server, &proxy, "select 1").fail_with("no trusted TLS connection");
    let amazons = server.proxy_with(
        &key,
        &[
            "--listen",
            "127.0.0.1:0",
            "--to",
            "mydb.c7tj4example.us-east-1.rds.amazonaws.com:5432",
            "--connect-to",
            &format!("{}:{}", db.host, db.port),
        ],
    );
    psql(&server, &amazons, "select 1").fail_with("Amazon's bundle");

    // A local password, over TLS, on every address.
    let folder = server.work_dir();
    let password = folder.join("password");
    std::fs::write(&password, "Sesame-1\n").unwrap();
    server.shell("chmod 600 password; openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost 2>&1").succeed();
    let arguments = ["--password-file", "password", "--tls-certificate", "cert.pem", "--tls-key", "key.pem"];
    let local = server.proxy(&db, &key, &[&["--listen", "0.0.0.0:0"], &arguments[..]].concat());
    let tls = format!("{} sslmode=require", conninfo(&local, "app"));
    assert_eq!(server.psql(&tls, "Sesame-1", "select session_user").succeed(), "app");
    server.psql(&tls, "sesame", "select 1").fail_with("password authentication failed");
    assert!(!server.psql(&tls, "", "select 1").ok());

    // Usage: told at once, with 2.
    let refused = |arguments: &[&str]| {
        let output = server.countersign(&[&["proxy"], arguments].concat());
        assert_eq!(output.code, Some(2), "{output}");
        output.stderr
    };
    let to = format!("{}:{}", db.host, db.port);
    let said = refused(&["--listen", "0.0.0.0:5432", "--to", "localhost:5432"]);
    assert!(said.contains("not a loopback address") && said.contains("password-file"), "{said}");
    assert!(refused(&["--listen", "127.0.0.1:0", "--to", &to]).contains("--engine"));
    assert!(refused(&["--to", "localhost:5432"]).contains("--listen"));
    std::fs::write(folder.join("proxy.toml"), "[[proxy]]\nlisten = \"127.0.0.1:0\"\ntoo = \"x\"\n").unwrap();
    assert!(refused(&["--config", "proxy.toml"]).contains("too"));

    // Several from a file; and an end that lets sessions go on.
    let bundle = server.bundle(&db.region);
    std::fs::write(
        folder.join("proxy.toml"),
        format!(
            "drain-seconds = 30\n[defaults]\nto = \"{to}\"\nengine = \"postgres\"\nregion = \"{}\"\nca-bundle = \"{}\"\n\
             [[proxy]]\nname = \"one\"\nlisten = [\"127.0.0.1:0\"]\n[[proxy]]\nname = \"two\"\nlisten = \"{}/two\"\nuser = \"app\"\n\
             socket-mode = \"0660\"\n",
            db.region,
            bundle.display(),
            folder.display()
        ),
    )
    .unwrap();
    std::fs::create_dir(folder.join("two")).unwrap();
    let mut both = server.proxy_with(&key, &["--config", "proxy.toml"]);
    both.await_log(r#""proxy":"two""#);
    let two = format!("host={}/two port={} user=whoever dbname=postgres", folder.display(), db.port);
    assert_eq!(server.psql(&two, "", "select session_user").succeed(), "app");
    let mut session = countersign_tests::OpenSession::psql_through(&server, &conninfo(&both, "app"));
    both.terminate();
    both.await_log("stopping");
    session.check();
    psql(&server, &both, "select 1").fail_with("refused");
    drop(session);
    assert_eq!(both.wait(), Some(0));
    assert!(!folder.join("two").join(format!(".s.PGSQL.{}", db.port)).exists());

    // Credentials that may not, those that there are none of, and a server that is not there.
    let stranger = server.create_user("joe", None);
    let proxy = server.proxy(&db, &stranger, &[]);
    let said = psql(&server, &proxy, "select 1").fail();
    assert!(said.contains("authentication failed for user \"app\""), "{said}");
    proxy.await_log("trying once more with a fresh token");
    let proxy = server.proxy(&db, &Key::default(), &[]);
    psql(&server, &proxy, "select 1").fail_with("no AWS credentials were found");
    server
        .aws(&["rds", "delete-db-instance", "--db-instance-identifier", "mydb", "--skip-final-snapshot"])
        .succeed();
    server.await_gone("mydb");
    psql(&server, &proxy, "select 1").fail();
}
