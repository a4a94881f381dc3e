//! Errors that other engines make, each with the test that keeps it out of this one.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "a test says so by panicking"
)]

mod support;

use policy::Outcome;
use serde_json::json;
use support::{JANE, allows, ask, denies, policy, under};

#[test]
fn string_not_equals_over_a_list_does_not_match_a_value_of_the_list() {
    let condition = json!({"StringNotEquals": {"aws:PrincipalTag/team": ["a", "b"]}});
    let (allow, deny) = (under("Allow", condition.clone()), under("Deny", condition));
    for (team, matches) in [("a", false), ("b", false), ("c", true)] {
        let context: &[(&str, &[&str])] = &[("aws:PrincipalTag/team", &[team])];
        assert_eq!((allows(&allow, context), denies(&deny, context)), (matches, matches), "{team}");
    }
}

#[test]
fn not_ip_address_over_a_list_does_not_match_an_address_of_the_list() {
    let condition = json!({"NotIpAddress": {"aws:SourceIp": ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"]}});
    let deny = under("Deny", condition);
    for (address, denied) in [
        ("10.1.2.3", false),
        ("192.0.2.1", false),
        ("2001:db8::1", false),
        ("192.0.2.2", true),
        ("::1", true),
    ] {
        assert_eq!(denies(&deny, &[("aws:SourceIp", &[address])]), denied, "{address}");
    }
    assert!(denies(&deny, &[]), "a negated operator is true on a missing key");
}

#[test]
fn a_deny_of_an_action_in_another_case_denies() {
    for action in ["rds-db:Connect", "RDS-DB:CONNECT", "Rds-Db:C?nn*"] {
        let deny = policy(json!({"Effect": "Deny", "Action": action, "Resource": JANE}));
        assert!(denies(&deny, &[]), "{action}");
    }
}

#[test]
fn a_resource_with_the_user_name_matches_nothing_where_there_is_none() {
    let resource = "arn:aws:rds-db:us-east-1:123456789012:dbuser:*/${aws:username}*";
    for effect in ["Allow", "Deny"] {
        let own = policy(json!({"Effect": effect, "Action": "rds-db:connect", "Resource": resource}));
        assert_eq!(ask(&own, JANE, &[]), Outcome::NoMatch, "{effect}");
        assert_ne!(ask(&own, JANE, &[("aws:username", &["jane"])]), Outcome::NoMatch, "{effect}");
    }
}

#[test]
fn a_missing_value_does_not_widen_an_allow_of_everything_else() {
    let except = |effect: &str| {
        let others = "arn:aws:rds-db:*:*:dbuser:*/${aws:PrincipalTag/banned}";
        policy(
            json!({"Effect": effect, "Action": "*", "NotResource": ["arn:aws:rds-db:*:*:dbuser:*/x", others]}),
        )
    };
    assert!(!allows(&except("Allow"), &[]));
    assert!(allows(&except("Allow"), &[("aws:PrincipalTag/banned", &["mary"])]));
    assert!(!allows(&except("Allow"), &[("aws:PrincipalTag/banned", &["jane"])]));
    assert!(denies(&except("Deny"), &[]));
}

#[test]
fn a_tag_that_is_a_star_does_not_match_everything() {
    let resource = "arn:aws:rds-db:us-east-1:123456789012:dbuser:db-ABC/${aws:PrincipalTag/user}";
    let own = policy(json!({"Effect": "Allow", "Action": "rds-db:connect", "Resource": resource}));
    let like = under("Allow", json!({"StringLike": {"aws:username": "${aws:PrincipalTag/user}"}}));
    let arn = under(
        "Allow",
        json!({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::1:user/${aws:PrincipalTag/user}"}}),
    );
    for star in ["*", "j*", "jan?", "????", "**"] {
        let context: &[(&str, &[&str])] = &[
            ("aws:PrincipalTag/user", &[star]),
            ("aws:username", &["jane"]),
            ("aws:PrincipalArn", &["arn:aws:iam::1:user/jane"]),
        ];
        assert!(!allows(&own, context) && !allows(&like, context) && !allows(&arn, context), "{star}");
    }
    let jane: &[(&str, &[&str])] = &[
        ("aws:PrincipalTag/user", &["jane"]),
        ("aws:username", &["jane"]),
        ("aws:PrincipalArn", &["arn:aws:iam::1:user/jane"]),
    ];
    assert!(allows(&own, jane) && allows(&like, jane) && allows(&arn, jane));
    // A user of that name is still reached.
    let starred = ask(
        &own,
        "arn:aws:rds-db:us-east-1:123456789012:dbuser:db-ABC/*",
        &[("aws:PrincipalTag/user", &["*"])],
    );
    assert!(matches!(starred, Outcome::Allow(_)));
}

#[test]
fn a_star_of_arn_like_stays_within_its_part() {
    let like = |pattern: &str| under("Allow", json!({"ArnLike": {"aws:PrincipalArn": pattern}}));
    let role: &[(&str, &[&str])] = &[("aws:PrincipalArn", &["arn:aws:iam::123456789012:role/a:b"])];
    for pattern in ["*", "arn:aws:iam:*", "arn:aws:*:role/a:b", "arn:*:role/*", "arn:aws:iam::*", "*:*:*:*:*"]
    {
        assert!(!allows(&like(pattern), role), "{pattern}");
    }
    for pattern in
        ["*:*:*:*:*:*", "arn:aws:iam::*:role/*", "arn:aws:iam::123456789012:role/a?b", "arn:aws:iam:*:*:*"]
    {
        assert!(allows(&like(pattern), role), "{pattern}");
    }
    // A colon in the value of a variable does not end its part.
    let tagged = like("arn:aws:iam::${aws:PrincipalTag/x}");
    let context: &[(&str, &[&str])] =
        &[("aws:PrincipalArn", &["arn:aws:iam::1:role/a"]), ("aws:PrincipalTag/x", &["1:role/a"])];
    assert!(!allows(&tagged, context));
}

#[test]
fn a_deny_whose_key_is_missing_is_evaluated_all_the_same() {
    for (condition, denied) in [
        (json!({"StringEquals": {"aws:PrincipalTag/team": "a"}}), false),
        (json!({"StringNotEquals": {"aws:PrincipalTag/team": "a"}}), true),
        (json!({"StringNotLike": {"aws:PrincipalTag/team": "*"}}), true),
        (json!({"StringEqualsIfExists": {"aws:PrincipalTag/team": "a"}}), true),
        (json!({"Null": {"aws:PrincipalTag/team": "true"}}), true),
        (json!({"Null": {"aws:PrincipalTag/team": "false"}}), false),
        (json!({"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}), true),
        (json!({"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}), false),
        (json!({"Bool": {"aws:MultiFactorAuthPresent": "false"}}), false),
        (json!({"BoolIfExists": {"aws:MultiFactorAuthPresent": "false"}}), true),
        (json!({"ForAllValues:StringEquals": {"aws:TagKeys": "a"}}), true),
        (json!({"ForAnyValue:StringEquals": {"aws:TagKeys": "a"}}), false),
    ] {
        assert_eq!(denies(&under("Deny", condition.clone()), &[]), denied, "{condition}");
    }
}

#[test]
fn the_case_of_a_resource_matters() {
    let admin = policy(json!({"Effect": "Allow", "Action": "rds-db:connect",
        "Resource": "arn:aws:rds-db:us-east-1:123456789012:dbuser:db-ABC/Admin"}));
    let of = |end: &str| ask(&admin, &format!("arn:aws:rds-db:us-east-1:123456789012:dbuser:{end}"), &[]);
    assert!(matches!(of("db-ABC/Admin"), Outcome::Allow(_)));
    assert_eq!((of("db-ABC/admin"), of("db-abc/Admin")), (Outcome::NoMatch, Outcome::NoMatch));
}

#[test]
fn a_condition_that_cannot_be_evaluated_never_becomes_an_allow() {
    // The value of the policy, then the value of the request, is none of the operator's type.
    let text: &[(&str, &[&str])] = &[("app:key", &["text"])];
    let number: &[(&str, &[&str])] = &[("app:key", &["5"])];
    for (condition, context) in [
        (json!({"NumericNotEquals": {"app:key": "many"}}), number),
        (json!({"NumericNotEquals": {"app:key": ["5", "many"]}}), number),
        (json!({"NumericLessThan": {"app:key": "many"}}), number),
        (json!({"NumericNotEquals": {"app:key": "5"}}), text),
        (json!({"NumericLessThanIfExists": {"app:key": 5}}), text),
        (json!({"DateNotEquals": {"app:key": "2026"}}), text),
        (json!({"DateGreaterThan": {"app:key": "2017-02-31"}}), number),
        (json!({"NotIpAddress": {"app:key": "10.0.0.0/33"}}), &[("app:key", &["10.0.0.1"])]),
        (json!({"NotIpAddress": {"app:key": "10.0.0.0/8"}}), text),
        (json!({"ArnNotEquals": {"app:key": "arn:aws:iam::1:user/a"}}), text),
        (json!({"ArnNotLike": {"app:key": "*"}}), &[("app:key", &["arn:aws:iam::1:user/a"])]),
        (json!({"Bool": {"app:key": "maybe"}}), &[("app:key", &["true"])]),
        (json!({"Bool": {"app:key": "true"}}), text),
        (json!({"Bool": {"app:key": "${app:key}"}}), text),
        (json!({"BinaryEquals": {"app:key": "QQ"}}), &[("app:key", &["QQ=="])]),
        (json!({"BinaryEquals": {"app:key": "QQ=="}}), &[("app:key", &["QQ"])]),
        (json!({"Null": {"app:key": "yes"}}), &[]),
        (json!({"ForAllValues:NumericLessThan": {"app:key": 5}}), &[("app:key", &["1", "x"])]),
        (json!({"ForAnyValue:NumericLessThan": {"app:key": 5}}), &[("app:key", &["1", "x"])]),
        // An operator for one value on many.
        (json!({"StringNotEquals": {"app:key": "c"}}), &[("app:key", &["a", "b"])]),
    ] {
        assert!(!allows(&under("Allow", condition.clone()), context), "{condition}");
        assert!(denies(&under("Deny", condition.clone()), context), "{condition}");
    }
    // What does not hold for another reason does not deny.
    let both = json!({"NumericEquals": {"app:key": "many"}, "StringEquals": {"app:other": "x"}});
    assert!(!denies(&under("Deny", both), number));
}
