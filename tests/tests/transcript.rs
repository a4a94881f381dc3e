//! What a user types, from the first database to the last deletion, as it is typed against AWS.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use countersign_tests::{Door, Server};
use std::fs;

#[test]
fn as_typed_against_aws() {
    let mut server = Server::start(Door::usual());
    databases(&mut server);
    trust_store(&mut server);
    permissions(&mut server);
    logins(&mut server);
    roles(&mut server);
    aurora(&mut server);
    mistakes(&server);
    the_end(&server);
}

/// The line must succeed; its output.
#[track_caller]
fn ok(server: &Server, line: &str) -> String {
    server.shell(line).succeed()
}

/// Output without the white space that separates it.
fn dense(text: &str) -> String {
    text.split_whitespace().collect()
}

fn databases(server: &mut Server) {
    let created = ok(
        server,
        "aws rds create-db-instance --db-instance-identifier mydb --engine postgres --db-instance-class db.t3.micro \
         --allocated-storage 20 --master-username postgres --master-user-password 'Master-pass-1' \
         --enable-iam-database-authentication --publicly-accessible",
    );
    assert!(created.contains(r#""DBInstanceStatus": "creating""#), "{created}");
    assert!(created.contains(r#""IAMDatabaseAuthenticationEnabled": true"#), "{created}");
    assert!(
        created.contains(r#""PubliclyAccessible": true"#) && !created.contains("Master-pass-1"),
        "{created}"
    );
    ok(
        server,
        "aws rds create-db-cluster --db-cluster-identifier mypg --engine aurora-postgresql --master-username admin1 \
         --master-user-password 'Master-pass-1' --db-subnet-group-name default --vpc-security-group-ids sg-12345678",
    );
    ok(
        server,
        "aws rds create-db-instance --db-instance-identifier mypg-1 --db-cluster-identifier mypg \
         --engine aurora-postgresql --db-instance-class db.r4.large",
    );
    ok(server, "aws rds wait db-instance-available --db-instance-identifier mydb");
    ok(server, "aws rds wait db-instance-available --db-instance-identifier mypg-1");
    ok(server, "aws rds wait db-cluster-available --db-cluster-identifier mypg");

    let listed = ok(server, r#"aws rds describe-db-clusters --query "DBClusters[*].[DBClusterIdentifier]""#);
    assert_eq!(dense(&listed), r#"[["mypg"]]"#);
    let query = "aws rds describe-db-clusters --db-cluster-identifier mypg --query 'DBClusters[].[IAMDatabaseAuthenticationEnabled]' --output table";
    let table = |word: &str| {
        format!(
            "--------------------\n|DescribeDBClusters|\n+------------------+\n|  {word:<16}|\n+------------------+"
        )
    };
    assert_eq!(ok(server, query), table("False"));
    ok(
        server,
        "aws rds modify-db-cluster --db-cluster-identifier mypg --apply-immediately --enable-iam-database-authentication",
    );
    assert_eq!(ok(server, query), table("True"));
    let id = ok(
        server,
        r#"aws rds describe-db-clusters --db-cluster-identifier mypg --query "DBClusters[0].[DbClusterResourceId]""#,
    );
    assert!(dense(&id).starts_with(r#"["cluster-"#) && dense(&id).len() == 38, "{id}");

    for (name, line) in [
        (
            "RDSHOST",
            "aws rds describe-db-instances --db-instance-identifier mydb --query 'DBInstances[0].Endpoint.Address' --output text",
        ),
        (
            "RDSPORT",
            "aws rds describe-db-instances --db-instance-identifier mydb --query 'DBInstances[0].Endpoint.Port' --output text",
        ),
        (
            "RESOURCE",
            "aws rds describe-db-instances --db-instance-identifier mydb --query 'DBInstances[0].DbiResourceId' --output text",
        ),
        (
            "CLUSTERHOST",
            "aws rds describe-db-clusters --db-cluster-identifier mypg --query 'DBClusters[0].Endpoint' --output text",
        ),
        (
            "CLUSTERPORT",
            "aws rds describe-db-clusters --db-cluster-identifier mypg --query 'DBClusters[0].Port' --output text",
        ),
        (
            "CLUSTER",
            "aws rds describe-db-clusters --db-cluster-identifier mypg --query 'DBClusters[0].DbClusterResourceId' --output text",
        ),
    ] {
        let value = ok(server, line);
        assert!(!value.is_empty() && value != "None", "{line}: {value}");
        server.set(name, value);
    }
    assert_eq!(server.environment()["RDSHOST"], "localhost");
    assert!(
        server.environment()["RESOURCE"].starts_with("db-") && server.environment()["RESOURCE"].len() == 29
    );
}

fn trust_store(server: &mut Server) {
    ok(server, "curl -fsSO $AWS_ENDPOINT_URL/us-east-1/us-east-1-bundle.pem");
    ok(server, "curl -fsSO $AWS_ENDPOINT_URL/global/global-bundle.pem");
    ok(server, "aws s3 cp s3://rds-downloads/rds-combined-ca-bundle.pem . --no-sign-request");
    ok(server, "aws s3 cp s3://rds-downloads/rds-combined-ca-bundle.pem .");
    let read = |name: &str| fs::read_to_string(server.work_dir().join(name)).unwrap();
    let bundle = server.countersign(&["ca-bundle", "--region", "us-east-1"]).succeed();
    assert_eq!(read("us-east-1-bundle.pem").trim(), bundle);
    assert!(read("global-bundle.pem").contains(&bundle));
    assert_eq!(read("rds-combined-ca-bundle.pem"), read("global-bundle.pem"));
    let refused = server.shell("aws s3 cp s3://rds-downloads/another.pem .");
    refused.fail_with("404");
    server.shell("aws s3 cp s3://another-bucket/rds-combined-ca-bundle.pem .").fail();
}

fn permissions(server: &mut Server) {
    let policy = format!(
        r#"{{
  "Version": "2012-10-17",
  "Statement": [
    {{
      "Effect": "Allow",
      "Action": ["rds-db:connect"],
      "Resource": [
        "arn:aws:rds-db:us-east-1:123456789012:dbuser:{}/mydbuser",
        "arn:aws:rds-db:us-east-1:123456789012:dbuser:{}/mydbuser"
      ]
    }}
  ]
}}"#,
        server.environment()["RESOURCE"],
        server.environment()["CLUSTER"],
    );
    fs::write(server.work_dir().join("iam_rds_connect.json"), policy).unwrap();
    let created = ok(
        server,
        "aws iam create-policy --policy-name iam_rds_connect --policy-document file://iam_rds_connect.json",
    );
    assert!(created.contains("arn:aws:iam::123456789012:policy/iam_rds_connect"), "{created}");
    ok(server, "aws iam create-user --user-name mydbuser");
    ok(
        server,
        "aws iam attach-user-policy --policy-arn arn:aws:iam::123456789012:policy/iam_rds_connect --user-name mydbuser",
    );
    let key = ok(
        server,
        "aws iam create-access-key --user-name mydbuser --query 'AccessKey.[AccessKeyId,SecretAccessKey]' --output text",
    );
    let (id, secret) = key.split_once('\t').expect("an id and a secret");
    assert!(id.starts_with("AKIA") && id.len() == 20 && secret.len() == 40);
    let credentials = format!("[mydbuser]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
    fs::write(server.work_dir().join("credentials"), credentials).unwrap();
    let identity = ok(server, "aws sts get-caller-identity --profile mydbuser --query Arn --output text");
    assert_eq!(identity, "arn:aws:iam::123456789012:user/mydbuser");
    server.shell("aws iam list-users --profile mydbuser").fail_with(
        "User: arn:aws:iam::123456789012:user/mydbuser is not authorized to perform: iam:ListUsers",
    );
}

fn logins(server: &mut Server) {
    ok(
        server,
        r#"psql "host=$RDSHOST port=$RDSPORT dbname=postgres user=postgres password=Master-pass-1 sslmode=verify-full sslrootcert=us-east-1-bundle.pem" \
           -c 'CREATE USER mydbuser' -c 'GRANT rds_iam TO mydbuser'"#,
    );
    let login = r#"export PGPASSWORD="$(aws rds generate-db-auth-token --hostname $RDSHOST --port $RDSPORT --region us-east-1 --username mydbuser --profile mydbuser)"
        psql "host=$RDSHOST port=$RDSPORT sslmode=verify-full sslrootcert=us-east-1-bundle.pem dbname=postgres user=mydbuser" -c 'select version(), session_user'"#;
    let shown = ok(server, login);
    assert!(shown.contains("PostgreSQL 1") && shown.contains("mydbuser"), "{shown}");
    // By every bundle, and by every name of the machine.
    for bundle in ["global-bundle.pem", "rds-combined-ca-bundle.pem"] {
        ok(server, &login.replace("us-east-1-bundle.pem", bundle));
    }
    ok(server, &login.replace("$RDSHOST", "127.0.0.1"));
    ok(server, &login.replace("host=$RDSHOST", "host=127.0.0.1"));
    // The administrator may do everything, and so may log in.
    ok(server, &login.replace(" --profile mydbuser", ""));
}

fn roles(server: &mut Server) {
    let trust = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": {"AWS": "arn:aws:iam::123456789012:user/mydbuser"}}]}"#;
    fs::write(server.work_dir().join("trust.json"), trust).unwrap();
    let config = "[profile app]\nrole_arn = arn:aws:iam::123456789012:role/app\nsource_profile = mydbuser\n";
    fs::write(server.work_dir().join("config"), config).unwrap();
    ok(server, "aws iam create-role --role-name app --assume-role-policy-document file://trust.json");
    server.shell("aws sts get-caller-identity --profile app --query Arn --output text").succeed();
    ok(
        server,
        "aws iam attach-role-policy --role-name app --policy-arn arn:aws:iam::123456789012:policy/iam_rds_connect",
    );
    let assumed = ok(
        server,
        "aws sts assume-role --role-arn arn:aws:iam::123456789012:role/app --role-session-name here --profile mydbuser \
         --query 'AssumedRoleUser.Arn' --output text",
    );
    assert_eq!(assumed, "arn:aws:sts::123456789012:assumed-role/app/here");
    let identity = ok(server, "aws sts get-caller-identity --profile app --query Arn --output text");
    assert!(identity.starts_with("arn:aws:sts::123456789012:assumed-role/app/"), "{identity}");
    let login = r#"export PGPASSWORD="$(aws rds generate-db-auth-token --hostname $RDSHOST --port $RDSPORT --region us-east-1 --username mydbuser --profile app)"
        psql "host=$RDSHOST port=$RDSPORT sslmode=verify-full sslrootcert=us-east-1-bundle.pem dbname=postgres user=mydbuser" -At -c 'select session_user'"#;
    assert_eq!(ok(server, login), "mydbuser");
    let audit = server.audit();
    let last = audit.last().unwrap();
    assert!(last["principal"].as_str().unwrap().contains(":assumed-role/app/"), "{last}");
    server
        .shell("aws sts assume-role --role-arn arn:aws:iam::123456789012:role/absent --role-session-name xx")
        .fail_with("AccessDenied");
}

fn aurora(server: &mut Server) {
    ok(
        server,
        r#"psql "host=$CLUSTERHOST port=$CLUSTERPORT dbname=postgres user=admin1 password=Master-pass-1 sslmode=verify-full sslrootcert=us-east-1-bundle.pem" \
           -c 'CREATE USER mydbuser' -c 'GRANT rds_iam TO mydbuser'"#,
    );
    let login = r#"export PGPASSWORD="$(aws rds generate-db-auth-token --hostname $CLUSTERHOST --port $CLUSTERPORT --region us-east-1 --username mydbuser --profile mydbuser)"
        psql "host=$CLUSTERHOST port=$CLUSTERPORT sslmode=verify-full sslrootcert=us-east-1-bundle.pem dbname=postgres user=mydbuser" -At"#;
    let version = ok(server, &format!("{login} -c 'select aurora_version()'"));
    assert!(
        version.split('.').count() >= 2 && version.starts_with(|c: char| c.is_ascii_digit()),
        "{version}"
    );
    assert_eq!(ok(server, &format!("{login} -c 'select session_user'")), "mydbuser");
}

fn mistakes(server: &Server) {
    for (line, code, text) in [
        (
            "aws iam attach-user-policy --user-name mydbuser --policy-arn arn:aws:iam:123456789012:policy/x",
            "InvalidInput",
            "ARN arn:aws:iam:123456789012:policy/x is not valid.",
        ),
        (
            "aws iam attach-user-policy --user-name mydbuser --policy-arn arn:aws:iam::123456789012:policy/absent",
            "NoSuchEntity",
            "Policy arn:aws:iam::123456789012:policy/absent does not exist or is not attachable.",
        ),
        (
            "aws iam create-user --user-name mydbuser",
            "EntityAlreadyExists",
            "User with name mydbuser already exists.",
        ),
        ("aws iam get-user --user-name absent", "NoSuchEntity", "The user with name absent cannot be found."),
        ("aws iam delete-user --user-name mydbuser", "DeleteConflict", "Cannot delete entity, must"),
        (
            "aws iam delete-policy --policy-arn arn:aws:iam::123456789012:policy/iam_rds_connect",
            "DeleteConflict",
            "Cannot delete a policy attached to entities.",
        ),
        (
            "aws rds describe-db-instances --db-instance-identifier absent",
            "DBInstanceNotFound",
            "DBInstance absent not found.",
        ),
        (
            "aws rds create-db-instance --db-instance-identifier mydb --engine postgres --db-instance-class db.t3.micro \
             --allocated-storage 20 --master-username postgres --master-user-password 'Master-pass-1'",
            "DBInstanceAlreadyExists",
            "DB instance already exists",
        ),
        (
            "aws rds create-db-instance --db-instance-identifier v --engine postgres --db-instance-class db.t3.micro \
             --allocated-storage 20 --master-username postgres --master-user-password 'Master-pass-1' --engine-version 9.6",
            "InvalidParameterCombination",
            "9.6",
        ),
        // What would give a false sense of security.
        (
            "aws sts get-session-token --serial-number arn:aws:iam::123456789012:mfa/me --token-code 123456",
            "UnsupportedParameter",
            "SerialNumber",
        ),
        // Operations and parameters of AWS's that are not served.
        ("aws rds describe-db-proxies", "InvalidAction", "DescribeDBProxies"),
        ("aws iam list-virtual-mfa-devices", "InvalidAction", "ListVirtualMFADevices"),
        (
            "curl -sS $AWS_ENDPOINT_URL/ -d 'Action=ListUsers&Version=2010-05-08' >&2; false",
            "MissingAuthenticationToken",
            "Request is missing Authentication Token",
        ),
        ("AWS_SECRET_ACCESS_KEY=wrong aws sts get-caller-identity", "SignatureDoesNotMatch", "signature"),
        (
            "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE aws sts get-caller-identity",
            "InvalidClientTokenId",
            "The security token included in the request is invalid",
        ),
    ] {
        let errors = server.shell(line).fail();
        assert!(errors.contains(code) && errors.contains(text), "{line}: expected {code}: {text}\n{errors}");
    }
}

/// Everything that was made is listed, taken apart and gone.
fn the_end(server: &Server) {
    let policy = "arn:aws:iam::123456789012:policy/iam_rds_connect";
    assert_eq!(
        ok(
            server,
            "aws iam list-attached-user-policies --user-name mydbuser --query 'AttachedPolicies[].PolicyName' --output text"
        ),
        "iam_rds_connect"
    );
    let attached = ok(server, &format!("aws iam list-entities-for-policy --policy-arn {policy}"));
    assert!(attached.contains("mydbuser") && attached.contains("app"), "{attached}");
    ok(server, &format!("aws iam detach-user-policy --user-name mydbuser --policy-arn {policy}"));
    ok(server, &format!("aws iam detach-role-policy --role-name app --policy-arn {policy}"));
    ok(server, &format!("aws iam delete-policy --policy-arn {policy}"));
    ok(server, "aws iam delete-role --role-name app");
    ok(
        server,
        "aws iam delete-access-key --user-name mydbuser --access-key-id \
         $(aws iam list-access-keys --user-name mydbuser --query 'AccessKeyMetadata[0].AccessKeyId' --output text)",
    );
    ok(server, "aws iam delete-user --user-name mydbuser");
    server.shell("aws sts get-caller-identity --profile mydbuser").fail_with("InvalidClientTokenId");
    assert_eq!(ok(server, "aws iam list-users --query 'Users[].UserName' --output text"), "administrator");
    assert_eq!(dense(&ok(server, "aws iam list-policies --scope Local --query 'Policies'")), "[]");
    assert_eq!(dense(&ok(server, "aws iam list-roles --query 'Roles'")), "[]");

    ok(server, "aws rds delete-db-instance --db-instance-identifier mydb --skip-final-snapshot");
    ok(server, "aws rds delete-db-instance --db-instance-identifier mypg-1");
    ok(server, "aws rds delete-db-cluster --db-cluster-identifier mypg --skip-final-snapshot");
    ok(server, "aws rds wait db-instance-deleted --db-instance-identifier mydb");
    ok(server, "aws rds wait db-instance-deleted --db-instance-identifier mypg-1");
    ok(server, "aws rds wait db-cluster-deleted --db-cluster-identifier mypg");
    assert_eq!(dense(&ok(server, "aws rds describe-db-instances --query DBInstances")), "[]");
    assert!(server.postmasters().is_empty());
    let left: Vec<_> =
        fs::read_dir(server.data_dir().join("databases")).into_iter().flatten().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}
