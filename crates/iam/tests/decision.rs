//! The decision flow over all types of policies, and what a login tells about itself: the rules of AWS's evaluation logic
//! for one account, each as a test.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use iam::{
    Arn, Authorization, Database, Denial, Group, NamedPolicy, Naming, Policies, PolicyType, Principal,
    PrincipalKind, ResourceId, ResourceKind, Role, SecurityToken, ServiceControlLevel, SessionCredential,
    Snapshot, User, login_context,
};
use policy::{Context, Key, Kind, Request, Resource, Value, Values};
use sigv4::Timestamp;
use zeroize::Zeroizing;

const NOW: i64 = 1_767_225_600; // 2026-01-01T00:00:00Z
const BOUNDARY: &str = "arn:aws:iam::123456789012:policy/boundary";
const MANAGED: &str = "arn:aws:iam::123456789012:policy/managed";
const CONNECT: &str = "rds-db:connect";
const DB: &str = "arn:aws:rds-db:us-east-1:123456789012:dbuser:db-A/jane";

fn statements(list: &[&str]) -> String {
    format!(r#"{{"Version": "2012-10-17", "Statement": [{}]}}"#, list.join(","))
}

fn statement(effect: &str, action: &str, condition: &str) -> String {
    format!(r#"{{"Effect": "{effect}", "Action": "{action}", "Resource": "*", "Condition": {condition}}}"#)
}

fn named(name: &str, statement: &str, kind: Kind) -> NamedPolicy {
    let named = NamedPolicy::compile(name, &statements(&[statement]), kind);
    assert!(named.policy.is_ok(), "{:?}", named.policy);
    named
}

fn inline(list: &[&str]) -> Policies {
    let inline = list.iter().map(|statement| named("inline", statement, Kind::Inline)).collect();
    Policies { managed: Box::default(), inline }
}

fn arn(text: &str) -> Arn {
    text.parse().unwrap()
}

/// What is put into each place of the flow; nothing unless it is said.
#[derive(Default, Clone, Copy)]
struct Flow<'a> {
    identity: &'a [&'a str],
    group: &'a [&'a str],
    boundary: Option<&'a str>,
    session: Option<&'a [&'a str]>,
    /// Level by level.
    service_control: &'a [&'a [&'a str]],
}

const ALLOW: &str = r#"{"Effect": "Allow", "Action": "*", "Resource": "*"}"#;
const DENY: &str = r#"{"Effect": "Deny", "Action": "rds-db:Connect", "Resource": "*"}"#;
const OTHER: &str = r#"{"Effect": "Allow", "Action": "rds:*", "Resource": "*"}"#;

fn snapshot(flow: &Flow<'_>) -> Snapshot {
    let mut editor = Snapshot::new("123456789012".parse().unwrap()).edit();
    let boundary = flow.boundary.map(|statement| {
        editor.put_policy(arn(BOUNDARY), named(BOUNDARY, statement, Kind::Managed));
        arn(BOUNDARY)
    });
    editor.put_group(
        "staff",
        Group { arn: arn("arn:aws:iam::123456789012:group/staff"), policies: inline(flow.group) },
    );
    editor.put_user(
        "jane",
        User {
            arn: arn("arn:aws:iam::123456789012:user/jane"),
            name: "Jane".into(),
            id: "AIDAJANEJANEJANEJANE2".parse().unwrap(),
            policies: inline(flow.identity),
            groups: Box::new(["staff".into()]),
            boundary: boundary.clone(),
            tags: [("team", "blue"), ("cost", "*")].into_iter().collect(),
        },
    );
    editor.put_role(
        "reader",
        Role {
            arn: arn("arn:aws:iam::123456789012:role/app/Reader"),
            id: "AROAREADERREADERREAD2".parse().unwrap(),
            policies: inline(flow.identity),
            boundary,
            tags: [("team", "red")].into_iter().collect(),
        },
    );
    editor.set_service_control(flow.service_control.iter().zip(["account", "root"]).map(|(level, name)| {
        let policies = level.iter().map(|statement| named("scp", statement, Kind::ServiceControl)).collect();
        ServiceControlLevel { name: name.into(), policies }
    }));
    editor.finish(1)
}

fn session(policies: Option<Policies>, tags: &[(&str, &str)]) -> SessionCredential {
    SessionCredential {
        token: SecurityToken::new(Zeroizing::new(b"token".to_vec())),
        issued: Timestamp::from_unix(NOW - 60),
        expires: Timestamp::from_unix(NOW + 3600),
        policies,
        tags: tags.iter().copied().collect(),
    }
}

#[derive(Clone, Copy, Debug)]
enum Who {
    User,
    Role,
    Federated,
}

/// Calls `with` with the principal of the kind, in a session where that is what it is.
fn as_principal<T>(
    snapshot: &Snapshot,
    who: Who,
    session: Option<&SessionCredential>,
    with: impl FnOnce(&Principal<'_>) -> T,
) -> T {
    let (user, role) = (snapshot.user("jane").unwrap(), snapshot.role("reader").unwrap());
    let assumed = arn("arn:aws:sts::123456789012:assumed-role/Reader/job");
    let federated = arn("arn:aws:sts::123456789012:federated-user/bob");
    let (arn, kind) = match who {
        Who::User => (&user.arn, PrincipalKind::User { user }),
        Who::Role => (&assumed, PrincipalKind::RoleSession { role, user_id: "AROAREADERREADERREAD2:job" }),
        Who::Federated => (&federated, PrincipalKind::FederatedUser { user, user_id: "123456789012:bob" }),
    };
    with(&Principal { arn, account: snapshot.account(), kind, session })
}

fn database() -> Database {
    let region: iam::Region = "us-east-1".parse().unwrap();
    let id = ResourceId::generate(ResourceKind::Instance, [1; 16]);
    let endpoints =
        Naming::new("123456789012".parse().unwrap(), None).endpoints(None, &["mydb"], &region, 5432);
    Database::new(id, region, "123456789012".parse().unwrap(), true, endpoints)
        .with_tags([("env", "prod")].into_iter().collect())
}

/// `allowed`, or the end of AWS's message.
fn decide(flow: Flow<'_>, who: Who) -> String {
    let snapshot = snapshot(&flow);
    let passed = flow.session.map(|statements| Policies {
        managed: Box::default(),
        inline: statements.iter().map(|s| named("session", s, Kind::Session)).collect(),
    });
    let temporary = session(passed, &[]);
    let session = (flow.session.is_some() || !matches!(who, Who::User)).then_some(&temporary);
    as_principal(&snapshot, who, session, |principal| {
        let database = database();
        let context = login_context(&database, principal, Timestamp::from_unix(NOW), None);
        let request = Request::new(CONNECT, Resource::parse(DB).unwrap(), &context);
        match snapshot.authorize(principal, &request) {
            Authorization::Allowed(_) => "allowed".to_owned(),
            Authorization::Denied(denial) => denial.because(CONNECT),
        }
    })
}

fn no(kind: &str) -> String {
    format!("because no {kind} allows the rds-db:connect action")
}

#[test]
fn one_identity_policy_must_allow() {
    for who in [Who::User, Who::Role] {
        assert_eq!(decide(Flow::default(), who), no("identity-based policy"), "{who:?}");
        assert_eq!(decide(Flow { identity: &[OTHER], ..Flow::default() }, who), no("identity-based policy"));
        assert_eq!(decide(Flow { identity: &[OTHER, ALLOW], ..Flow::default() }, who), "allowed", "{who:?}");
    }
    assert_eq!(decide(Flow { group: &[ALLOW], ..Flow::default() }, Who::User), "allowed");
    assert_eq!(decide(Flow { group: &[ALLOW], ..Flow::default() }, Who::Role), no("identity-based policy"));
}

#[test]
fn an_explicit_deny_in_any_type_of_policy_denies() {
    let all = Flow {
        identity: &[ALLOW],
        group: &[ALLOW],
        boundary: Some(ALLOW),
        session: Some(&[ALLOW]),
        service_control: &[&[ALLOW], &[ALLOW]],
    };
    let explicit = |kind: &str| format!("with an explicit deny in {kind}");
    for who in [Who::User, Who::Role, Who::Federated] {
        assert_eq!(decide(all, who), "allowed", "{who:?}");
        let flow = Flow { identity: &[ALLOW, DENY], ..all };
        assert_eq!(decide(flow, who), explicit("an identity-based policy"), "{who:?}");
        let flow = Flow { boundary: Some(DENY), ..all };
        assert_eq!(decide(flow, who), explicit("a permissions boundary"), "{who:?}");
        let flow = Flow { session: Some(&[ALLOW, DENY]), ..all };
        assert_eq!(decide(flow, who), explicit("a session policy"), "{who:?}");
        let flow = Flow { service_control: &[&[ALLOW], &[ALLOW, DENY]], ..all };
        assert_eq!(decide(flow, who), explicit("a service control policy"), "{who:?}");
    }
    let flow = Flow { group: &[DENY], ..all };
    assert_eq!(decide(flow, Who::User), explicit("an identity-based policy"));
    assert_eq!(
        decide(flow, Who::Federated),
        explicit("an identity-based policy"),
        "what the user may not do it may not do either"
    );
    assert_eq!(decide(flow, Who::Role), "allowed", "a role is in no group");
    // A Deny counts also where nothing allows.
    assert_eq!(
        decide(Flow { identity: &[DENY], ..Flow::default() }, Who::User),
        explicit("an identity-based policy")
    );
}

#[test]
fn every_level_of_service_control_must_allow_and_one_policy_of_it() {
    let with =
        |service_control| decide(Flow { identity: &[ALLOW], service_control, ..Flow::default() }, Who::User);
    assert_eq!(with(&[&[OTHER]]), no("service control policy"));
    assert_eq!(with(&[&[OTHER, ALLOW]]), "allowed");
    assert_eq!(with(&[&[ALLOW], &[OTHER]]), no("service control policy"));
    assert_eq!(with(&[&[OTHER], &[ALLOW, ALLOW]]), no("service control policy"));
    assert_eq!(with(&[&[ALLOW, ALLOW], &[ALLOW]]), "allowed");
    // It allows nothing by itself.
    let alone = Flow { service_control: &[&[ALLOW]], ..Flow::default() };
    assert_eq!(decide(alone, Who::User), no("identity-based policy"));
}

#[test]
fn a_boundary_limits_and_gives_nothing() {
    for who in [Who::User, Who::Role] {
        let with =
            |identity, boundary| decide(Flow { identity, boundary: Some(boundary), ..Flow::default() }, who);
        assert_eq!(with(&[ALLOW], OTHER), no("permissions boundary"), "{who:?}");
        assert_eq!(with(&[ALLOW], ALLOW), "allowed", "{who:?}");
        assert_eq!(with(&[], ALLOW), no("identity-based policy"), "{who:?}");
    }
}

#[test]
fn a_session_policy_limits_and_gives_nothing() {
    let with =
        |identity, session| decide(Flow { identity, session: Some(session), ..Flow::default() }, Who::Role);
    assert_eq!(with(&[ALLOW], &[OTHER]), no("session policy"));
    assert_eq!(with(&[ALLOW], &[OTHER, ALLOW]), "allowed", "one of several is enough");
    assert_eq!(with(&[], &[ALLOW]), no("identity-based policy"));
}

#[test]
fn a_federated_user_may_nothing_without_a_session_policy() {
    let flow = Flow { identity: &[ALLOW], ..Flow::default() };
    assert_eq!(decide(flow, Who::Federated), no("session policy"));
    assert_eq!(decide(Flow { session: Some(&[ALLOW]), ..flow }, Who::Federated), "allowed");
    assert_eq!(decide(Flow { session: Some(&[OTHER]), ..flow }, Who::Federated), no("session policy"));
    let bounded = Flow { session: Some(&[ALLOW]), boundary: Some(OTHER), ..flow };
    assert_eq!(
        decide(bounded, Who::Federated),
        no("permissions boundary"),
        "the user's boundary holds for it"
    );
}

#[test]
fn the_order_of_the_reasons_is_that_of_the_flow() {
    let flow = Flow {
        boundary: Some(OTHER),
        session: Some(&[OTHER]),
        service_control: &[&[OTHER]],
        ..Flow::default()
    };
    assert_eq!(decide(flow, Who::Role), no("service control policy"));
    let flow = Flow { service_control: &[], ..flow };
    assert_eq!(decide(flow, Who::Role), no("identity-based policy"));
    let flow = Flow { identity: &[ALLOW], ..flow };
    assert_eq!(decide(flow, Who::Role), no("permissions boundary"));
    let flow = Flow { boundary: None, ..flow };
    assert_eq!(decide(flow, Who::Role), no("session policy"));
}

#[test]
fn what_is_attached_and_not_there_or_not_readable_denies_everything() {
    let broken = NamedPolicy::compile("broken", "{}", Kind::Inline);
    assert!(broken.policy.is_err());
    /// Takes something out, or puts the broken policy in its place.
    type Break = fn(&mut iam::Editor, NamedPolicy);
    let cases: [(&str, Break); 5] = [
        ("a managed policy", |editor, _| editor.remove_policy(&arn(MANAGED))),
        ("a boundary", |editor, _| editor.remove_policy(&arn(BOUNDARY))),
        ("a boundary that is broken", |editor, broken| editor.put_policy(arn(BOUNDARY), broken)),
        ("a group", |editor, _| editor.remove_group("staff")),
        ("a service control policy that is broken", |editor, broken| {
            let policies = Box::new([named("all", ALLOW, Kind::ServiceControl), broken]);
            editor.set_service_control([ServiceControlLevel { name: "account".into(), policies }]);
        }),
    ];
    for (what, break_it) in cases {
        let whole = snapshot(&Flow { identity: &[ALLOW], boundary: Some(ALLOW), ..Flow::default() });
        let mut editor = whole.edit();
        editor.put_policy(arn(MANAGED), named(MANAGED, ALLOW, Kind::Managed));
        let mut jane = whole.user("jane").unwrap().clone();
        jane.policies.managed = Box::new([arn(MANAGED)]);
        editor.put_user("jane", jane);
        let ask = |snapshot: &Snapshot| {
            as_principal(snapshot, Who::User, None, |principal| {
                let request = Request::new(CONNECT, Resource::parse(DB).unwrap(), &policy::NoContext);
                match snapshot.authorize(principal, &request) {
                    Authorization::Allowed(_) => "allowed",
                    Authorization::Denied(Denial::Unreadable { .. }) => "unreadable",
                    Authorization::Denied(_) => "denied",
                }
            })
        };
        let whole = editor.finish(1);
        assert_eq!(ask(&whole), "allowed", "{what}");
        let mut editor = whole.edit();
        break_it(&mut editor, broken.clone());
        assert_eq!(ask(&editor.finish(2)), "unreadable", "{what}");
    }
    // A caller is not told that a policy is broken.
    let unreadable = Denial::Unreadable { policy: "p", reason: "secret" };
    assert_eq!(unreadable.because("a:b"), "with an explicit deny in an identity-based policy");
    assert_eq!(PolicyType::Boundary.as_str(), "permissions boundary");
}

/// The value of a key at a login; several are joined.
fn key(who: Who, in_session: Option<&SessionCredential>, name: &str) -> Option<String> {
    let snapshot = snapshot(&Flow::default());
    as_principal(&snapshot, who, in_session, |principal| {
        let database = database();
        let source_ip = Some("192.0.2.7".parse().unwrap());
        let context = login_context(&database, principal, Timestamp::from_unix(NOW), source_ip);
        match context.values(Key::new(name)) {
            Values::One(value) => Some(value.to_string()),
            Values::Missing => None,
            Values::Many(values) => panic!("{name}: {values:?}"),
        }
    })
}

#[test]
fn the_context_of_a_login() {
    let temporary = session(None, &[("Team", "green"), ("shift", "night")]);
    let some = |text: &str| Some(text.to_owned());
    for (name, user, role, federated) in [
        ("aws:username", some("Jane"), None, None),
        (
            "aws:userid",
            some("AIDAJANEJANEJANEJANE2"),
            some("AROAREADERREADERREAD2:job"),
            some("123456789012:bob"),
        ),
        (
            "aws:PrincipalArn",
            some("arn:aws:iam::123456789012:user/jane"),
            some("arn:aws:iam::123456789012:role/app/Reader"),
            some("arn:aws:sts::123456789012:federated-user/bob"),
        ),
        ("aws:PrincipalType", some("User"), some("AssumedRole"), some("FederatedUser")),
        ("aws:PrincipalAccount", some("123456789012"), some("123456789012"), some("123456789012")),
        ("aws:PrincipalTag/team", some("blue"), some("green"), some("green")),
        ("AWS:principaltag/SHIFT", None, some("night"), some("night")),
        ("aws:PrincipalTag/none", None, None, None),
        ("aws:TokenIssueTime", None, some("2025-12-31T23:59:00Z"), some("2025-12-31T23:59:00Z")),
        ("aws:MultiFactorAuthPresent", None, some("false"), some("false")),
    ] {
        assert_eq!(key(Who::User, None, name), user, "{name}");
        assert_eq!(key(Who::Role, Some(&temporary), name), role, "{name}");
        assert_eq!(key(Who::Federated, Some(&temporary), name), federated, "{name}");
    }
    for (name, value) in [
        ("aws:CurrentTime", some("2026-01-01T00:00:00Z")),
        ("aws:EpochTime", some("1767225600")),
        ("aws:SecureTransport", some("true")),
        ("aws:RequestedRegion", some("us-east-1")),
        ("aws:ResourceTag/Env", some("prod")),
        ("aws:ResourceTag/none", None),
        ("aws:SourceIp", some("192.0.2.7")),
        // As on AWS, these have no value at connect.
        ("aws:Referer", None),
        ("aws:SourceVpc", None),
        ("aws:SourceVpce", None),
        ("aws:UserAgent", None),
        ("aws:VpcSourceIp", None),
        ("aws:RequestTag/team", None),
        ("aws:TagKeys", None),
    ] {
        assert_eq!(key(Who::User, None, name), value, "{name}");
    }
}

#[test]
fn what_a_request_says_does_not_go_for_what_is_derived() {
    struct Liar;
    impl Context for Liar {
        fn values<'c>(&'c self, _: Key<'_>) -> Values<'c> {
            Values::One(Value::Text("a lie"))
        }
    }
    let snapshot = snapshot(&Flow::default());
    as_principal(&snapshot, Who::Role, None, |principal| {
        let database = database();
        let honest = login_context(&database, principal, Timestamp::from_unix(NOW), None);
        let context = iam::RequestContext { more: &Liar, resource_tags: None, ..honest };
        for derived in [
            "aws:username",
            "aws:userid",
            "aws:PrincipalArn",
            "aws:PrincipalAccount",
            "aws:PrincipalType",
            "aws:PrincipalTag/x",
            "aws:ResourceTag/x",
            "aws:CurrentTime",
            "aws:EpochTime",
            "aws:SecureTransport",
            "aws:TokenIssueTime",
            "aws:MultiFactorAuthPresent",
            "aws:RequestedRegion",
            "AWS:sourceip",
        ] {
            let found = context.values(Key::new(derived));
            assert!(!matches!(found, Values::One(Value::Text("a lie"))), "{derived}");
        }
        for asked in ["aws:RequestTag/x", "aws:TagKeys", "sts:ExternalId", "aws:UserAgent"] {
            assert!(matches!(context.values(Key::new(asked)), Values::One(Value::Text("a lie"))), "{asked}");
        }
    });
}

#[test]
fn conditions_see_who_logs_in_where_and_when() {
    let with = |condition: &str, who| {
        let statement = statement("Allow", CONNECT, condition);
        decide(Flow { identity: &[&statement], ..Flow::default() }, who) == "allowed"
    };
    assert!(with(r#"{"StringEquals": {"aws:username": "Jane"}}"#, Who::User));
    assert!(!with(r#"{"StringEquals": {"aws:username": "Jane"}}"#, Who::Role));
    assert!(with(r#"{"StringEquals": {"aws:PrincipalTag/team": "red"}}"#, Who::Role));
    assert!(with(r#"{"StringEquals": {"aws:ResourceTag/env": "prod"}}"#, Who::User));
    assert!(with(r#"{"DateLessThan": {"aws:CurrentTime": "2026-01-01T00:00:01Z"}}"#, Who::User));
    assert!(!with(r#"{"DateLessThan": {"aws:CurrentTime": "2026"}}"#, Who::User));
    assert!(with(r#"{"Bool": {"aws:SecureTransport": "true"}}"#, Who::User));
    assert!(!with(r#"{"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}"#, Who::User), "absent, as on AWS");
    assert!(with(r#"{"NotIpAddress": {"aws:SourceIp": "0.0.0.0/0"}}"#, Who::User));
    assert!(with(r#"{"DateGreaterThan": {"aws:TokenIssueTime": "2025"}}"#, Who::Role));
    assert!(
        with(r#"{"StringNotLike": {"aws:PrincipalTag/team": "${aws:PrincipalTag/cost}"}}"#, Who::User),
        "a tag `*`"
    );
}
