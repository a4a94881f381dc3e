//! Trust policies: what AWS refuses, and who may assume the role.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "a test says so by panicking"
)]

use policy::{
    Document, Entries, Kind, NoContext, Policy, Principal, TrustIdentity, TrustOutcome, TrustPrincipal,
    TrustRequest, Value, validate,
};
use serde_json::{Value as Json, json};

fn message(statement: Json) -> String {
    let text = json!({"Version": "2012-10-17", "Statement": statement}).to_string();
    let checked = Document::parse(&text).and_then(|document| validate(&document, Kind::Trust));
    checked.map_or_else(|e| e.to_string(), |()| "accepted".into())
}

fn trusting(statements: Json) -> Policy {
    let text = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
    Policy::parse(&text, Kind::Trust).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn allow(principal: Json) -> Json {
    json!({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"})
}

const JANE: TrustPrincipal<'_> = TrustPrincipal {
    partition: "aws",
    account: "123456789012",
    identity: TrustIdentity::User {
        arn: "arn:aws:iam::123456789012:user/team/jane",
        unique_id: "AIDAJANEJANEJANEJANEJ",
    },
};

const SESSION: TrustPrincipal<'_> = TrustPrincipal {
    partition: "aws",
    account: "123456789012",
    identity: TrustIdentity::RoleSession {
        arn: "arn:aws:sts::123456789012:assumed-role/App/web-1",
        role_arn: "arn:aws:iam::123456789012:role/apps/App",
        role_id: "AROAAPPAPPAPPAPPAPPAP",
    },
};

fn ask(policy: &Policy, principal: TrustPrincipal<'_>) -> &'static str {
    match policy.evaluate_trust(&TrustRequest::new("sts:AssumeRole", principal, &NoContext)) {
        TrustOutcome::NoMatch => "no match",
        TrustOutcome::AllowedSession(_) => "session",
        TrustOutcome::AllowedDirectly(_) => "directly",
        TrustOutcome::AllowedToAnyone(_) => "anyone",
        TrustOutcome::AllowedByAccount(_) => "by account",
        TrustOutcome::Denied(_) => "denied",
    }
}

#[test]
fn trust_policies_have_principals_and_no_resources() {
    let me = json!({"AWS": "123456789012"});
    for (statement, expected) in [
        (allow(me.clone()), "accepted"),
        (json!({"Effect": "Allow", "Action": "sts:AssumeRole"}), "Missing required field Principal"),
        (allow(json!({})), "Missing required field Principal cannot be empty!"),
        (
            json!({"Effect": "Allow", "Principal": me, "Action": "sts:AssumeRole", "Resource": "*"}),
            "Has prohibited field Resource.",
        ),
        (
            json!({"Effect": "Allow", "NotPrincipal": me, "Action": "sts:AssumeRole"}),
            "Allow with NotPrincipal is not allowed.",
        ),
        (
            json!({"Effect": "Allow", "Principal": me, "Action": ["sts:AssumeRole", "s3:GetObject"]}),
            "AssumeRole policy may only specify STS AssumeRole actions.",
        ),
        (json!({"Effect": "Allow", "Principal": me}), "Policy statement must contain actions."),
        (
            json!({"Effect": "Allow", "Principal": "jane", "Action": "sts:AssumeRole"}),
            "Syntax errors in policy.",
        ),
    ] {
        assert_eq!(message(statement.clone()), expected, "{statement}");
    }
}

#[test]
fn the_shape_of_a_principal_is_checked() {
    for good in [
        json!("*"),
        json!({"AWS": "*"}),
        json!({"AWS": ["arn:aws:iam::123456789012:root", "arn:aws:iam::123456789012:user/a/b/jane"]}),
        json!({"AWS": "arn:aws-cn:iam::123456789012:role/App"}),
        json!({"AWS": "arn:aws:sts::123456789012:assumed-role/App/web-1"}),
        json!({"AWS": "AROAAPPAPPAPPAPPAPPAP"}),
        json!({"Service": ["ec2.amazonaws.com", "lambda.amazonaws.com"]}),
        json!({"Federated": "arn:aws:iam::123456789012:oidc-provider/accounts.example.com/x"}),
        json!({"Federated": "cognito-identity.amazonaws.com"}),
    ] {
        assert_eq!(message(allow(good.clone())), "accepted", "{good}");
    }
    for (provider, bad) in [
        ("AWS", "jane"),
        ("AWS", "12345678901"),
        ("AWS", "arn:aws:iam::12345678910:role/App"),
        ("AWS", "arn:aws:iam::123456789012:user/*"),
        ("AWS", "arn:aws:iam::*:root"),
        ("AWS", "arn:aws:iam::123456789012:group/developers"),
        ("AWS", "arn:aws:iam:us-east-1:123456789012:root"),
        ("AWS", "arn:aws:sts::123456789012:assumed-role/App"),
        ("AWS", "arn:other:iam::123456789012:root"),
        ("AWS", ""),
        ("SERVICE", "ec2"),
        ("FEDERATED", "arn:aws:iam::123456789012:user/jane"),
    ] {
        let written = match provider {
            "SERVICE" => "Service",
            "FEDERATED" => "Federated",
            other => other,
        };
        assert_eq!(
            message(allow(json!({written: bad}))),
            format!("Invalid principal in policy: \"{provider}\":\"{bad}\"")
        );
    }
}

#[test]
fn a_named_principal_is_allowed_directly_and_an_account_by_its_policies() {
    let user = trusting(allow(json!({"AWS": "arn:aws:iam::123456789012:user/team/jane"})));
    assert_eq!((ask(&user, JANE), ask(&user, SESSION)), ("directly", "no match"));
    let role = trusting(allow(json!({"AWS": "arn:aws:iam::123456789012:role/apps/App"})));
    assert_eq!((ask(&role, JANE), ask(&role, SESSION)), ("no match", "directly"));
    let session = trusting(allow(json!({"AWS": "arn:aws:sts::123456789012:assumed-role/App/web-1"})));
    assert_eq!(ask(&session, SESSION), "session");
    for account in ["123456789012", "arn:aws:iam::123456789012:root"] {
        let account = trusting(allow(json!({"AWS": account})));
        assert_eq!((ask(&account, JANE), ask(&account, SESSION)), ("by account", "by account"));
        assert_eq!(ask(&account, TrustPrincipal { account: "210987654321", ..JANE }), "no match");
    }
    let other_partition = trusting(allow(json!({"AWS": "arn:aws-cn:iam::123456789012:root"})));
    assert_eq!(ask(&other_partition, JANE), "no match");
    let both = trusting(json!([
        allow(json!({"AWS": "123456789012"})),
        allow(json!({"AWS": "arn:aws:iam::123456789012:user/team/jane"}))
    ]));
    assert_eq!((ask(&both, JANE), ask(&both, SESSION)), ("directly", "by account"));
}

#[test]
fn a_star_is_anyone_and_a_service_is_nobody_here() {
    for star in [json!("*"), json!({"AWS": "*"})] {
        let star = trusting(allow(star));
        assert_eq!(ask(&star, JANE), "anyone");
        assert_eq!(ask(&star, TrustPrincipal { account: "210987654321", ..SESSION }), "anyone");
    }
    let service =
        trusting(allow(json!({"Service": "ec2.amazonaws.com", "Federated": "accounts.google.com"})));
    assert_eq!((ask(&service, JANE), ask(&service, SESSION)), ("no match", "no match"));
}

#[test]
fn the_action_must_match_too() {
    let policy = trusting(
        json!({"Effect": "Allow", "Principal": "*", "Action": ["sts:TagSession", "sts:assumerole"]}),
    );
    assert_eq!(ask(&policy, JANE), "anyone");
    let other = TrustRequest::new("sts:AssumeRoleWithSAML", JANE, &NoContext);
    assert_eq!(policy.evaluate_trust(&other), TrustOutcome::NoMatch);
}

#[test]
fn a_deny_wins_and_reaches_a_whole_account() {
    let jane = allow(json!({"AWS": "arn:aws:iam::123456789012:user/team/jane"}));
    let deny = json!({"Effect": "Deny", "Principal": {"AWS": "123456789012"}, "Action": "sts:AssumeRole"});
    assert_eq!(ask(&trusting(json!([jane, deny])), JANE), "denied");
}

#[test]
fn not_principal_spares_only_the_whole_chain() {
    let except = |names: Json| {
        trusting(json!([
            allow(json!("*")),
            {"Effect": "Deny", "NotPrincipal": {"AWS": names}, "Action": "sts:AssumeRole"}
        ]))
    };
    let (account, user) = ("arn:aws:iam::123456789012:root", "arn:aws:iam::123456789012:user/team/jane");
    let (role, session) =
        ("arn:aws:iam::123456789012:role/apps/App", "arn:aws:sts::123456789012:assumed-role/App/web-1");
    assert_eq!(ask(&except(json!([account, user])), JANE), "anyone");
    assert_eq!(ask(&except(json!([account])), JANE), "denied");
    assert_eq!(ask(&except(json!([user])), JANE), "denied");
    assert_eq!(ask(&except(json!([account, role, session])), SESSION), "anyone");
    assert_eq!(ask(&except(json!([account, role])), SESSION), "denied");
    assert_eq!(ask(&except(json!(["*"])), SESSION), "anyone");
}

#[test]
fn conditions_decide_here_too() {
    let ask = |policy: &Policy, context: &[(&str, &[&str])]| {
        let mut entries = Entries::default();
        for (key, values) in context {
            entries.set(*key, values.iter().map(|value| Value::Text(value)).collect());
        }
        policy.evaluate_trust(&TrustRequest::new("sts:AssumeRole", JANE, &entries))
    };
    let allowed = |outcome| matches!(outcome, TrustOutcome::AllowedByAccount(_));
    let account = json!({"AWS": "123456789012"});
    let trusted = |condition: Json| {
        trusting(
            json!({"Effect": "Allow", "Principal": account, "Action": "sts:AssumeRole", "Condition": condition}),
        )
    };
    // The third party that is made to act for the wrong customer.
    let external = trusted(json!({"StringEquals": {"sts:ExternalId": ["12345", "${aws:username}"]}}));
    assert!(allowed(ask(&external, &[("sts:ExternalId", &["12345"])])));
    assert!(allowed(ask(&external, &[("sts:ExternalId", &["jane"]), ("aws:username", &["jane"])])));
    for other in [&["54321"][..], &["12345", "54321"], &[]] {
        assert_eq!(ask(&external, &[("sts:ExternalId", other)]), TrustOutcome::NoMatch, "{other:?}");
    }
    // What cannot be evaluated keeps an Allow from applying and lets a Deny apply.
    let number = json!({"NumericLessThan": {"app:n": "10"}});
    let deny = json!({"Effect": "Deny", "Principal": "*", "Action": "sts:AssumeRole*", "Condition": number});
    let denying = trusting(json!([allow(account.clone()), deny]));
    let numbers = trusted(number);
    for (n, allows, denies) in [("5", true, true), ("50", false, false), ("five", false, true)] {
        assert_eq!(allowed(ask(&numbers, &[("app:n", &[n])])), allows, "{n}");
        assert_eq!(matches!(ask(&denying, &[("app:n", &[n])]), TrustOutcome::Denied(_)), denies, "{n}");
    }
}

#[test]
fn a_bound_name_trusts_the_id_and_not_a_namesake() {
    let policy = trusting(allow(json!({"AWS": [
        "arn:aws:iam::123456789012:user/team/jane", "arn:aws:iam::123456789012:role/apps/App", "123456789012"
    ]})));
    let policy = policy.bind_principals(|principal| match principal {
        Principal::User { .. } => Some("AIDAOLDOLDOLDOLDOLDOL".into()),
        Principal::Role { .. } => Some("AROAAPPAPPAPPAPPAPPAP".into()),
        other => panic!("{other:?} has nothing to bind"),
    });
    assert_eq!((ask(&policy, JANE), ask(&policy, SESSION)), ("by account", "directly"));
    assert_eq!(policy.principals().count(), 3);
    let gone = trusting(allow(json!({"AWS": "AIDAJANEJANEJANEJANEJ"})));
    assert_eq!((ask(&gone, JANE), ask(&gone, SESSION)), ("directly", "no match"));
}

#[test]
fn trust_and_identity_policies_do_not_answer_for_each_other() {
    let trust = trusting(allow(json!("*")));
    let request = policy::Request::new("sts:AssumeRole", policy::Resource::any(), &NoContext);
    assert_eq!(trust.evaluate(&request), policy::Outcome::NoMatch);
    let identity =
        Policy::parse(r#"{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}"#, Kind::Inline);
    assert_eq!(ask(&identity.unwrap(), JANE), "no match");
}
