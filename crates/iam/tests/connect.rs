//! Each reason for which a login is refused, and what logs in.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use iam::{
    AccessKeyId, Credential, Database, Decision, Engine, FailureClass, Group, Holder, IdKind, KeyKind,
    NamedPolicy, Naming, Policies, PolicyType, Reason, ResourceId, ResourceKind, Role, SecurityToken,
    SessionCredential, Snapshot, Tags, UniqueId, User, may_connect,
};
use policy::Kind;
use sigv4::rds_token::{TokenError, TokenRequest, sign};
use sigv4::{KeyCache, SecretKey, Timestamp};
use zeroize::Zeroizing;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const SESSION_TOKEN: &str = "FwoGZXIvYXdzEXAMPLE/+token==";
const NOW: i64 = 1_767_225_600; // 2026-01-01T00:00:00Z
const PORT: u16 = 5432;

/// One account with a database, the user jane with a key, and a role with a session.
struct World {
    snapshot: Snapshot,
    id: ResourceId,
    key: AccessKeyId,
    session: AccessKeyId,
}

/// What differs from jane logging in as `jane` in the usual way.
#[derive(Clone)]
struct Login<'a> {
    key: AccessKeyId,
    secret: &'a str,
    session_token: Option<&'a str>,
    host: &'a str,
    port: u16,
    region: &'a str,
    signed_user: &'a str,
    user: &'a str,
    issued_at: i64,
}

fn policy(effect: &str, resource: &str) -> String {
    format!(
        r#"{{"Version": "2012-10-17", "Statement": {{"Sid": "It", "Effect": "{effect}", "Action": "rds-db:connect", "Resource": "{resource}"}}}}"#
    )
}

fn inline(documents: &[String]) -> Policies {
    let inline =
        documents.iter().map(|document| NamedPolicy::compile("inline", document, Kind::Inline)).collect();
    Policies { managed: Box::default(), inline }
}

fn secret() -> SecretKey {
    SecretKey::from_bytes(SECRET.as_bytes())
}

impl World {
    fn new() -> Self {
        Self::with(|id| {
            inline(&[policy("Allow", &format!("arn:aws:rds-db:us-east-1:123456789012:dbuser:{id}/jane"))])
        })
    }

    /// The same policies for jane and for the role.
    fn with(policies: impl Fn(&ResourceId) -> Policies) -> Self {
        let account = "123456789012".parse().unwrap();
        let region: iam::Region = "us-east-1".parse().unwrap();
        let id = ResourceId::generate(ResourceKind::Instance, [1; 16]);
        let endpoints = Naming::new(account, None).endpoints(None, &["mydb"], &region, PORT);
        let key = AccessKeyId::generate(KeyKind::LongTerm, &[1; 16]);
        let session = AccessKeyId::generate(KeyKind::Temporary, &[2; 16]);
        let role_id = UniqueId::generate(IdKind::Role, &[3; 17]);
        let mut editor = Snapshot::new(account).edit();
        editor.put_database(Database::new(id.clone(), region, account, true, endpoints));
        editor.put_user(
            "jane",
            User {
                arn: "arn:aws:iam::123456789012:user/jane".parse().unwrap(),
                name: "jane".into(),
                id: UniqueId::generate(IdKind::User, &[1; 17]),
                policies: policies(&id),
                groups: Box::new(["staff".into()]),
                boundary: None,
                tags: Tags::default(),
            },
        );
        editor.put_role(
            "reader",
            Role {
                arn: "arn:aws:iam::123456789012:role/reader".parse().unwrap(),
                id: role_id,
                policies: policies(&id),
                boundary: None,
                tags: Tags::default(),
            },
        );
        let staff = "arn:aws:iam::123456789012:group/staff".parse().unwrap();
        editor.put_group("staff", Group { arn: staff, policies: Policies::default() });
        let arn = "arn:aws:sts::123456789012:assumed-role/reader/job".parse().unwrap();
        editor.put_credential(Credential {
            id: session,
            secret: secret(),
            keys: KeyCache::new(),
            active: true,
            session: Some(SessionCredential {
                token: SecurityToken::new(Zeroizing::new(SESSION_TOKEN.as_bytes().to_vec())),
                issued: Timestamp::from_unix(NOW - 60),
                expires: Timestamp::from_unix(NOW + 600),
                policies: None,
                tags: Tags::default(),
            }),
            holder: Holder::Role {
                name: "reader".into(),
                id: role_id,
                arn,
                user_id: format!("{role_id}:job").into(),
            },
        });
        let mut world = Self { snapshot: editor.finish(7), id, key, session };
        world.put_key(true);
        world
    }

    fn put_key(&mut self, active: bool) {
        let holder = Holder::User { name: "jane".into(), id: None };
        let (id, keys) = (self.key, KeyCache::new());
        self.edit(|editor| {
            editor.put_credential(Credential { id, secret: secret(), keys, active, session: None, holder });
        });
    }

    fn edit(&mut self, change: impl FnOnce(&mut iam::Editor)) {
        let mut editor = self.snapshot.edit();
        change(&mut editor);
        self.snapshot = editor.finish(self.snapshot.revision());
    }

    fn login(&self) -> Login<'static> {
        Login {
            key: self.key,
            secret: SECRET,
            session_token: None,
            host: "localhost",
            port: PORT,
            region: "us-east-1",
            signed_user: "jane",
            user: "jane",
            issued_at: NOW,
        }
    }

    fn session_login(&self) -> Login<'static> {
        Login { key: self.session, session_token: Some(SESSION_TOKEN), ..self.login() }
    }

    fn decide(&self, login: &Login<'_>) -> Result<String, Reason> {
        self.decide_token(&token(login), login.user)
    }

    fn decide_token(&self, token: &str, user: &str) -> Result<String, Reason> {
        let request = iam::ConnectRequest { database: self.id.as_str(), user, token, source_ip: None };
        match may_connect(&self.snapshot, Timestamp::from_unix(NOW), &request) {
            Decision::Allowed(allowed) => {
                assert_eq!(allowed.revision, 7);
                Ok(format!("{} by {}", allowed.principal, allowed.decided_by))
            }
            Decision::Refused(refused) => Err(refused.reason),
        }
    }
}

fn token(login: &Login<'_>) -> String {
    sign(&TokenRequest {
        host: login.host,
        port: login.port,
        user: login.signed_user,
        region: login.region,
        access_key_id: login.key.as_str(),
        secret: &SecretKey::from_bytes(login.secret.as_bytes()),
        session_token: login.session_token,
        issued_at: Timestamp::from_unix(login.issued_at),
        expires: 900,
    })
    .unwrap()
}

#[test]
fn a_user_and_a_role_session_log_in() {
    let world = World::new();
    assert_eq!(
        world.decide(&world.login()).unwrap(),
        "arn:aws:iam::123456789012:user/jane by inline statement 1 (It)"
    );
    assert_eq!(
        world.decide(&world.session_login()).unwrap(),
        "arn:aws:sts::123456789012:assumed-role/reader/job by inline statement 1 (It)"
    );
}

#[test]
fn every_spelling_of_an_endpoint_may_be_signed_for() {
    let world = World::new();
    let rds = world.snapshot.database(world.id.as_str()).unwrap().endpoints.last().unwrap().host.to_string();
    for host in ["localhost", "LOCALHOST", "127.0.0.1", "[::1]", rds.as_str()] {
        let login = Login { host, ..world.login() };
        assert!(world.decide(&login).is_ok(), "{host}");
    }
}

#[test]
fn what_was_signed_must_be_this_database_this_user_and_this_region() {
    let world = World::new();
    let login = world.login();
    for (login, reason) in [
        (Login { host: "otherdb.example.com", ..login.clone() }, Reason::WrongEndpoint),
        (Login { port: PORT + 1, ..login.clone() }, Reason::WrongEndpoint),
        (Login { region: "eu-west-1", ..login.clone() }, Reason::WrongRegion),
        (Login { signed_user: "john", ..login.clone() }, Reason::WrongUser),
        (Login { signed_user: "Jane", ..login.clone() }, Reason::WrongUser),
        (Login { issued_at: NOW - 901, ..login.clone() }, Reason::Token(TokenError::Expired)),
        (Login { issued_at: NOW + 301, ..login.clone() }, Reason::Token(TokenError::NotYetValid)),
        (Login { secret: "another", ..login.clone() }, Reason::Token(TokenError::SignatureMismatch)),
        (
            Login { key: AccessKeyId::generate(KeyKind::LongTerm, &[9; 16]), ..login.clone() },
            Reason::UnknownAccessKey,
        ),
    ] {
        assert_eq!(world.decide(&login).unwrap_err(), reason);
    }
    assert!(world.decide(&Login { issued_at: NOW - 900, ..login.clone() }).is_ok());
    assert!(world.decide(&Login { issued_at: NOW + 300, ..login }).is_ok());
}

#[test]
fn a_key_must_be_active_and_its_user_there() {
    let mut world = World::new();
    let login = world.login();
    world.put_key(false);
    assert_eq!(world.decide(&login).unwrap_err(), Reason::InactiveAccessKey);
    world.put_key(true);
    assert!(world.decide(&login).is_ok());
    world.edit(|editor| editor.remove_user("jane"));
    assert_eq!(world.decide(&login).unwrap_err(), Reason::PrincipalGone);
    let key = world.key;
    world.edit(|editor| editor.remove_credential(&key));
    assert_eq!(world.decide(&login).unwrap_err(), Reason::UnknownAccessKey);
}

#[test]
fn temporary_credentials_need_their_token_and_end() {
    let mut world = World::new();
    let login = world.session_login();
    for (login, reason) in [
        (Login { session_token: None, ..login.clone() }, Reason::SecurityToken),
        (Login { session_token: Some("another"), ..login.clone() }, Reason::SecurityToken),
        (Login { session_token: Some(SESSION_TOKEN), ..world.login() }, Reason::SecurityToken),
    ] {
        assert_eq!(world.decide(&login).unwrap_err(), reason);
    }
    // The same role's name, made anew.
    world.edit(|editor| {
        editor.put_role(
            "reader",
            Role {
                arn: "arn:aws:iam::123456789012:role/reader".parse().unwrap(),
                id: UniqueId::generate(IdKind::Role, &[4; 17]),
                policies: Policies::default(),
                boundary: None,
                tags: Tags::default(),
            },
        );
    });
    assert_eq!(world.decide(&login).unwrap_err(), Reason::PrincipalGone);
    let world = World::new();
    let request = iam::ConnectRequest {
        database: world.id.as_str(),
        user: "jane",
        token: &token(&login),
        source_ip: None,
    };
    let later = Timestamp::from_unix(NOW + 600);
    let Decision::Refused(refused) = may_connect(&world.snapshot, later, &request) else {
        panic!("it ended")
    };
    assert_eq!(
        (refused.reason, refused.reason.class()),
        (Reason::SessionExpired, FailureClass::ExpiredToken)
    );
}

#[test]
fn policies_decide_over_user_group_and_role() {
    let nothing = World::with(|_| Policies::default());
    assert_eq!(nothing.decide(&nothing.login()).unwrap_err(), Reason::NotAllowed(PolicyType::Identity));

    let other = World::with(|_| {
        inline(&[policy("Allow", "arn:aws:rds-db:us-east-1:123456789012:dbuser:db-OTHER/jane")])
    });
    assert_eq!(other.decide(&other.login()).unwrap_err(), Reason::NotAllowed(PolicyType::Identity));

    let denied = World::with(|_| inline(&[policy("Allow", "*"), policy("Deny", "*")]));
    assert_eq!(denied.decide(&denied.login()).unwrap_err(), Reason::ExplicitDeny(PolicyType::Identity));

    let mut grouped = nothing;
    grouped.edit(|editor| {
        let arn = "arn:aws:iam::123456789012:group/staff".parse().unwrap();
        editor.put_group("staff", Group { arn, policies: inline(&[policy("Allow", "*")]) });
    });
    assert!(grouped.decide(&grouped.login()).is_ok());

    let mut managed = World::with(|_| Policies {
        managed: Box::new(["arn:aws:iam::123456789012:policy/p".parse().unwrap()]),
        inline: Box::default(),
    });
    assert_eq!(
        managed.decide(&managed.login()).unwrap_err(),
        Reason::UnreadablePolicy,
        "attached, but not there"
    );
    managed.edit(|editor| {
        let policy = NamedPolicy::compile("p", &policy("Allow", "*"), Kind::Managed);
        editor.put_policy("arn:aws:iam::123456789012:policy/p".parse().unwrap(), policy);
    });
    assert!(managed.decide(&managed.login()).is_ok());
}

#[test]
fn a_policy_that_cannot_be_applied_allows_nothing() {
    let document = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Broken"}}"#.to_owned();
    let world = World::with(|_| inline(&[policy("Allow", "*"), document.clone()]));
    assert_eq!(world.decide(&world.login()).unwrap_err(), Reason::UnreadablePolicy);
}

#[test]
fn iam_switched_off_and_databases_that_are_not_there() {
    let mut world = World::new();
    let login = world.login();
    let mut database = world.snapshot.database(world.id.as_str()).unwrap().clone();
    database.iam_enabled = false;
    world.edit(|editor| editor.put_database(database));
    assert_eq!(world.decide(&login).unwrap_err(), Reason::IamDisabled);
    let id = world.id.clone();
    world.edit(|editor| editor.remove_database(&id));
    assert_eq!(world.decide(&login).unwrap_err(), Reason::UnknownDatabase);
}

#[test]
fn a_truncated_token_and_a_password_are_no_tokens() {
    let world = World::new();
    let token = token(&world.login());
    for length in [0, 1, token.len() / 2, token.len() - 1] {
        let Reason::Token(error) = world.decide_token(&token[..length], "jane").unwrap_err() else {
            panic!("{length}")
        };
        assert_ne!(error, TokenError::SignatureMismatch, "{length}");
    }
    assert!(matches!(world.decide_token("correct horse", "jane"), Err(Reason::Token(_))));
}

#[test]
fn a_user_name_too_long_for_any_server_is_refused() {
    let world = World::with(|_| inline(&[policy("Allow", "*")]));
    let name = "x".repeat(600);
    let login = Login { signed_user: &name, user: &name, ..world.login() };
    assert_eq!(world.decide(&login).unwrap_err(), Reason::WrongUser);
}

#[test]
fn engines_have_their_names() {
    assert_eq!("aurora-postgresql".parse::<Engine>().unwrap().to_string(), "aurora-postgresql");
    assert!("oracle".parse::<Engine>().unwrap_err().to_string().contains("`oracle`"));
}

#[test]
fn what_forces_tls_by_default() {
    use iam::Product::{MariaDb, MySql, PostgreSql};
    for (product, series, forced) in [
        (PostgreSql, "14", true),
        (MySql, "8.0", false),
        (MySql, "8.4", true),
        (MySql, "9.7", true),
        (MariaDb, "10.11", false),
        (MariaDb, "11.4", false),
        (MariaDb, "11.8", true),
        (MariaDb, "12.1", true),
    ] {
        assert_eq!(product.forces_tls_by_default(series), forced, "{product} {series}");
    }
}
