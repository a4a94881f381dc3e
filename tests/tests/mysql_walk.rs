//! What a user of MySQL and MariaDB types, from the instance to the login, as it is typed against AWS.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use countersign_tests::{Flavor, Server, documented, free_port};
use std::fs;

#[test]
fn mysql() {
    walk(Flavor::MySql);
}

#[test]
fn mariadb() {
    walk(Flavor::MariaDb);
}

#[test]
fn recent_mariadb() {
    walk(Flavor::RecentMariaDb);
}

fn walk(flavor: Flavor) {
    let mut server = Server::for_mysql(flavor, &[]);
    instance(&mut server, flavor);
    accounts(&server, flavor);
    permissions(&server);
    logins(&mut server, flavor);
    role(&mut server);
}

/// The line must succeed; its output.
#[track_caller]
fn ok(server: &Server, line: &str) -> String {
    server.shell(line).succeed()
}

/// Asks for the values and keeps each under its name.
#[track_caller]
fn keep(server: &mut Server, names: &[&str], line: &str) {
    let values = ok(server, &format!("{line} --output text"));
    let values: Vec<&str> = values.split('\t').collect();
    assert_eq!(values.len(), names.len(), "{line}: {values:?}");
    for (name, value) in names.iter().zip(values) {
        assert!(!value.is_empty() && value != "None", "{line}: {name}");
        server.set(name, value);
    }
}

const NAMES: [&str; 4] = ["RDSHOST", "RDSPORT", "RESOURCE", "VERSION"];

fn instance(server: &mut Server, flavor: Flavor) {
    server.set("ENGINE", flavor.engine());
    server.set("SERIES", flavor.server().series());
    server.set("PORT", free_port().to_string());
    let created = ok(
        server,
        "aws rds create-db-instance --db-instance-identifier mydb --engine $ENGINE --engine-version $SERIES \
         --db-instance-class db.t3.micro --allocated-storage 20 --port $PORT --master-username admin \
         --master-user-password 'Master-pass-1' --enable-iam-database-authentication",
    );
    assert!(created.contains(r#""IAMDatabaseAuthenticationEnabled": true"#), "{created}");
    // The AWS CLI looks every 30 s.
    server.await_database("mydb");
    ok(server, "aws rds wait db-instance-available --db-instance-identifier mydb");
    keep(
        server,
        &NAMES,
        "aws rds describe-db-instances --db-instance-identifier mydb \
         --query 'DBInstances[0].[Endpoint.Address,Endpoint.Port,DbiResourceId,EngineVersion]'",
    );
    assert_eq!(server.environment()["VERSION"], flavor.server().version);
    ok(server, "curl -fsSO $AWS_ENDPOINT_URL/us-east-1/us-east-1-bundle.pem");
}

/// The master user's lines, as the documentation of RDS has them.
fn accounts(server: &Server, flavor: Flavor) {
    let master = match flavor {
        Flavor::MySql => {
            "mysql --protocol=TCP --host=$RDSHOST --port=$RDSPORT --ssl-ca=us-east-1-bundle.pem --ssl-mode=VERIFY_CA \
             --user=admin --password='Master-pass-1' --batch --skip-column-names"
        }
        // MySQL's client 9 cannot give MariaDB a password, other than a token.
        Flavor::MariaDb | Flavor::RecentMariaDb => {
            "mariadb --protocol=TCP --host=$RDSHOST --port=$RDSPORT --ssl-ca=us-east-1-bundle.pem \
             --ssl-verify-server-cert --user=admin --password='Master-pass-1' --batch --skip-column-names"
        }
    };
    ok(
        server,
        &format!(r#"{master} -e "CREATE USER app IDENTIFIED WITH AWSAuthenticationPlugin as 'RDS';""#),
    );
    ok(server, &format!(r#"{master} -e "ALTER USER app REQUIRE SSL;""#));
    ok(server, &format!(r#"{master} -e "GRANT SELECT, INSERT, UPDATE, DELETE, ALTER ON *.* TO 'app'@'%';""#));
    ok(
        server,
        &format!(
            r#"{master} -e "CREATE USER 'pat'@'%' IDENTIFIED BY 'Pat-pass-1'; CREATE DATABASE shop; CREATE TABLE shop.kept SELECT 1 AS one; GRANT SELECT ON shop.* TO pat""#
        ),
    );
    let row = r#"-e "SELECT user, host, plugin, authentication_string, ssl_type FROM mysql.user WHERE user = 'app'""#;
    assert_eq!(ok(server, &format!("{master} {row}")), "app\t%\tAWSAuthenticationPlugin\tRDS\tANY");
    let shown = ok(server, &format!(r#"{master} -e "SHOW CREATE USER app""#));
    let identified = match flavor {
        Flavor::MySql => "IDENTIFIED WITH 'AWSAuthenticationPlugin' AS 'RDS' REQUIRE SSL",
        Flavor::MariaDb | Flavor::RecentMariaDb => {
            "IDENTIFIED VIA AWSAuthenticationPlugin USING 'RDS' REQUIRE SSL"
        }
    };
    assert!(shown.contains(identified), "{shown}");
}

fn permissions(server: &Server) {
    let policy = format!(
        r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow", "Action": ["rds-db:connect"],
            "Resource": ["arn:aws:rds-db:us-east-1:123456789012:dbuser:{}/app"]}}]}}"#,
        server.environment()["RESOURCE"]
    );
    fs::write(server.work_dir().join("connect.json"), policy).unwrap();
    ok(server, "aws iam create-policy --policy-name connect --policy-document file://connect.json");
    // The names of who logs in and as whom need not be the same.
    ok(server, "aws iam create-user --user-name jane");
    let attach = "--policy-arn arn:aws:iam::123456789012:policy/connect";
    ok(server, &format!("aws iam attach-user-policy --user-name jane {attach}"));
    let key = ok(
        server,
        "aws iam create-access-key --user-name jane --query 'AccessKey.[AccessKeyId,SecretAccessKey]' --output text",
    );
    let (id, secret) = key.split_once('\t').expect("an id and a secret");
    let trust = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": {"AWS": "arn:aws:iam::123456789012:user/jane"}}]}"#;
    fs::write(server.work_dir().join("trust.json"), trust).unwrap();
    ok(server, "aws iam create-role --role-name batch --assume-role-policy-document file://trust.json");
    ok(server, &format!("aws iam attach-role-policy --role-name batch {attach}"));
    let profiles = format!("[jane]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
    fs::write(server.work_dir().join("credentials"), profiles).unwrap();
    let config = "[profile batch]\nrole_arn = arn:aws:iam::123456789012:role/batch\nrole_session_name = nightly\nsource_profile = jane\n";
    fs::write(server.work_dir().join("config"), config).unwrap();
}

/// Makes a token, as the documentation of RDS has it.
const TOKEN: &str = r#"TOKEN="$(aws rds generate-db-auth-token --hostname $RDSHOST --port $RDSPORT --region us-east-1 --username app --profile jane)""#;

/// A login with it by MySQL's own client, as the documentation of RDS has it.
const MYSQL: &str = "mysql --protocol=TCP --host=$RDSHOST --port=$RDSPORT --ssl-ca=us-east-1-bundle.pem --ssl-mode=VERIFY_CA --enable-cleartext-plugin --user=app --password=$TOKEN --batch --skip-column-names";

/// The same by MariaDB's, which needs no word for passwords in the clear, and checks the host's name too.
const MARIADB: &str = r#"MYSQL_PWD="$TOKEN" mariadb --protocol=TCP --host=$RDSHOST --port=$RDSPORT --ssl-ca=us-east-1-bundle.pem --ssl-verify-server-cert --user=app --batch --skip-column-names"#;

const WHO: &str = "-e 'select current_user(), user(), version()'";

/// Makes a token that the lines after it use.
#[track_caller]
fn token(server: &mut Server, profile: &str) {
    let line = TOKEN.replace("jane", profile);
    let token = ok(server, &format!("{line}; echo \"$TOKEN\""));
    server.set("TOKEN", token);
}

fn logins(server: &mut Server, flavor: Flavor) {
    let version = flavor.server().version;
    token(server, "jane");
    // As docs/clients.md has them; with the token made in the same lines as the documentation of RDS has it.
    let documented = documented("sh");
    let documented = |heading: &str| {
        let block = documented.iter().find(|(above, _)| above.starts_with(heading)).expect(heading);
        block.1.trim_end().to_owned()
    };
    let made = documented("Clients").replace("username app", "username app --profile jane");
    let batch = "--batch --skip-column-names";
    for client in [
        format!("{made}\n{MYSQL}"),
        format!("{} {batch}", documented("`mysql`")),
        format!("{} {batch}", documented("`mariadb`")),
        MYSQL.replace("$RDSHOST", "127.0.0.1"),
    ] {
        let shown = ok(server, &format!("{client} {WHO}"));
        let (user, found) = shown.rsplit_once('\t').unwrap();
        assert!(user.starts_with("app@%\tapp@") && found.starts_with(&version), "{client}: {shown}");
    }
    for client in [MYSQL, MARIADB] {
        let shown = ok(server, &format!("{client} -e 'select @@external_user'"));
        assert_eq!(shown, "arn:aws:iam::123456789012:user/jane");
    }
    let record = server.audit().pop().unwrap();
    assert_eq!((record["user"].as_str(), record["door"].as_str()), (Some("app"), Some("mysql")), "{record}");
    let statements = "INSERT INTO shop.kept VALUES (2); SELECT SUM(one) FROM shop.kept";
    assert_eq!(ok(server, &format!("{MYSQL} -e '{statements}'")), "3");
    mistakes(server, flavor);
}

/// What the clients say where a setting or a password is not as it must be.
fn mistakes(server: &Server, flavor: Flavor) {
    let asked = server.audit().len();
    let without = MYSQL.replace(" --enable-cleartext-plugin", "");
    server
        .shell(&format!("{without} {WHO}"))
        .fail_with("ERROR 2059 (HY000): Authentication plugin 'mysql_clear_password' cannot be loaded");
    let plain = MYSQL.replace("--ssl-mode=VERIFY_CA", "--ssl-mode=DISABLED");
    let refused = match flavor {
        Flavor::MySql | Flavor::MariaDb => "Access denied for user 'app'@'127.0.0.1'",
        Flavor::RecentMariaDb => "ERROR 3159 (08004): Connections using insecure transport are prohibited",
    };
    server.shell(&format!("{plain} {WHO}")).fail_with(refused);
    let pem = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj /CN=other";
    ok(server, &format!("openssl req -x509 -nodes {pem} -keyout other.key -out other.pem 2>&1"));
    for client in [MYSQL, MARIADB] {
        let untrusted = client.replace("us-east-1-bundle.pem", "other.pem");
        server.shell(&format!("{untrusted} {WHO}")).fail_with("ERROR 2026 (HY000)");
    }
    assert_eq!(server.audit().len(), asked, "none of these sends a token");

    // A password for a token, a token for a password.
    let password = MYSQL.replace("--password=$TOKEN", "--password=Pat-pass-1");
    server
        .shell(&format!("{password} {WHO}"))
        .fail_with("ERROR 1045 (28000): Access denied for user 'app'@'");
    assert_eq!(server.audit().pop().unwrap()["reason"], "not-a-token");
    let asked = server.audit().len();
    let client = match flavor {
        Flavor::MySql => MYSQL,
        Flavor::MariaDb | Flavor::RecentMariaDb => MARIADB,
    };
    let pat = client.replace("--user=app", "--user=pat");
    server.shell(&format!("{pat} {WHO}")).fail_with("ERROR 1045 (28000): Access denied for user 'pat'@'");
    let pat = format!("TOKEN=Pat-pass-1\n{pat}");
    assert_eq!(ok(server, &format!("{pat} -e 'SELECT MAX(one) FROM shop.kept'")), "2");
    assert_eq!(server.audit().len(), asked, "nobody is asked about users with a password");
}

/// A role's session, which the database is shown too.
fn role(server: &mut Server) {
    token(server, "batch");
    for client in [MYSQL, MARIADB] {
        assert_eq!(
            ok(server, &format!("{client} -e 'select @@external_user'")),
            "arn:aws:sts::123456789012:assumed-role/batch/nightly"
        );
    }
    ok(
        server,
        "aws iam detach-role-policy --role-name batch --policy-arn arn:aws:iam::123456789012:policy/connect",
    );
    server.shell(&format!("{MYSQL} {WHO}")).fail_with("ERROR 1045 (28000): Access denied for user 'app'@'");
    assert_eq!(server.audit().pop().unwrap()["reason"], "not-authorized");
}

#[test]
fn aurora() {
    let mut server = Server::for_mysql(Flavor::MySql, &[]);
    server.set("PORT", free_port().to_string());
    ok(
        &server,
        "aws rds create-db-cluster --db-cluster-identifier mycluster --engine aurora-mysql --port $PORT \
         --master-username admin --master-user-password 'Master-pass-1' --database-name shop \
         --enable-iam-database-authentication",
    );
    ok(
        &server,
        "aws rds create-db-instance --db-instance-identifier mycluster-1 --db-cluster-identifier mycluster \
         --engine aurora-mysql --db-instance-class db.r6g.large",
    );
    server.await_database("mycluster-1");
    ok(&server, "aws rds wait db-cluster-available --db-cluster-identifier mycluster");
    keep(
        &mut server,
        &NAMES,
        "aws rds describe-db-clusters --db-cluster-identifier mycluster \
         --query 'DBClusters[0].[Endpoint,Port,DbClusterResourceId,EngineVersion]'",
    );
    let environment = server.environment();
    assert!(environment["RESOURCE"].starts_with("cluster-"), "{}", environment["RESOURCE"]);
    assert!(environment["VERSION"].contains(".mysql_aurora."), "{}", environment["VERSION"]);
    ok(&server, "curl -fsSO $AWS_ENDPOINT_URL/us-east-1/us-east-1-bundle.pem");
    ok(
        &server,
        r#"mysql --protocol=TCP --host=$RDSHOST --port=$RDSPORT --ssl-ca=us-east-1-bundle.pem --ssl-mode=VERIFY_CA --user=admin --password='Master-pass-1' shop \
           -e "CREATE USER app IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'; ALTER USER app REQUIRE SSL; CREATE USER other IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'""#,
    );
    let policy = format!(
        r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow", "Action": "rds-db:connect",
            "Resource": "arn:aws:rds-db:us-east-1:123456789012:dbuser:{}/*"}}]}}"#,
        server.environment()["RESOURCE"]
    );
    let key = server.create_user("jane", Some(&policy));
    let credentials =
        format!("[jane]\naws_access_key_id = {}\naws_secret_access_key = {}\n", key.id, key.secret);
    fs::write(server.work_dir().join("credentials"), credentials).unwrap();
    for user in ["other", "app"] {
        let line = TOKEN.replace("--username app", &format!("--username {user}"));
        let token = ok(&server, &format!("{line}; echo \"$TOKEN\""));
        server.set("TOKEN", token);
        let login = MYSQL.replace("--user=app", &format!("--user={user}"));
        assert_eq!(ok(&server, &format!("{login} -e 'select current_user()'")), format!("{user}@%"));
    }
    assert_eq!(server.audit().pop().unwrap()["database"], server.environment()["RESOURCE"].as_str());
    server
        .shell(&format!("{} -e 'select 1'", MYSQL.replace("--user=app", "--user=other")))
        .fail_with("ERROR 1045");
    assert_eq!(server.audit().pop().unwrap()["reason"], "wrong-user");

    ok(
        &server,
        "aws rds modify-db-cluster --db-cluster-identifier mycluster --apply-immediately --no-enable-iam-database-authentication",
    );
    server.await_database("mycluster-1");
    server
        .shell(&format!("{MYSQL} -e 'select 1'"))
        .fail_with("ERROR 1524 (HY000): Plugin 'AWSAuthenticationPlugin' is not loaded");
    ok(&server, "aws rds delete-db-instance --db-instance-identifier mycluster-1");
    ok(&server, "aws rds delete-db-cluster --db-cluster-identifier mycluster --skip-final-snapshot");
    server.await_gone("mycluster-1");
    ok(&server, "aws rds wait db-cluster-deleted --db-cluster-identifier mycluster");
    assert!(server.mysql_servers().is_empty());
    let left: Vec<_> =
        fs::read_dir(server.data_dir().join("databases")).into_iter().flatten().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}
