//! The matching rules, one by one: each is an error that some engine makes.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test says so by panicking"
)]

use policy::{Kind, NoContext, Outcome, Policy, Request, Resource};

fn compile(text: &str) -> Policy {
    Policy::parse(text, Kind::Inline).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn one(effect: &str, action: &str, resource: &str) -> Policy {
    compile(&format!(
        r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "{effect}", "Action": "{action}", "Resource": "{resource}"}}}}"#
    ))
}

fn ask(policy: &Policy, action: &str, resource: &str) -> Outcome {
    policy.evaluate(&Request::new(action, Resource::parse(resource).unwrap(), &NoContext))
}

fn allows(policy: &Policy, action: &str, resource: &str) -> bool {
    matches!(ask(policy, action, resource), Outcome::Allow(_))
}

const JANE: &str = "arn:aws:rds-db:us-east-1:123456789012:dbuser:db-ABC/jane";

#[test]
fn policies_can_be_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Policy>();
}

#[test]
fn an_action_of_any_length_is_compared_without_case() {
    let long = format!("iam:{}", "Ab".repeat(100));
    assert!(allows(&one("Allow", &long, "*"), &long.to_lowercase(), "*"));
    assert!(allows(&one("Allow", "IAM:a*B", "*"), &long, "*"));
    assert!(!allows(&one("Allow", &long, "*"), &format!("{long}x"), "*"));
}

#[test]
fn a_wildcard_in_the_first_five_parts_does_not_swallow_a_colon() {
    for pattern in
        ["arn:aws:rds-db:*:dbuser:db-ABC/jane", "arn:aws:rds-db:us-east-1:*/jane", "arn:aws:rds-db:*/jane"]
    {
        assert!(!allows(&one("Allow", "rds-db:connect", pattern), "rds-db:connect", JANE), "{pattern}");
    }
    assert!(allows(
        &one("Allow", "rds-db:connect", "arn:*:rds-db:us-*-1:1*2:dbuser:db-ABC/jane"),
        "rds-db:connect",
        JANE
    ));
}

#[test]
fn the_sixth_part_is_matched_as_a_whole() {
    let policy = one("Allow", "rds-db:connect", "arn:aws:rds-db:us-east-1:123456789012:dbuser:*/jane");
    assert!(allows(&policy, "rds-db:connect", JANE));
    assert!(allows(&policy, "rds-db:connect", "arn:aws:rds-db:us-east-1:123456789012:dbuser:db-ABC/x/jane"));
    assert!(!allows(&policy, "rds-db:connect", "arn:aws:rds-db:us-east-1:123456789012:dbuser:db-ABC/mary"));
    let policy = one("Allow", "rds-db:connect", "arn:aws:rds-db:us-east-1:123456789012:*e");
    assert!(allows(&policy, "rds-db:connect", JANE));
}

#[test]
fn an_incomplete_arn_is_completed_with_a_star() {
    for pattern in ["arn:aws:rds-db", "arn:aws:rds-db:us-east-1", "arn:aws:rds-db:us-east-1:123456789012"] {
        assert!(allows(&one("Allow", "rds-db:connect", pattern), "rds-db:connect", JANE), "{pattern}");
    }
    assert!(!allows(&one("Allow", "rds-db:connect", "arn:aws:rds"), "rds-db:connect", JANE));
}

#[test]
fn other_partition_region_account_and_service_do_not_match() {
    let policy = one("Allow", "rds-db:connect", JANE);
    for other in [
        "arn:aws-cn:rds-db:us-east-1:123456789012:dbuser:db-ABC/jane",
        "arn:aws:rds:us-east-1:123456789012:dbuser:db-ABC/jane",
        "arn:aws:rds-db:eu-west-1:123456789012:dbuser:db-ABC/jane",
        "arn:aws:rds-db:us-east-1:210987654321:dbuser:db-ABC/jane",
    ] {
        assert!(!allows(&policy, "rds-db:connect", other), "{other}");
    }
}

#[test]
fn explicit_deny_wins_wherever_it_stands() {
    for order in [["Allow", "Deny"], ["Deny", "Allow"]] {
        let policy = compile(&format!(
            r#"{{"Statement": [{{"Sid": "A", "Effect": "{}", "Action": "*", "Resource": "*"}},
                               {{"Sid": "B", "Effect": "{}", "Action": "*", "Resource": "*"}}]}}"#,
            order[0], order[1]
        ));
        let Outcome::Deny(statement) = ask(&policy, "rds-db:connect", JANE) else { panic!("{order:?}") };
        assert_eq!(policy.sid(statement.index), Some(if order[0] == "Deny" { "A" } else { "B" }));
    }
}

#[test]
fn not_action_and_not_resource_apply_to_everything_else() {
    let policy = compile(
        r#"{"Statement": [
            {"Effect": "Allow", "NotAction": ["iam:*", "sts:*"], "Resource": "*"},
            {"Sid": "", "Effect": "Deny", "Action": "rds-db:connect",
             "NotResource": ["arn:aws:rds-db:*:*:dbuser:db-ABC/*", "arn:aws:rds-db:*:*:dbuser:db-DEF/jane"]}]}"#,
    );
    assert!(allows(&policy, "rds-db:connect", JANE));
    assert_eq!(ask(&policy, "iam:CreateUser", "*"), Outcome::NoMatch);
    let Outcome::Deny(statement) =
        ask(&policy, "rds-db:connect", "arn:aws:rds-db:us-east-1:123456789012:dbuser:db-DEF/mary")
    else {
        panic!("only jane may use db-DEF")
    };
    assert_eq!((statement.index, policy.sid(1), policy.sid(2)), (1, None, None));
}

#[test]
fn a_call_that_has_no_resource_is_matched_by_the_star_alone() {
    assert!(allows(&one("Allow", "rds:Describe*", "*"), "rds:DescribeDBInstances", "*"));
    for pattern in ["arn:aws:rds:*:*:*", "arn:*:rds:*:*:*", "arn:aws:rds"] {
        assert!(!allows(&one("Allow", "rds:*", pattern), "rds:DescribeDBInstances", "*"), "{pattern}");
    }
    let except = compile(
        r#"{"Statement": {"Effect": "Allow", "Action": "rds:*", "NotResource": "arn:aws:rds:*:*:*"}}"#,
    );
    assert!(allows(&except, "rds:DescribeDBInstances", "*"));
    let nothing = compile(r#"{"Statement": {"Effect": "Allow", "Action": "rds:*", "NotResource": "*"}}"#);
    assert!(!allows(&nothing, "rds:DescribeDBInstances", "*"));
}

#[test]
fn wildcards_in_a_request_are_plain_characters() {
    let policy = one("Allow", "rds-db:connect", JANE);
    assert!(!allows(&policy, "rds-db:*", JANE));
    assert!(!allows(&policy, "rds-db:connect", "arn:aws:rds-db:us-east-1:123456789012:dbuser:*"));
    assert!(!allows(&policy, "rds-db:connect", "arn:aws:rds-db:*:*:dbuser:db-ABC/jane"));
}

#[test]
fn an_arn_of_a_request_has_six_parts() {
    assert!(Resource::parse("arn:aws:iam::123456789012").is_err());
    assert!(Resource::parse("arn:aws::::x").is_err());
    assert_eq!(Resource::parse("arn:aws:s3:::a:b/c").unwrap().resource, "a:b/c");
    assert_eq!(Resource::parse("*").unwrap(), Resource::any());
}
