//! An explanation and the decision tell one story, whatever policies there are; and it has all that was looked at.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use iam::{
    Arn, Authorization, Denial, IdKind, NamedPolicy, Policies, PolicyType, Principal, PrincipalKind, Says,
    SecurityToken, ServiceControlLevel, SessionCredential, Snapshot, Tags, TypeReport, UniqueId, User,
};
use policy::{Entries, Kind, NoContext, Request, Resource, Value, Verdict};
use sigv4::Timestamp;

const RESOURCE: &str = "arn:aws:rds-db:us-east-1:123456789012:dbuser:db-ABC/jane";
const BOUNDARY: &str = "arn:aws:iam::123456789012:policy/boundary";

/// What a policy says, or that there is none of its type.
const CHOICES: [&str; 5] = ["none", "allows", "denies", "says nothing", "cannot be read"];

fn document(choice: &str) -> String {
    let statement = |effect: &str, action: &str| {
        format!(r#"{{"Effect": "{effect}", "Action": "{action}", "Resource": "*"}}"#)
    };
    let statements = match choice {
        "allows" => statement("Allow", "rds-db:connect"),
        "denies" => format!("[{}, {}]", statement("Allow", "*"), statement("Deny", "rds-db:*")),
        "says nothing" => statement("Allow", "s3:*"),
        _ => r#"{"Effect": "Broken"}"#.to_owned(),
    };
    format!(r#"{{"Version": "2012-10-17", "Statement": {statements}}}"#)
}

fn named(name: &str, choice: &str, kind: Kind) -> Option<NamedPolicy> {
    (choice != "none").then(|| NamedPolicy::compile(name, &document(choice), kind))
}

fn account(levels: [&str; 2], identity: &str, boundary: &str) -> Snapshot {
    let mut editor = Snapshot::new("123456789012".parse().unwrap()).edit();
    editor.set_service_control(levels.iter().zip(["account", "root"]).filter_map(|(choice, level)| {
        let policy = named("limit", choice, Kind::ServiceControl)?;
        Some(ServiceControlLevel { name: level.into(), policies: Box::new([policy]) })
    }));
    let boundary = named(BOUNDARY, boundary, Kind::Managed).map(|policy| {
        editor.put_policy(BOUNDARY.parse().unwrap(), policy);
        BOUNDARY.parse::<Arn>().unwrap()
    });
    editor.put_user(
        "jane",
        User {
            arn: "arn:aws:iam::123456789012:user/jane".parse().unwrap(),
            name: "jane".into(),
            id: UniqueId::generate(IdKind::User, &[1; 17]),
            policies: Policies {
                managed: Box::default(),
                inline: named("own", identity, Kind::Inline).into_iter().collect(),
            },
            groups: Box::default(),
            boundary,
            tags: Tags::default(),
        },
    );
    editor.finish(1)
}

fn session(choice: &str) -> SessionCredential {
    let inline = named("session policy", choice, Kind::Session);
    SessionCredential {
        token: SecurityToken::new(zeroize::Zeroizing::default()),
        issued: Timestamp::from_unix(0),
        expires: Timestamp::from_unix(3600),
        policies: inline.map(|policy| Policies { managed: Box::default(), inline: Box::new([policy]) }),
        tags: Tags::default(),
    }
}

/// The decision as the reports of the types have it: a second telling, to compare the first with.
fn retold(types: &[TypeReport<'_>]) -> String {
    for of_type in types {
        match of_type.says {
            Says::Denies(statement) => return format!("denied by {}: {statement}", of_type.kind.as_str()),
            Says::Unreadable(_) => return "unreadable".to_owned(),
            Says::NoLimit | Says::Allows(_) | Says::Nothing => {}
        }
    }
    let silent = types.iter().find(|of_type| matches!(of_type.says, Says::Nothing));
    match silent {
        Some(of_type) => format!("not allowed by {}", of_type.kind.as_str()),
        None => "allowed".to_owned(),
    }
}

fn told(authorization: Authorization<'_>) -> String {
    match authorization {
        Authorization::Allowed(_) => "allowed".to_owned(),
        Authorization::Denied(Denial::Implicit(kind)) => format!("not allowed by {}", kind.as_str()),
        Authorization::Denied(Denial::Explicit(kind, by)) => format!("denied by {}: {by}", kind.as_str()),
        Authorization::Denied(Denial::Unreadable { .. }) => "unreadable".to_owned(),
    }
}

#[test]
fn the_types_together_are_the_decision() {
    let request = Request::new("rds-db:connect", Resource::parse(RESOURCE).unwrap(), &NoContext);
    let federated: Arn = "arn:aws:sts::123456789012:federated-user/bob".parse().unwrap();
    let mut decisions = std::collections::BTreeSet::new();
    let sessions = CHOICES.map(session);
    for level in CHOICES {
        for root in CHOICES {
            for identity in CHOICES {
                for boundary in CHOICES {
                    let snapshot = account([level, root], identity, boundary);
                    let user = snapshot.user("jane").unwrap();
                    let principal =
                        |kind, arn, session| Principal { arn, account: snapshot.account(), kind, session };
                    for session in &sessions {
                        let kind = PrincipalKind::FederatedUser { user, user_id: "123456789012:bob" };
                        let as_user = principal(PrincipalKind::User { user }, &user.arn, Some(session));
                        for principal in [as_user, principal(kind, &federated, Some(session))] {
                            let explained = snapshot.explain(&principal, &request);
                            let decision = told(explained.authorization);
                            assert_eq!(decision, told(snapshot.authorize(&principal, &request)));
                            assert_eq!(decision, retold(&explained.types), "{:#?}", explained.types);
                            decisions.insert(decision);
                        }
                    }
                }
            }
        }
    }
    // Four types that deny, four that do not allow, one that cannot be read, and what is allowed.
    assert_eq!(decisions.len(), 10, "{decisions:#?}");
}

#[test]
fn every_statement_and_every_key_is_there() {
    let mut editor = account(["allows", "none"], "none", "none").edit();
    let document = r#"{"Version": "2012-10-17", "Statement": [
        {"Sid": "Own", "Effect": "Allow", "Action": "rds-db:connect",
         "Resource": "arn:aws:rds-db:*:*:dbuser:*/${aws:PrincipalTag/Team}"},
        {"Effect": "Allow", "Action": "rds-db:connect", "Resource": "*",
         "Condition": {"StringLike": {"AWS:principaltag/team": ["a*", "b*"]}}},
        {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}"#;
    let policies = Policies {
        managed: Box::new(["arn:aws:iam::123456789012:policy/gone".parse().unwrap()]),
        inline: Box::new([NamedPolicy::compile("own", document, Kind::Inline)]),
    };
    let user = account(["none"; 2], "none", "none").user("jane").unwrap().clone();
    editor.put_user("jane", User { policies, groups: Box::new(["nowhere".into()]), ..user });
    let snapshot = editor.finish(2);
    let user = snapshot.user("jane").unwrap();
    let principal = Principal {
        arn: &user.arn,
        account: snapshot.account(),
        kind: PrincipalKind::User { user },
        session: None,
    };
    let mut context = Entries::default();
    context.set("aws:PrincipalTag/team", vec![Value::Text("blue")]);
    let request = Request::new("rds-db:connect", Resource::parse(RESOURCE).unwrap(), &context);
    let explained = snapshot.explain(&principal, &request);
    assert_eq!(told(explained.authorization), "unreadable");

    let kinds: Vec<_> = explained.types.iter().map(|of_type| (of_type.kind, of_type.level)).collect();
    assert_eq!(
        kinds,
        [
            (PolicyType::ServiceControl, Some("account")),
            (PolicyType::Identity, None),
            (PolicyType::Boundary, None),
            (PolicyType::Session, None)
        ]
    );
    let identity = &explained.types[1];
    let names: Vec<_> = identity.policies.iter().map(|report| report.consulted.name()).collect();
    assert_eq!(names, ["arn:aws:iam::123456789012:policy/gone", "own", "nowhere"]);
    let [gone, own, nowhere] = identity.policies.as_slice() else { panic!("{identity:#?}") };
    for missing in [gone, nowhere] {
        assert!(matches!(missing.says, Says::Unreadable(_)) && missing.statements.is_empty());
    }
    assert!(matches!(own.says, Says::Allows(by) if by.statement == 1));
    let verdicts: Vec<_> = own.statements.iter().map(|statement| &statement.verdict).collect();
    assert!(
        matches!(verdicts.as_slice(), [Verdict::OtherResource(_), Verdict::Applies, Verdict::OtherAction(_)]),
        "{verdicts:?}"
    );
    // Once, whatever the case, with the value that conditions see.
    assert_eq!(explained.keys.len(), 1, "{:?}", explained.keys);
    assert!(explained.keys[0].0.eq_ignore_ascii_case("aws:PrincipalTag/team"));
    assert_eq!(explained.keys[0].1, Some(vec!["blue".to_owned()]));
}
