//! Conditions and policy variables, operator by operator, by the rules that AWS documents.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "a test says so by panicking"
)]

mod support;

use policy::{Entries, Kind, Policy, Request, Resource, Truth, Value, Verdict};
use serde_json::{Value as Json, json};
use support::{JANE, allows, policy, under};

/// Each operator on `k` with the policy's value, for each value of the request whether it holds.
fn check(operator: &str, expected: Json, cases: &[(&[&str], bool)]) {
    let allow = under("Allow", json!({operator: {"app:K": expected}}));
    for (values, holds) in cases {
        assert_eq!(allows(&allow, &[("APP:k", values)]), *holds, "{operator} {expected} with {values:?}");
    }
}

/// Where the key is missing.
fn missing(operator: &str, holds: bool) {
    let allow = under("Allow", json!({operator: {"app:k": "2026"}}));
    assert_eq!(allows(&allow, &[]), holds, "{operator}");
    assert_eq!(allows(&allow, &[("app:k", &[])]), holds, "{operator}, no values");
}

#[test]
fn strings() {
    let ab = || json!(["a", "b*"]);
    check(
        "StringEquals",
        ab(),
        &[(&["a"], true), (&["A"], false), (&["b*"], true), (&["bc"], false), (&[""], false)],
    );
    check("StringNotEquals", ab(), &[(&["a"], false), (&["A"], true), (&["bc"], true)]);
    check(
        "StringEqualsIgnoreCase",
        json!(["Straße", "É"]),
        &[(&["STRAßE"], true), (&["é"], true), (&["e"], false)],
    );
    check("StringNotEqualsIgnoreCase", json!("Jane"), &[(&["jANE"], false), (&["jan"], true)]);
    check("StringLike", ab(), &[(&["a"], true), (&["b"], true), (&["b:c/d"], true), (&["B"], false)]);
    check("StringLike", json!("?"), &[(&["é"], true), (&["ab"], false), (&[""], false)]);
    check("StringNotLike", ab(), &[(&["bc"], false), (&["c"], true)]);
    check("StringEquals", json!([true, 5]), &[(&["true"], true), (&["5"], true), (&["5.0"], false)]);
}

#[test]
fn numbers() {
    check(
        "NumericEquals",
        json!([5, "7.50"]),
        &[(&["5.0"], true), (&["7.5"], true), (&["05"], true), (&["6"], false)],
    );
    check("NumericNotEquals", json!([5, 6]), &[(&["5"], false), (&["7"], true)]);
    check("NumericLessThan", json!("10"), &[(&["9"], true), (&["10"], false), (&["-11"], true)]);
    check("NumericLessThanEquals", json!("10"), &[(&["10"], true), (&["10.000000000000000001"], false)]);
    check(
        "NumericGreaterThan",
        json!(9_007_199_254_740_992_i64),
        &[(&["9007199254740993"], true), (&["9007199254740992"], false)],
    );
    check("NumericGreaterThanEquals", json!(-1), &[(&["-1"], true), (&["-1.1"], false)]);
}

#[test]
fn dates() {
    let new_year = || json!("2026-01-01T00:00:00Z");
    check(
        "DateEquals",
        new_year(),
        &[(&["1767225600"], true), (&["2026-01-01T01:00:00+01:00"], true), (&["1767225601"], false)],
    );
    check("DateNotEquals", new_year(), &[(&["1767225600"], false), (&["2025"], true)]);
    check("DateLessThan", new_year(), &[(&["2025-12-31"], true), (&["2026"], false)]);
    check(
        "DateLessThanEquals",
        json!(1_767_225_600),
        &[(&["2026"], true), (&["2026-01-01T00:00:00.001Z"], false)],
    );
    check("DateGreaterThan", new_year(), &[(&["2026-01-01T00:00:01Z"], true), (&["2026"], false)]);
    check("DateGreaterThanEquals", new_year(), &[(&["2026"], true), (&["2025-12-31T23:59:59.9Z"], false)]);
}

#[test]
fn flags_and_bytes() {
    check("Bool", json!("True"), &[(&["true"], true), (&["FALSE"], false)]);
    check("Bool", json!([true, false]), &[(&["true"], true), (&["false"], true)]);
    check(
        "BinaryEquals",
        json!("QmluYXJ5VmFsdWU="),
        &[(&["QmluYXJ5VmFsdWU="], true), (&["qmluYXJ5VmFsdWU="], false)],
    );
}

#[test]
fn addresses() {
    check(
        "IpAddress",
        json!(["203.0.113.0/24", "2001:db8::1"]),
        &[
            (&["203.0.113.255"], true),
            (&["203.0.114.1"], false),
            (&["2001:DB8:0:0::1"], true),
            (&["2001:db8::2"], false),
            (&["::ffff:203.0.113.9"], true),
        ],
    );
    check("NotIpAddress", json!("203.0.113.7"), &[(&["203.0.113.7"], false), (&["203.0.113.8"], true)]);
}

#[test]
fn arns() {
    let role = "arn:aws:iam::123456789012:role/app/Reader";
    for operator in ["ArnEquals", "ArnLike"] {
        check(
            operator,
            json!("arn:aws:iam::*:role/app/*"),
            &[(&[role], true), (&["arn:aws:iam::1:user/app/x"], false)],
        );
        check(
            operator,
            json!(role),
            &[(&[role], true), (&["arn:aws:iam::123456789012:role/app/reader"], false)],
        );
    }
    for operator in ["ArnNotEquals", "ArnNotLike"] {
        check(operator, json!(["arn:aws:iam::*:user/*", "arn:aws:iam::*:role/app/*"]), &[(&[role], false)]);
        check(operator, json!("arn:aws:iam::*:user/*"), &[(&[role], true)]);
    }
}

#[test]
fn presence() {
    check("Null", json!("true"), &[(&["x"], false), (&[], true)]);
    check("Null", json!(false), &[(&["x"], true), (&[""], true), (&[], false)]);
    check("Null", json!(["true", "false"]), &[(&["x"], true), (&[], true)]);
}

#[test]
fn a_missing_key() {
    const POSITIVE: [&str; 17] = [
        "StringEquals",
        "StringEqualsIgnoreCase",
        "StringLike",
        "NumericEquals",
        "NumericLessThan",
        "NumericLessThanEquals",
        "NumericGreaterThan",
        "NumericGreaterThanEquals",
        "DateEquals",
        "DateLessThan",
        "DateLessThanEquals",
        "DateGreaterThan",
        "DateGreaterThanEquals",
        "Bool",
        "BinaryEquals",
        "IpAddress",
        "ArnLike",
    ];
    const NEGATED: [&str; 8] = [
        "StringNotEquals",
        "StringNotEqualsIgnoreCase",
        "StringNotLike",
        "NumericNotEquals",
        "DateNotEquals",
        "NotIpAddress",
        "ArnNotEquals",
        "ArnNotLike",
    ];
    for (operators, holds) in [(POSITIVE.as_slice(), false), (NEGATED.as_slice(), true)] {
        for operator in operators {
            missing(operator, holds);
            missing(&format!("{operator}IfExists"), true);
            missing(&format!("ForAllValues:{operator}"), true);
            missing(&format!("ForAnyValue:{operator}"), false);
            missing(&format!("ForAnyValue:{operator}IfExists"), true);
        }
    }
}

#[test]
fn sets_of_values() {
    check(
        "ForAllValues:StringEquals",
        json!(["a", "b"]),
        &[(&["a", "b", "a"], true), (&["a", "c"], false), (&[], true)],
    );
    check(
        "ForAnyValue:StringEquals",
        json!(["a", "b"]),
        &[(&["c", "a"], true), (&["c"], false), (&[], false)],
    );
    // Of a negated test each value is asked whether it differs from all of the policy's.
    check("ForAllValues:StringNotEquals", json!(["a", "b"]), &[(&["c", "d"], true), (&["c", "a"], false)]);
    check(
        "ForAnyValue:StringNotEquals",
        json!(["a", "b"]),
        &[(&["a", "c"], true), (&["a", "b"], false), (&[], false)],
    );
    check("ForAllValues:NumericLessThan", json!(5), &[(&["1", "4.9"], true), (&["1", "5"], false)]);
    check("StringEquals", json!("a"), &[(&["a"], true)]);
}

#[test]
fn operators_and_keys_are_anded_and_values_ored() {
    let allow = under(
        "Allow",
        json!({
            "StringEquals": {"app:a": ["1", "2"], "app:b": "3"},
            "StringNotEquals": {"app:c": ["4", "5"]},
        }),
    );
    let with =
        |a: &str, b: &str, c: &str| allows(&allow, &[("app:a", &[a]), ("app:b", &[b]), ("app:c", &[c])]);
    assert!(with("1", "3", "6") && with("2", "3", "6"));
    assert!(!with("3", "3", "6") && !with("1", "4", "6") && !with("1", "3", "4"));
    // Two spellings of a key are both tested.
    let twice = under("Allow", json!({"StringEquals": {"app:a": "1", "App:A": "2"}}));
    assert!(!allows(&twice, &[("app:a", &["1"])]) && !allows(&twice, &[("app:a", &["2"])]));
    for nothing in [json!({}), json!({"StringEquals": {}}), json!({"whatever": {}})] {
        assert!(allows(&under("Allow", nothing), &[]), "no condition at all");
    }
    check("StringEquals", json!([]), &[(&["a"], false)]);
    check("StringNotEquals", json!([]), &[(&["a"], true)]);
}

fn tagged(pattern: &str) -> Policy {
    policy(
        json!({"Effect": "Allow", "Action": "*", "Resource": format!("arn:aws:rds-db:*:*:dbuser:db-ABC/{pattern}")}),
    )
}

#[test]
fn variables_in_resources() {
    let team = |value: &'static str| [("AWS:principaltag/TEAM", [value])];
    let allowed = |pattern: &str, tag: &'static str| {
        let [(key, value)] = team(tag);
        allows(&tagged(pattern), &[(key, &[value[0]])])
    };
    assert!(allowed("${aws:PrincipalTag/team}", "jane") && !allowed("${aws:PrincipalTag/team}", "Jane"));
    assert!(allowed("${aws:PrincipalTag/team}ne", "ja") && allowed("j${aws:PrincipalTag/team}*", "a"));
    assert!(
        allowed("${aws:PrincipalTag/none, 'jane'}", "x") && !allowed("${aws:PrincipalTag/team, 'jane'}", "x")
    );
    assert!(allowed("${aws:PrincipalTag/none, ''}*", "x") && !allowed("${aws:PrincipalTag/none}*", "x"));
    assert!(!allowed("${*}", "x") && !allowed("jan${?}", "x"));
    let stars = tagged("${*}${?}${$}{x}");
    let resource = Resource::parse("arn:aws:rds-db:us-east-1:1:dbuser:db-ABC/*?${x}").unwrap();
    assert!(matches!(
        stars.evaluate(&Request::new("a:b", resource, &policy::NoContext)),
        policy::Outcome::Allow(_)
    ));
    // Of many values none is the one that was meant.
    assert!(!allows(&tagged("${app:many}"), &[("app:many", &["jane", "mary"])]));
    // Several, and another element that has its value.
    let either = policy(json!({"Effect": "Allow", "Action": "*", "Resource": [
        "arn:aws:rds-db:*:*:dbuser:${app:x}/${app:y}", "arn:aws:rds-db:*:*:dbuser:${app:z}/jane"]}));
    assert!(
        allows(&either, &[("app:z", &["db-ABC"])])
            && allows(&either, &[("app:x", &["db-ABC"]), ("app:y", &["jane"])])
    );
    assert!(!allows(&either, &[("app:x", &["db-ABC"])]));
}

#[test]
fn a_variable_has_its_meaning_behind_the_fifth_colon_and_from_2012_on() {
    let region = policy(
        json!({"Effect": "Allow", "Action": "*", "Resource": "arn:aws:rds-db:${aws:RequestedRegion}:*:*"}),
    );
    assert!(!allows(&region, &[("aws:RequestedRegion", &["us-east-1"])]));
    let statement = json!({"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"StringEquals": {"app:a": "${app:b}"}}});
    for (version, variable, text) in [("2012-10-17", true, false), ("2008-10-17", false, true)] {
        let document = json!({"Version": version, "Statement": statement}).to_string();
        let policy = Policy::parse(&document, Kind::Inline).unwrap();
        assert_eq!(allows(&policy, &[("app:a", &["x"]), ("app:b", &["x"])]), variable, "{version}");
        assert_eq!(allows(&policy, &[("app:a", &["${app:b}"]), ("app:b", &["x"])]), text, "{version}");
    }
}

#[test]
fn variables_in_conditions() {
    let allow = |operator: &str, value: Json| under("Allow", json!({operator: {"app:a": value}}));
    let with = |policy: &Policy, a: &str, b: &str| allows(policy, &[("app:a", &[a]), ("app:b", &[b])]);
    assert!(with(&allow("StringEquals", json!("<${app:b}>")), "<*>", "*"));
    assert!(
        with(&allow("StringLike", json!("${app:b}/*")), "x/y", "x")
            && !with(&allow("StringLike", json!("${app:b}")), "xy", "x*")
    );
    assert!(with(&allow("StringEqualsIgnoreCase", json!("${app:b}")), "JANE", "jane"));
    assert!(with(&allow("ArnLike", json!("arn:aws:iam::${app:b}:user/*")), "arn:aws:iam::1:user/x", "1"));
    assert!(
        with(&allow("Bool", json!("${app:b}")), "true", "TRUE")
            && !with(&allow("Bool", json!("${app:b}")), "true", "false")
    );
    // Without a value: a positive operator is false, a negated one true; another value may match.
    for (operator, value, holds) in [
        ("StringEquals", json!("${app:none}"), false),
        ("StringNotEquals", json!("${app:none}"), true),
        ("StringNotLike", json!(["${app:none}", "x"]), false),
        ("StringLike", json!(["${app:none}*", "x"]), true),
        ("StringEquals", json!("${app:none, 'x'}"), true),
        ("StringEqualsIgnoreCase", json!("${app:none}"), false),
        ("ArnNotEquals", json!("arn:aws:iam::${app:none}:user/x"), true),
    ] {
        let a = if operator.starts_with("Arn") { "arn:aws:iam::1:user/x" } else { "x" };
        assert_eq!(with(&allow(operator, value.clone()), a, "b"), holds, "{operator} {value}");
    }
    assert!(!with(&allow("Bool", json!("${app:none}")), "true", "b"));
}

#[test]
fn derived_values_are_compared_by_their_type_and_written_as_text() {
    let mut entries = Entries::default();
    entries.set("aws:CurrentTime", vec![Value::Time(1_767_225_600)]);
    entries.set("aws:EpochTime", vec![Value::Number(1_767_225_600)]);
    entries.set("aws:SecureTransport", vec![Value::Flag(true)]);
    entries.set("aws:SourceIp", vec![Value::Address("10.0.0.7".parse().unwrap())]);
    let holds = |condition: Json| {
        let request = Request::new("rds-db:connect", Resource::parse(JANE).unwrap(), &entries);
        matches!(under("Allow", condition).evaluate(&request), policy::Outcome::Allow(_))
    };
    assert!(holds(json!({"DateGreaterThan": {"aws:CurrentTime": "2025-12-31T23:59:59Z"}})));
    assert!(holds(json!({"DateLessThanEquals": {"aws:EpochTime": "2026"}})));
    assert!(holds(json!({"NumericGreaterThan": {"aws:EpochTime": "1767225599"}})));
    assert!(holds(json!({"Bool": {"aws:SecureTransport": "true"}})));
    assert!(holds(json!({"IpAddress": {"aws:SourceIp": "10.0.0.0/24"}})));
    assert!(holds(json!({"StringLike": {"aws:CurrentTime": "2026-01-01T*", "aws:SourceIp": "10.0.0.?"}})));
    assert!(holds(json!({"StringEquals": {"aws:EpochTime": "1767225600", "aws:SecureTransport": "true"}})));
    assert!(!holds(json!({"NumericEquals": {"aws:CurrentTime": "1767225600"}})), "a time is no number");
}

#[test]
fn the_explanation_says_why() {
    let policy = policy(json!([
        {"Effect": "Allow", "Action": ["iam:*", "RDS:*"], "Resource": "*"},
        {"Effect": "Allow", "NotAction": "iam:*", "NotResource": "arn:aws:rds-db:*:*:dbuser:*/${app:who}"},
        {"Sid": "Time", "Effect": "Deny", "Action": "rds-db:*", "Resource": "*",
         "Condition": {"DateLessThan": {"aws:CurrentTime": "2026"}, "StringEquals": {"app:x": ["a", "${app:none}", "${app:none, 'b'}"]}}},
        {"Effect": "Allow", "Action": "*", "Resource": "arn:aws:rds-db:*:*:dbuser:db-ABC/ja${?}*"},
        {"Effect": "Allow", "Action": "*", "Resource": "*"}
    ]));
    let mut entries = Entries::default();
    entries.set("aws:CurrentTime", vec![Value::Time(0)]);
    let reports = policy.explain(&Request::new("rds-db:connect", Resource::parse(JANE).unwrap(), &entries));
    let [first, second, third, fourth, last] = &reports[..] else { panic!("{reports:?}") };
    let Verdict::OtherAction(actions) = &first.verdict else { panic!("{first:?}") };
    assert_eq!((actions.items.join(" "), actions.negated), ("iam:* rds:*".to_owned(), false));
    let Verdict::OtherResource(resources) = &second.verdict else { panic!("{second:?}") };
    assert_eq!((resources.negated, resources.without_value.join(" ")), (true, "app:who".to_owned()));
    assert_eq!(resources.items, ["arn:aws:rds-db:*:*:dbuser:*/${app:who}"]);
    assert_eq!((third.sid.as_deref(), &third.verdict), (Some("Time"), &Verdict::Condition));
    let tests: Vec<_> =
        third.conditions.iter().map(|t| (t.operator.as_str(), t.found.clone(), t.truth)).collect();
    assert_eq!(
        tests,
        [
            ("DateLessThan", Some(vec!["1970-01-01T00:00:00Z".to_owned()]), Truth::True),
            ("StringEquals", None, Truth::False),
        ]
    );
    assert_eq!(third.conditions[1].without_value, ["app:none"]);
    assert_eq!(third.conditions[1].expected[1], "${app:none}");
    let Verdict::OtherResource(resources) = &fourth.verdict else { panic!("{fourth:?}") };
    assert_eq!(resources.items, ["arn:aws:rds-db:*:*:dbuser:db-ABC/ja${?}*"]);
    assert_eq!((last.index, &last.verdict), (4, &Verdict::Applies));
    let keys: Vec<_> = policy.context_keys().collect();
    assert_eq!(keys, ["aws:CurrentTime", "app:x", "app:who", "app:none", "app:none"]);
}
