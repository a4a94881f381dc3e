//! `countersign proxy` in front of real MySQL and MariaDB servers: clients and drivers that have no password and no switch for
//! clear text.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use countersign_tests::{Database, Flavor, Key, Output, Proxy, Server, Suite};

#[test]
fn mysql() {
    clients(Flavor::MySql);
}

#[test]
fn mariadb() {
    clients(Flavor::MariaDb);
}

#[test]
fn recent_mariadb() {
    clients(Flavor::RecentMariaDb);
}

/// A client's line, with no password in it.
fn client(server: &Server, proxy: &Proxy, name: &str, user: &str, rest: &str) -> Output {
    let plain = if name == "mariadb" { "--skip-ssl" } else { "" };
    server.shell(&format!(
        "{name} --no-defaults --protocol=TCP --host=127.0.0.1 --port={} --user={user} {plain} --batch --skip-column-names {rest}",
        proxy.port
    ))
}

fn clients(flavor: Flavor) {
    let server = Server::for_mysql(flavor, &[]);
    let db = server.create_mysql_instance("mydb", flavor, &["--enable-iam-database-authentication"]);
    server.as_mysql_master(
        &db,
        "CREATE USER app IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'; ALTER USER app REQUIRE SSL; CREATE DATABASE shop; \
         GRANT ALL ON shop.* TO app; CREATE USER plain IDENTIFIED BY 'Other-pass-1'",
    );
    let key = server.create_user("jane", Some(&db.policy("Allow", "app")));
    let socket = server.work_dir().join("mysql.sock");
    let arguments = ["--listen", socket.to_str().unwrap(), "--log", "debug"];
    let proxy = server.proxy(&db, &key, &arguments);

    for name in ["mysql", "mariadb"] {
        let sql = "-e \"select current_user(); show status like 'Ssl_version'\" shop";
        let shown = client(&server, &proxy, name, "app", sql).succeed();
        assert!(shown.starts_with("app@%") && shown.contains("TLSv1"), "{name}: {shown}");
        let line = format!(
            "{name} --no-defaults --socket={} --user=app -BNe 'select current_user()'",
            socket.display()
        );
        assert_eq!(server.shell(&line).succeed(), "app@%", "{name}");
    }

    // A large result, and an interrupt, which has the client kill its query over a second connection.
    let large = client(&server, &proxy, "mysql", "app", "-e \"select repeat('x', 10000000)\"").succeed();
    assert!(large.len() == 10_000_000 && large.bytes().all(|b| b == b'x'), "{}", large.len());
    let interrupted = server.shell(&format!(
        "timeout -s INT 2 mysql --no-defaults --protocol=TCP --host=127.0.0.1 --port={} --user=app -e 'select sleep(600)'",
        proxy.port
    ));
    assert!(interrupted.took < Duration::from_secs(60), "{interrupted}");

    // Refusals: who is nobody's, who logs in by a password, a database that is not there.
    for user in ["nobody", "plain"] {
        let said = client(&server, &proxy, "mysql", user, "-e 'select 1'").fail();
        assert!(said.contains("AWSAuthenticationPlugin") || said.contains("Access denied"), "{user}: {said}");
    }
    let said = client(&server, &proxy, "mysql", "app", "-e 'select 1' absent").fail();
    assert!(said.contains("absent"), "{said}");

    for suite in Suite::MYSQL {
        if suite == Suite::JdbcMariaDb && flavor == Flavor::MySql {
            // Its timeouts end a query in the way of MariaDB, at which MySQL's `sleep` reports no error.
            continue;
        }
        let said = suite.run(&server, proxy.port, "app", "shop").succeed();
        assert!(said.contains("checks"), "{suite:?}: {said}");
    }
    let log = proxy.log();
    assert!(
        log.contains("session ends") && !log.contains("X-Amz-Signature") && !log.contains(&key.secret),
        "{log}"
    );

    guarded(&server, &db, &key);
    secured(&server, &db, &key);
}

/// A local password, another user than the client's, a false server, keys that may not.
fn guarded(server: &Server, db: &Database, key: &Key) {
    let password = server.work_dir().join("password");
    std::fs::write(&password, "Sesame-1\n").unwrap();
    server.shell("chmod 600 password").succeed();
    let arguments = ["--password-file", password.to_str().unwrap(), "--user", "app"];
    let proxy = server.proxy(db, key, &arguments);
    for name in ["mysql", "mariadb"] {
        let right = client(server, &proxy, name, "whoever", "--password=Sesame-1 -e 'select current_user()'");
        assert_eq!(right.succeed(), "app@%", "{name}");
        let wrong = client(server, &proxy, name, "whoever", "--password=sesame -e 'select 1'").fail();
        assert!(wrong.contains("Access denied"), "{name}: {wrong}");
    }

    let other = Database { host: "127.0.0.2".to_owned(), ..db.clone() };
    let proxy = server.proxy(&other, key, &["--connect-to", &format!("{}:{}", db.host, db.port)]);
    let said = client(server, &proxy, "mysql", "app", "-e 'select 1'").fail();
    assert!(said.contains("no trusted TLS connection"), "{said}");

    let stranger = server.create_user("joe", None);
    let proxy = server.proxy(db, &stranger, &[]);
    let said = client(server, &proxy, "mysql", "app", "-e 'select 1'").fail();
    assert!(said.contains("Access denied for user 'app'@"), "{said}");
    proxy.await_log("trying once more with a fresh token");
}

/// TLS from clients: demanded on other addresses than loopback, with a password or with a certificate of theirs.
fn secured(server: &Server, db: &Database, key: &Key) {
    let make = "set -e; exec 2>&1; ec='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'
        openssl req -x509 $ec -keyout proxy.key -out proxy.pem -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost
        openssl req -x509 $ec -keyout ca.key -out ca.pem -days 2 -subj /CN=clients
        openssl req $ec -keyout app.key -out app.csr -subj /CN=app
        echo extendedKeyUsage=clientAuth > app.ext
        openssl x509 -req -in app.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile app.ext -out app.pem";
    server.shell(make).succeed();
    let to = format!("{}:{}", db.host, db.port);
    let bundle = server.bundle(&db.region);
    let everywhere = ["--listen", "0.0.0.0:0", "--to", &to, "--engine", "mysql", "--region", &db.region];
    let tls =
        ["--ca-bundle", bundle.to_str().unwrap(), "--tls-certificate", "proxy.pem", "--tls-key", "proxy.key"];
    let proxy = |demanded: &[&str]| server.proxy_with(key, &[&everywhere[..], &tls, demanded].concat());
    let log_in = |name: &str, proxy: &Proxy, rest: &str| {
        let verified = match name {
            "mysql" => "--ssl-mode=VERIFY_IDENTITY --ssl-ca=proxy.pem",
            _ => "--ssl-verify-server-cert --ssl-ca=proxy.pem",
        };
        let port = proxy.port;
        server.shell(&format!(
            "{name} --no-defaults --protocol=TCP --host=localhost --port={port} --user=app {verified} -BNe 'select current_user()' {rest}"
        ))
    };
    let by_password = proxy(&["--password-file", "password"]);
    for name in ["mysql", "mariadb"] {
        assert_eq!(log_in(name, &by_password, "--password=Sesame-1").succeed(), "app@%", "{name}");
        log_in(name, &by_password, "--password=sesame").fail_with("Access denied");
    }
    let plain = log_in("mysql", &by_password, "--password=Sesame-1 --ssl-ca= --ssl-mode=DISABLED").fail();
    assert!(plain.contains("3159"), "{plain}");

    let by_certificate = proxy(&["--client-ca", "ca.pem"]);
    for name in ["mysql", "mariadb"] {
        let own = "--ssl-cert=app.pem --ssl-key=app.key";
        assert_eq!(log_in(name, &by_certificate, own).succeed(), "app@%", "{name}");
        assert!(!log_in(name, &by_certificate, "").ok(), "{name}: without a certificate");
    }
}
