//! The policy simulator as `aws iam simulate-principal-policy` and `aws iam simulate-custom-policy` ask it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use countersign_tests::{Door, Server};

const OWN: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"rds-db:connect","Resource":"arn:aws:rds-db:*:*:dbuser:*/${aws:username}","Condition":{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}}]}"#;
const AFTER: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"dynamodb:*","Resource":"*","Condition":{"DateGreaterThan":{"aws:CurrentTime":"2018-08-16T12:00:00Z"}}}}"#;
const JANE: &str = "arn:aws:iam::123456789012:user/jane";

fn dbuser(name: &str) -> String {
    format!("arn:aws:rds-db:us-east-1:123456789012:dbuser:db-ABCDEFGHIJKLMNOPQRSTUVWXYZ/{name}")
}

#[test]
fn what_a_user_may_is_asked_before_it_is_done() {
    let server = Server::start(Door::usual());
    let key = server.create_user("jane", Some(OWN));
    let (jane, bob) = (dbuser("jane"), dbuser("bob"));

    let ask = |more: &[&str]| {
        let command = ["iam", "simulate-principal-policy", "--policy-source-arn", JANE, "--output", "text"];
        server.aws(&[&command, more].concat()).succeed()
    };
    let connect = [
        "--action-names",
        "rds-db:connect",
        "iam:CreateUser",
        "--resource-arns",
        jane.as_str(),
        bob.as_str(),
    ];
    let from =
        |address: &str| format!("ContextKeyName=aws:SourceIp,ContextKeyValues={address},ContextKeyType=ip");
    let inside = from("192.0.2.7");
    let decisions = ["--query", "EvaluationResults[].[EvalActionName, EvalResourceName, EvalDecision]"];
    assert_eq!(
        ask(&[&connect[..], &["--context-entries", &inside], &decisions].concat()),
        [
            format!("rds-db:connect\t{jane}\tallowed"),
            format!("rds-db:connect\t{bob}\timplicitDeny"),
            format!("iam:CreateUser\t{jane}\timplicitDeny"),
            format!("iam:CreateUser\t{bob}\timplicitDeny"),
        ]
        .join("\n")
    );
    let outside = from("198.51.100.1");
    let allowed = ["--query", "EvaluationResults[?EvalDecision=='allowed'].EvalResourceName"];
    assert_eq!(ask(&[&connect[..], &["--context-entries", &outside], &allowed].concat()), "");
    // Another page is fetched where the client asks for small ones, and every result comes once.
    let paged = ask(&[&connect[..], &["--page-size", "1"], &decisions].concat());
    assert_eq!(paged.lines().count(), 4, "{paged}");

    // What was not said is named, and which statement it was is shown.
    let missing = ["--query", "EvaluationResults[0].MissingContextValues"];
    assert_eq!(ask(&[&connect[..], &missing].concat()), "aws:SourceIp");
    let keys = ["iam", "get-context-keys-for-principal-policy", "--policy-source-arn", JANE];
    let keys =
        server.aws(&[&keys[..], &["--query", "ContextKeyNames", "--output", "text"]].concat()).succeed();
    assert_eq!(keys, "aws:SourceIp\taws:username");
    let matched =
        ["--query", "EvaluationResults[0].MatchedStatements[0].[SourcePolicyId, StartPosition.Column]"];
    let matched = ask(&[&connect[..], &["--context-entries", &inside], &matched].concat());
    assert_eq!(matched, "user_jane_inline\t38");

    // What a boundary would take away.
    let boundary =
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#;
    let boundary = ["--context-entries", &inside, "--permissions-boundary-policy-input-list", boundary];
    let limited = [
        "--query",
        "EvaluationResults[0].[EvalDecision, PermissionsBoundaryDecisionDetail.AllowedByPermissionsBoundary]",
    ];
    assert_eq!(ask(&[&connect[..], &boundary, &limited].concat()), "implicitDeny\tFalse");

    // To ask about others is a permission of its own.
    let own = server.aws_as(
        &key,
        &[&["iam", "simulate-principal-policy", "--policy-source-arn", JANE][..], &connect].concat(),
    );
    own.fail_with("is not authorized to perform: iam:SimulatePrincipalPolicy on resource: arn:aws:iam::123456789012:user/jane");
}

#[test]
fn a_document_is_asked_before_it_is_attached() {
    let server = Server::start(Door::usual());
    let ask = |more: &[&str]| {
        let command = ["iam", "simulate-custom-policy", "--output", "text"];
        server.aws(&[&command, more].concat())
    };
    let create = ["--policy-input-list", AFTER, "--action-names", "dynamodb:CreateBackup"];
    let decided = [
        "--query",
        "EvaluationResults[].[EvalDecision, EvalResourceName, MatchedStatements[0].SourcePolicyId]",
    ];
    // As in the AWS CLI's own examples.
    for (time, expected) in [
        ("2019-04-25T11:00:00Z", "allowed\t*\tPolicyInputList.1"),
        ("2014-04-25T11:00:00Z", "implicitDeny\t*\tNone"),
    ] {
        let entry = format!("ContextKeyName='aws:CurrentTime',ContextKeyValues='{time}',ContextKeyType=date");
        let answer = ask(&[&create[..], &["--context-entries", &entry], &decided].concat());
        assert_eq!(answer.succeed(), expected);
    }
    // The time is known where it is not given.
    assert_eq!(ask(&[&create[..], &decided].concat()).succeed(), "allowed\t*\tPolicyInputList.1");

    server.create_user("jane", None);
    let jane = dbuser("jane");
    let connect = ["--policy-input-list", OWN, "--action-names", "rds-db:connect", "--resource-arns", &jane];
    let inside = "ContextKeyName=aws:SourceIp,ContextKeyValues=192.0.2.7,ContextKeyType=ip";
    let decision = ["--context-entries", inside, "--query", "EvaluationResults[].EvalDecision"];
    assert_eq!(ask(&[&connect[..], &decision].concat()).succeed(), "implicitDeny");
    assert_eq!(ask(&[&connect[..], &["--caller-arn", JANE], &decision].concat()).succeed(), "allowed");

    let tomorrow = "ContextKeyName=aws:CurrentTime,ContextKeyValues=tomorrow,ContextKeyType=date";
    ask(&[&create[..], &["--context-entries", tomorrow]].concat())
        .fail_with("Invalid value tomorrow of context key aws:CurrentTime: the type date takes a date");
    ask(&["--policy-input-list", "{", "--action-names", "a:b"]).fail_with("(InvalidInput)");
    ask(&[&create[..], &["--resource-policy", AFTER]].concat()).fail_with("ResourcePolicy is not supported");
}
