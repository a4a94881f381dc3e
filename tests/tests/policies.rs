//! Everything in the policy language that decides a login, set with the real aws and tried with the real psql: who is let in,
//! who is not, and what the audit trail says of it. A change is in force at the next login.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value
)]

use countersign_tests::{Database, Door, Key, Server};
use serde_json::json;

/// Allows to connect as oneself, to databases of one's own team.
const OWN: &str = "arn:aws:rds-db:us-east-1:123456789012:dbuser:*/${aws:username}";

#[test]
fn at_a_login() {
    let server = Server::start(Door::usual());
    let db = server.create_instance(
        "mydb",
        &["--enable-iam-database-authentication", "--tags", "Key=team,Value=blue", "Key=stage,Value=test"],
    );
    server.as_master(
        &db,
        "create user jane; grant rds_iam to jane; create user john; grant rds_iam to john;
         create user app; grant rds_iam to app",
    );
    let world = World { server, db };
    world.variables_and_tags();
    world.operators();
    world.boundary();
    world.role_session();
    world.federated_user();
    world.old_language();
}

struct World {
    server: Server,
    db: Database,
}

fn document(statements: serde_json::Value) -> String {
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

fn connect(resource: &str, condition: serde_json::Value) -> String {
    document(
        json!({"Effect": "Allow", "Action": "rds-db:connect", "Resource": resource, "Condition": condition}),
    )
}

impl World {
    fn ok(&self, line: &str) -> String {
        self.server.shell(line).succeed()
    }

    /// `psql` as the user logs in: it is that user's session, and the audit trail has the statement.
    #[track_caller]
    fn allowed(&self, user: &str, key: &Key, decided_by: &str) {
        let token = self.server.token(&self.db, user, key).text();
        assert_eq!(self.server.login(&self.db, user, &token, "select session_user").succeed(), user);
        let record = self.server.audit().pop().unwrap();
        assert!(record["decided_by"].as_str().unwrap().contains(decided_by), "{record}");
    }

    /// `psql` as the user is refused in the words that everybody is refused in; the audit trail has the reason.
    #[track_caller]
    fn refused(&self, user: &str, key: &Key, reason: &str) {
        let token = self.server.token(&self.db, user, key).text();
        let output = self.server.login(&self.db, user, &token, "select 1");
        assert!(!output.ok() && output.stderr.contains(&self.server.door().refusal(user)), "{output}");
        assert!(!output.stderr.contains(reason), "the client is told why: {output}");
        let record = self.server.audit().pop().unwrap();
        assert_eq!(record["reason"], reason, "{record}");
    }

    fn put_policy(&self, user: &str, document: &str) {
        let arguments = ["--user-name", user, "--policy-name", "inline", "--policy-document", document];
        self.server.aws(&[&["iam", "put-user-policy"], &arguments[..]].concat()).succeed();
    }

    /// One policy for everybody in a group; who may be whom, and where, is in the tags.
    fn variables_and_tags(&self) {
        let own_team = json!({"StringEquals": {"aws:ResourceTag/team": "${aws:PrincipalTag/team, 'none'}"}});
        self.ok("aws iam create-group --group-name developers");
        let policy = connect(OWN, own_team);
        let arguments = ["--group-name", "developers", "--policy-name", "own", "--policy-document", &policy];
        self.server.aws(&[&["iam", "put-group-policy"], &arguments[..]].concat()).succeed();
        let [jane, john] = ["jane", "john"].map(|user| {
            let key = self.server.create_user(user, None);
            self.ok(&format!("aws iam add-user-to-group --group-name developers --user-name {user}"));
            key
        });
        self.refused("jane", &jane, "not-authorized");
        self.ok("aws iam tag-user --user-name jane --tags Key=Team,Value=blue");
        self.allowed("jane", &jane, "own statement 1");
        self.refused("john", &jane, "not-authorized");
        self.refused("john", &john, "not-authorized");
        // A value is never a wildcard.
        self.ok("aws iam tag-user --user-name john --tags Key=team,Value=b@ue");
        self.refused("john", &john, "not-authorized");
        // The database's tags count as they are now.
        let arn = "arn:aws:rds:us-east-1:123456789012:db:mydb";
        self.ok(&format!("aws rds add-tags-to-resource --resource-name {arn} --tags Key=team,Value=red"));
        self.refused("jane", &jane, "not-authorized");
        self.ok(&format!("aws rds add-tags-to-resource --resource-name {arn} --tags Key=team,Value=blue"));
        self.allowed("jane", &jane, "own statement 1");
        self.ok("aws iam remove-user-from-group --group-name developers --user-name john");
        self.put_policy("john", &connect(OWN, json!({})));
        self.allowed("john", &john, "inline statement 1");
    }

    /// Time, presence, sets and ARNs; a Deny whose key is missing; a document that does not hold together.
    fn operators(&self) {
        let key = self.server.create_access_key("john");
        for (condition, allows) in [
            (json!({"DateLessThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}), false),
            (json!({"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}), true),
            (json!({"NumericGreaterThan": {"aws:EpochTime": 1_577_836_800}}), true),
            (json!({"Bool": {"aws:SecureTransport": true}}), true),
            (json!({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:user/jo*"}}), true),
            (
                json!({"ArnNotLike": {"aws:PrincipalArn": ["arn:aws:iam::*:role/*", "arn:aws:iam::*:user/john"]}}),
                false,
            ),
            (json!({"Null": {"aws:TokenIssueTime": "false"}}), false),
            (json!({"StringNotEquals": {"aws:ResourceTag/stage": ["live", "test"]}}), false),
            (json!({"ForAnyValue:StringLike": {"aws:PrincipalTag/team": ["r*", "b?ue"]}}), true),
            (json!({"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}), false),
            (json!({"IpAddressIfExists": {"aws:SourceIp": "10.0.0.0/8"}}), true),
        ] {
            self.put_policy("john", &connect(OWN, condition.clone()));
            let token = self.server.token(&self.db, "john", &key).text();
            let output = self.server.login(&self.db, "john", &token, "select 1");
            assert_eq!(output.ok(), allows, "{condition}: {output}");
        }
        let no_address = json!([
            {"Effect": "Allow", "Action": "rds-db:connect", "Resource": "*"},
            {"Sid": "Office", "Effect": "Deny", "Action": "rds-db:Connect", "Resource": "*",
             "Condition": {"NotIpAddress": {"aws:SourceIp": "192.0.2.0/24"}}}
        ]);
        self.put_policy("john", &document(no_address));
        self.refused("john", &key, "explicit-deny");
        let record = self.server.audit().pop().unwrap();
        assert_eq!(record["decided_by"], "inline statement 2 (Office)", "{record}");
        let broken = connect("arn:aws:rds-db:us-east-1:123456789012:dbuser:*/${aws:username", json!({}));
        let arguments = ["--user-name", "john", "--policy-name", "inline", "--policy-document", &broken];
        self.server
            .aws(&[&["iam", "put-user-policy"], &arguments[..]].concat())
            .fail_with("MalformedPolicyDocument");
        self.put_policy("john", &connect(OWN, json!({})));
        self.allowed("john", &key, "inline statement 1");
        self.ok(&format!("aws iam delete-access-key --user-name john --access-key-id {}", key.id));
    }

    fn boundary(&self) {
        let key = self.server.create_access_key("john");
        let read_only = "arn:aws:iam::aws:policy/ReadOnlyAccess";
        self.ok(&format!(
            "aws iam put-user-permissions-boundary --user-name john --permissions-boundary {read_only}"
        ));
        self.refused("john", &key, "not-allowed-by-permissions-boundary");
        self.ok("aws iam delete-user-permissions-boundary --user-name john");
        self.allowed("john", &key, "inline statement 1");
        self.ok(&format!("aws iam delete-access-key --user-name john --access-key-id {}", key.id));
    }

    /// What is passed for a session narrows it; its tags are the principal's.
    fn role_session(&self) {
        let trust = document(json!({"Effect": "Allow", "Principal": {"AWS": "123456789012"},
            "Action": ["sts:AssumeRole", "sts:TagSession"],
            "Condition": {"StringEquals": {"sts:ExternalId": "ticket-7"}}}));
        let create = ["iam", "create-role", "--role-name", "app", "--assume-role-policy-document", &trust];
        self.server.aws(&create).succeed();
        let any = "arn:aws:rds-db:*:123456789012:dbuser:*/app";
        let policy = connect(any, json!({"StringEquals": {"aws:PrincipalTag/shift": "night"}}));
        let arguments = ["--role-name", "app", "--policy-name", "connect", "--policy-document", &policy];
        self.server.aws(&[&["iam", "put-role-policy"], &arguments[..]].concat()).succeed();
        self.server
            .shell(
                "aws sts assume-role --role-arn arn:aws:iam::123456789012:role/app --role-session-name job",
            )
            .fail_with("AccessDenied");
        let night = ["--external-id", "ticket-7", "--tags", "Key=shift,Value=night"];
        self.refused("app", &self.server.assume_role_with("app", &night[..2]), "not-authorized");
        self.allowed("app", &self.server.assume_role_with("app", &night), "connect statement 1");
        let narrow = document(json!({"Effect": "Allow", "Action": "rds:*", "Resource": "*"}));
        let narrowed = self.server.assume_role_with("app", &[&night[..], &["--policy", &narrow]].concat());
        self.refused("app", &narrowed, "not-allowed-by-session-policy");
        let wide = connect("*", json!({}));
        let same = self.server.assume_role_with("app", &[&night[..], &["--policy", &wide]].concat());
        self.allowed("app", &same, "connect statement 1");
    }

    fn federated_user(&self) {
        let vouches = json!([
            {"Effect": "Allow", "Action": "sts:GetFederationToken", "Resource": "*"},
            {"Effect": "Allow", "Action": "rds-db:connect", "Resource": "arn:aws:rds-db:*:*:dbuser:*/app"}
        ]);
        let broker = self.server.create_user("broker", Some(&document(vouches)));
        self.refused(
            "app",
            &self.server.federation_token(&broker, "bob", &[]),
            "not-allowed-by-session-policy",
        );
        let policy = connect("arn:aws:rds-db:*:*:dbuser:*", json!({}));
        let bob = self.server.federation_token(&broker, "bob", &["--policy", &policy]);
        self.allowed("app", &bob, "inline statement 2");
        let record = self.server.audit().pop().unwrap();
        assert_eq!(record["principal"], "arn:aws:sts::123456789012:federated-user/bob", "{record}");
        self.refused("jane", &bob, "not-authorized");
    }

    /// Without a version `${` is text, and a statement need not be in an array.
    fn old_language(&self) {
        let key = self.server.create_access_key("john");
        let old = json!({"Statement": {"Effect": "Allow", "Action": "rds-db:connect", "Resource": OWN}});
        self.put_policy("john", &old.to_string());
        self.refused("john", &key, "not-authorized");
        let literal = OWN.replace("${aws:username}", "j?hn");
        let old = json!({"Version": "2008-10-17", "Statement": {"Effect": "Allow", "Action": "rds-db:connect", "Resource": literal}});
        self.put_policy("john", &old.to_string());
        self.allowed("john", &key, "inline statement 1");
    }
}
