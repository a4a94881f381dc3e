//! The rules as a table: a document, and all that is said of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use super::*;
use proptest::prelude::*;

const GOOD: &str = "arn:aws:rds-db:us-east-1:123456789012:dbuser:db-ABCDEFGHIJKLMNOPQRSTUVWXYZ/jane";

/// A document of one statement that allows `rds-db:connect`.
fn connect(resource: &str, rest: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"rds-db:connect","Resource":"{resource}"{rest}}}}}"#
    )
}

/// The same with a condition.
fn when(condition: &str) -> String {
    connect(GOOD, &format!(r#","Condition":{condition}"#))
}

/// A document of one statement about IAM users, where every key may have a value.
fn elsewhere(effect: &str, condition: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"{effect}","Action":"iam:GetUser","Resource":"*","Condition":{condition}}}}}"#
    )
}

fn action(action: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":{action},"Resource":"arn:aws:iam::123456789012:user/x"}}}}"#
    )
}

fn arn(last: &str) -> String {
    connect(&format!("arn:aws:rds-db:us-east-1:123456789012:{last}"), "")
}

/// Code and covered text of each finding, without the quotes of a whole string.
fn found(text: &str, kind: Kind, databases: &[KnownDatabase<'_>]) -> Vec<(&'static str, String)> {
    lint(text, kind, databases)
        .into_iter()
        .map(|d| (d.code, text[d.span.start..d.span.end].trim_matches('"').to_owned()))
        .collect()
}

#[track_caller]
fn says(text: &str, expected: &[(&str, &str)]) {
    let found = found(text, Kind::Managed, &[]);
    let found: Vec<(&str, &str)> = found.iter().map(|(code, covered)| (*code, covered.as_str())).collect();
    assert_eq!(found, expected, "{text}\n{:#?}", lint(text, Kind::Managed, &[]));
}

#[track_caller]
fn help(text: &str) -> String {
    lint(text, Kind::Managed, &[]).into_iter().find_map(|d| d.help).unwrap_or_default()
}

#[test]
fn good_policies_have_nothing_said_of_them() {
    // The examples of Amazon's page on IAM policies for database access, with ids and accounts of real length.
    let examples = [
        arn("dbuser:db-ABCDEFGHIJKL01234ABCDEFGHI/db_user"),
        connect("arn:aws:rds-db:us-east-2:123456789012:dbuser:*/db_user", ""),
        connect("arn:aws:rds-db:us-east-2:123456789012:dbuser:cluster-ABCDEFGHIJKL01234ABCDEFGHI/jane_doe", ""),
        connect("arn:aws:rds-db:us-east-2:123456789012:dbuser:prx-ABCDEFGHIJKL01234/db_user", ""),
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["rds-db:connect"],"Resource":[
            "arn:aws:rds-db:us-east-2:123456789012:dbuser:db-ABCDEFGHIJKL01234ABCDEFGHI/jane_doe",
            "arn:aws:rds-db:us-east-2:123456789012:dbuser:db-12ABC34DEFG5HIJ6KLMNOP78QR/jane_doe"]}]}"#
            .to_owned(),
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["rds-db:connect"],"Resource":[
            "arn:aws:rds-db:us-east-2:123456789012:dbuser:db-ABCDEFGHIJKL01234ABCDEFGHI/jane_doe",
            "arn:aws:rds-db:us-east-2:123456789012:dbuser:db-ABCDEFGHIJKL01234ABCDEFGHI/mary_roe"]}]}"#
            .to_owned(),
        // Others that work as they are meant.
        connect("arn:aws:rds-db:*:*:dbuser:*/${aws:username}", ""),
        connect("arn:aws*:rds-db:eu-*:????????????:dbuser:db-*/app_?", ""),
        connect("arn:aws:rds-db:us-east-1:123456789012:dbuser:*/${aws:PrincipalTag/db user, 'guest'}", ""),
        when(r#"{"StringEquals":{"aws:PrincipalTag/team":["a","b"],"aws:ResourceTag/env":"prod"},"Bool":{"aws:SecureTransport":true},
                 "DateLessThan":{"aws:CurrentTime":"2030-01-01"},"NumericLessThan":{"aws:EpochTime":1893456000},
                 "ArnLike":{"aws:PrincipalArn":"arn:aws:iam::123456789012:role/${aws:PrincipalTag/team}-*"}}"#),
        r#"{"Version":"2012-10-17","Statement":[{"Sid":"Admin","Effect":"Allow","Action":"*","Resource":"*"}]}"#
            .to_owned(),
        action(r#"["IAM:getuser","iam:Get*","iam:PassRole","sts:AssumeRole*","s3:Anything","ec2:*"]"#),
        elsewhere("Deny", r#"{"NotIpAddress":{"aws:SourceIp":["10.0.0.0/8","2001:db8::/32"]},"Null":{"aws:TokenIssueTime":"false"}}"#),
        elsewhere("Allow", r#"{"ForAllValues:StringEquals":{"aws:TagKeys":["a"]},"Null":{"AWS:tagkeys":false}}"#),
        elsewhere("Deny", r#"{"ForAnyValue:StringLike":{"aws:TagKeys":"x*"},"StringLike":{"accounts.google.com:sub":"1"}}"#),
    ];
    for example in &examples {
        says(example, &[]);
    }
    let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},
        "Action":["sts:AssumeRole","sts:TagSession"],"Condition":{"StringEquals":{"sts:ExternalId":"12345"}}}]}"#;
    assert_eq!(found(trust, Kind::Trust, &[]), []);
}

#[test]
fn what_aws_refuses_is_one_error_in_its_words() {
    says("{", &[("syntax", "")]);
    says(r#"{"Version":"2012-10-17","Statement":[],}"#, &[("syntax", "}")]);
    let text = arn("dbuser:db-1/jane").replace("Effect", "Efect");
    let diagnostics = lint(&text, Kind::Managed, &[]);
    assert_eq!(diagnostics.len(), 1);
    assert_eq!(diagnostics[0].message, "Syntax errors in policy.");
    assert_eq!(
        diagnostics[0].help.as_deref(),
        Some("`Efect` is not an element of the policy language here: did you mean `Effect`?")
    );
    // What validates not, but parses, is looked through all the same.
    let text = r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Principal":"*","Action":"rds:connect","Resource":"mydb"}]}"#;
    says(text, &[("malformed-policy", "*"), ("unknown-action", "rds:connect")]);
    let text = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"rds-db:connect","Resource":"mydb"}}"#;
    says(text, &[("malformed-policy", "mydb")]);
    assert!(help(text).contains("dbuser:db-"), "{}", help(text));
    let text = arn("dbuser:db-ABCDEFGHIJKLMNOPQRSTUVWXYZ/jane").replace("arn:aws:", "arn:AWS:");
    says(&text, &[("malformed-policy", &GOOD.replace(":aws:", ":AWS:"))]);
    assert_eq!(help(&text), "write `aws`");
    says(&when(r#"{"DateLessThan":{"aws:CurrentTime":"soon"}}"#), &[("malformed-policy", "soon")]);
}

#[test]
fn actions_that_no_service_has() {
    for (written, meant) in [
        ("rds:connect", "rds-db:connect"),
        ("rds:Connect*", "rds-db:connect"),
        ("rds-data:connect", "rds-db:connect"),
        ("RDSDB:Connect", "rds-db:connect"),
        ("rds-db:conect", "rds-db:connect"),
        ("rds-db:Describe*", "rds-db:connect"),
        ("rds:CreateDBInstnce", "rds:CreateDBInstance"),
        ("iam:Getuser s", "iam:GetUser"),
        ("sts:asumerole", "sts:AssumeRole"),
    ] {
        let text = action(&format!(r#"["iam:GetUser","{written}"]"#));
        says(&text, &[("unknown-action", written)]);
        assert_eq!(help(&text), format!("did you mean `{meant}`?"));
    }
    // A pattern that matches nothing and a name like no other may belong to newer lists.
    for written in ["iam:Frobnicate*", "rds:FrobnicateEverything"] {
        let text = action(&format!(r#""{written}""#));
        says(&text, &[("unknown-action", written)]);
        assert_eq!(lint(&text, Kind::Managed, &[])[0].severity, Severity::Warning);
    }
    says(&action(r#""connect""#), &[("malformed-policy", "connect")]);
    assert!(help(&action(r#""connect""#)).contains("rds-db:connect"));
    let statement = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","NotAction":"iam:*","NotResource":"arn:aws:s3:::a"}}"#;
    says(statement, &[("allow-not-action", "iam:*"), ("allow-not-resource", "arn:aws:s3:::a")]);
    says(&statement.replace("Allow", "Deny"), &[]);
}

#[test]
fn resources_that_match_no_login() {
    let id = "db-ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let cases = [
        (GOOD.replace("rds-db", "rds"), "resource-service", "rds"),
        ("arn:aws:s3:::bucket".to_owned(), "resource-service", "s3"),
        (GOOD.replace("rds-db", "RDS-DB"), "resource-service", "RDS-DB"),
        (GOOD.replace("us-east-1", ""), "resource-place", "::"),
        (GOOD.replace("123456789012", ""), "resource-place", "::"),
        (GOOD.replace("123456789012", "1234567890"), "resource-place", "1234567890"),
        (GOOD.replace("us-east-1", "us-east"), "resource-place", "us-east"),
        (GOOD.replace("us-east-1", "US-*"), "resource-place", "US-*"),
        (GOOD.replace("dbuser:", "db:"), "resource-type", "db:"),
        (GOOD.replace("dbuser:", "cluster:"), "resource-type", "cluster:"),
        (GOOD.replace("dbuser:", "dbuser/"), "resource-type", "dbuser/"),
        (GOOD.replace("dbuser:", ""), "resource-type", "db-ABCDEFGHIJKLMNOPQRSTUVWXYZ/"),
        (GOOD.replace("/jane", ""), "resource-user", id),
        (GOOD.replace("/jane", "/"), "resource-user", "/"),
        (GOOD.replace(id, "mydb"), "resource-id", "mydb"),
        (GOOD.replace(id, "db-abcdefghijklmnopqrstuvwxyz"), "resource-id", "db-abcdefghijklmnopqrstuvwxyz"),
        (GOOD.replace(id, "db-ABC"), "resource-id", "db-ABC"),
        (GOOD.replace(id, "db-ABCDEFGHIJKL01234"), "resource-id", "db-ABCDEFGHIJKL01234"),
        (GOOD.replace(id, "db-ABCDEFGHIJKLM_OPQRSTUVWXYZ"), "resource-id", "db-ABCDEFGHIJKLM_OPQRSTUVWXYZ"),
        (GOOD.replace(id, ""), "resource-id", "/"),
        (GOOD.replace(id, "mydb*"), "resource-type", "dbuser:mydb*/jane"),
        (GOOD.replace(id, "db-abc*"), "resource-type", "dbuser:db-abc*/jane"),
        (GOOD.replace("us-east-1", "${aws:RequestedRegion}"), "variable-place", "${aws:RequestedRegion}"),
    ];
    for (resource, code, covered) in &cases {
        let text = connect(resource, "");
        says(&text, &[(code, covered)]);
        assert_eq!(lint(&text, Kind::Managed, &[])[0].severity, Severity::Error, "{resource}");
        assert!(!help(&text).is_empty(), "{resource}");
    }
    assert!(
        help(&arn("dbuser:mydb/jane"))
            .contains("describe-db-instances --query 'DBInstances[].DbiResourceId'")
    );
    assert!(
        help(&arn("dbuser:db-abcdefghijklmnopqrstuvwxyz/jane"))
            .starts_with("write `db-ABCDEFGHIJKLMNOPQRSTUVWXYZ`")
    );
    // Both halves of one ARN can be wrong.
    says(&arn("dbuser:mydb"), &[("resource-id", "mydb"), ("resource-user", "mydb")]);
    // Where another action of the statement has such resources, nothing is wrong with them.
    let text = connect("arn:aws:rds:us-east-1:123456789012:db:mydb", "");
    says(&text.replace(r#""rds-db:connect""#, r#"["rds-db:connect","rds:StartDBInstance"]"#), &[]);
    says(
        &text.replace(r#""rds-db:connect""#, r#"["rds-db:connect","s3:GetObject"]"#),
        &[("resource-service", "rds")],
    );
    says(
        &connect(GOOD, "").replace("rds-db:connect", "rds:DescribeDBInstances"),
        &[("resource-without-action", GOOD)],
    );
}

#[test]
fn resources_that_match_every_user() {
    for (resource, covered) in [
        ("*", "*"),
        ("arn:aws:rds-db:*:*:dbuser:*/*", "*"),
        ("arn:aws:rds-db:*:*:dbuser:*", "*"),
        ("arn:aws:rds-db:*:*:*", "arn:aws:rds-db:*:*:*"),
        ("arn:aws:rds-db:us-east-1", "arn:aws:rds-db:us-east-1"),
        ("arn:aws:rds-db:*:*:dbuser:db-ABCDEFGHIJKLMNOPQRSTUVWXYZ/*", "*"),
    ] {
        says(&connect(resource, ""), &[("any-user", covered)]);
        says(&connect(resource, "").replace("Allow", "Deny"), &[]);
    }
    says(&arn("dbuser:*/app_*"), &[]);
}

#[test]
fn condition_keys_that_do_not_exist() {
    for (key, code, expected) in [
        ("aws:usernme", "unknown-key", "did you mean `aws:username`?"),
        ("username", "unknown-key", "did you mean `aws:username`?"),
        (
            "rds-db:user",
            "unknown-key",
            "`rds-db` has no keys of its own; those of every service begin with `aws:`",
        ),
        ("aws:PrincipalTag", "missing-tag-name", "write it such as `aws:PrincipalTag/team`"),
        ("aws:PrincipalTags/team", "unknown-key", "did you mean `aws:PrincipalTag/team`?"),
    ] {
        let text = when(&format!(r#"{{"StringEquals":{{"{key}":"x"}}}}"#));
        says(&text, &[(code, key)]);
        assert_eq!(help(&text), expected);
    }
    let text = elsewhere("Allow", r#"{"StringEquals":{"aws:username":"a","AWS:UserName":"b"}}"#);
    says(&text, &[("repeated-key", "AWS:UserName")]);
}

#[test]
fn keys_without_a_value_at_a_login() {
    let message = |text: &str| lint(text, Kind::Managed, &[])[0].message.clone();
    for key in [
        "aws:Referer",
        "aws:SourceVpce",
        "aws:UserAgent",
        "aws:RequestTag/a",
        "rds:DatabaseEngine",
        "sts:ExternalId",
    ] {
        let text = when(&format!(r#"{{"StringEquals":{{"{key}":"x"}}}}"#));
        says(&text, &[("no-value-at-connect", key)]);
        assert!(message(&text).contains("never true and the Allow never applies"), "{}", message(&text));
    }
    for operator in [
        "StringNotEquals",
        "StringEqualsIfExists",
        "ForAllValues:StringEquals",
        "ForAnyValue:StringLikeIfExists",
    ] {
        let text = when(&format!(r#"{{"{operator}":{{"aws:SourceVpc":"x"}}}}"#));
        says(&text, &[("no-value-at-connect", "aws:SourceVpc")]);
        assert!(message(&text).contains("always true"), "{}", message(&text));
    }
    let text = when(r#"{"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}}"#).replace("Allow", "Deny");
    says(&text, &[("no-value-at-connect", "aws:SourceIp")]);
    assert!(message(&text).contains("`source-ip`"), "{}", message(&text));
    assert!(message(&text).ends_with("the Deny applies to every login it names"), "{}", message(&text));
    let text = when(r#"{"Null":{"aws:SourceVpc":"true","aws:TagKeys":"false"}}"#);
    says(&text, &[("no-value-at-connect", "aws:SourceVpc"), ("no-value-at-connect", "aws:TagKeys")]);
    assert!(message(&text).contains("always true"), "{}", message(&text));
    // With other actions in the statement the key may be meant for those.
    says(&elsewhere("Allow", r#"{"StringEquals":{"aws:SourceVpc":"x"}}"#), &[]);
}

#[test]
fn operators_that_do_not_fit_their_key() {
    for (operator, key, value) in [
        ("DateLessThan", "aws:username", "2030-01-01"),
        ("StringEquals", "aws:SourceIp", "10.0.0.0/8"),
        ("StringLike", "aws:CurrentTime", "2030*"),
        ("IpAddress", "aws:userid", "10.0.0.1"),
        ("Bool", "aws:PrincipalType", "true"),
        ("NumericEquals", "aws:MultiFactorAuthPresent", "1"),
        ("ArnLike", "aws:username", "arn:aws:iam::*:user/x"),
        ("BinaryEquals", "aws:username", "QQ=="),
    ] {
        says(
            &elsewhere("Allow", &format!(r#"{{"{operator}":{{"{key}":"{value}"}}}}"#)),
            &[("operator-type", key)],
        );
    }
    says(&elsewhere("Allow", r#"{"StringEquals":{"aws:TagKeys":"a"}}"#), &[("many-values", "aws:TagKeys")]);
    says(
        &elsewhere("Allow", r#"{"ForAllValues:StringEquals":{"aws:TagKeys":"a"}}"#),
        &[("for-all-values", "aws:TagKeys")],
    );
    says(&elsewhere("Deny", r#"{"ForAllValues:StringEquals":{"aws:TagKeys":"a"}}"#), &[]);
    says(&elsewhere("Allow", r#"{"StringEquals":{"aws:username":[]}}"#), &[("no-values", "aws:username")]);
}

#[test]
fn values_that_cannot_be_read() {
    for (operator, key, value) in [
        ("NumericLessThan", "aws:MultiFactorAuthAge", "an hour"),
        ("DateLessThan", "aws:CurrentTime", "2026-02-30"),
        ("Bool", "aws:SecureTransport", "yes"),
        ("IpAddress", "aws:SourceIp", "10.0.0"),
        ("ArnEquals", "aws:PrincipalArn", "user/jane"),
        ("BinaryEquals", "my:key", "QQ"),
        ("Null", "aws:TokenIssueTime", "no"),
    ] {
        let text = elsewhere("Allow", &format!(r#"{{"{operator}":{{"{key}":["{value}"]}}}}"#));
        says(&text, &[("unreadable-value", value)]);
        assert!(lint(&text, Kind::Managed, &[])[0].message.ends_with("the Allow never applies"));
        assert!(
            lint(&text.replace("Allow", "Deny"), Kind::Managed, &[])[0]
                .message
                .ends_with("the Deny always applies")
        );
        assert!(help(&text).starts_with("expected "));
    }
    says(&elsewhere("Allow", r#"{"Bool":{"aws:SecureTransport":"${aws:PrincipalTag/tls}"}}"#), &[]);
    let arn =
        elsewhere("Allow", r#"{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::${aws:PrincipalAccount}"}}"#);
    says(&arn, &[("unreadable-value", "arn:aws:iam::${aws:PrincipalAccount}")]);
}

#[test]
fn variables_that_do_not_work() {
    let user = |variable: &str| arn(&format!("dbuser:db-ABCDEFGHIJKLMNOPQRSTUVWXYZ/{variable}"));
    says(&user("${aws:usernam}"), &[("unknown-key", "${aws:usernam}")]);
    says(&user("a${username}b"), &[("unknown-key", "${username}")]);
    says(&user("${aws:PrincipalTag}"), &[("missing-tag-name", "${aws:PrincipalTag}")]);
    says(
        &user("${aws:PrincipalOrgPaths}"),
        &[
            ("variable-with-many-values", "${aws:PrincipalOrgPaths}"),
            ("no-value-at-connect", "${aws:PrincipalOrgPaths}"),
        ],
    );
    says(&user("${aws:SourceVpc}"), &[("no-value-at-connect", "${aws:SourceVpc}")]);
    says(&user("${saml:sub}"), &[("no-value-at-connect", "${saml:sub}")]);
    says(&user("${*}${$}"), &[]);
    says(&user("${aws:username"), &[("malformed-policy", &GOOD.replace("jane", "${aws:username"))]);
    let second = user("${a b}")
        .replace(r#""Resource":"#, r#""Resource":["arn:aws:rds-db:*:*:dbuser:*/${}","#)
        .replace("}\"}}", "}\"]}}");
    says(&second, &[("malformed-policy", "arn:aws:rds-db:*:*:dbuser:*/${}"), ("bad-variable", "${a b}")]);
    says(&action(r#""iam:Get${user}""#), &[("variable-place", "${user}")]);
    says(&action(r#""iam:${aws:username}""#), &[("malformed-policy", "iam:${aws:username}")]);
    for (operator, key) in [
        ("NumericEquals", "aws:MultiFactorAuthAge"),
        ("IpAddress", "aws:SourceIp"),
        ("Null", "aws:username"),
        ("BinaryEquals", "my:key"),
    ] {
        let text = elsewhere("Allow", &format!(r#"{{"{operator}":{{"{key}":"${{aws:username}}"}}}}"#));
        says(&text, &[("variable-place", "${aws:username}")]);
    }
    let old = user("${aws:username}").replace(r#""Version":"2012-10-17","#, "");
    assert_eq!(found(&old, Kind::Inline, &[]), [("variable-in-old-version", "${aws:username}".to_owned())]);
}

#[test]
fn sizes_are_held_against_the_limit_of_the_kind() {
    let of_size = |size: usize| {
        let text = connect(GOOD, r#","Sid":"""#);
        text.replace(r#""Sid":"""#, &format!(r#""Sid":"{}""#, "x".repeat(size - text.len())))
    };
    for (kind, size, severity) in [
        (Kind::Managed, 6_144, None),
        (Kind::Managed, 6_145, Some(Severity::Error)),
        (Kind::Inline, 2_048, None),
        (Kind::Inline, 2_049, Some(Severity::Warning)),
        (Kind::Inline, 10_241, Some(Severity::Error)),
        (Kind::Session, 2_049, Some(Severity::Error)),
        (Kind::ServiceControl, 5_121, Some(Severity::Error)),
    ] {
        let text = of_size(size);
        let of_size: Vec<Severity> =
            lint(&text, kind, &[]).iter().filter(|d| d.code == "policy-size").map(|d| d.severity).collect();
        assert_eq!(of_size, severity.into_iter().collect::<Vec<_>>(), "{kind:?} {size}");
    }
}

#[test]
fn resources_are_held_against_the_databases_there_are() {
    let databases = [
        KnownDatabase {
            resource_id: "db-AAAAAAAAAAAAAAAAAAAAAAAAAA",
            identifier: "mydb",
            region: "us-east-1",
            account: "123456789012",
            cluster: None,
        },
        KnownDatabase {
            resource_id: "db-BBBBBBBBBBBBBBBBBBBBBBBBBB",
            identifier: "writer",
            region: "us-east-1",
            account: "123456789012",
            cluster: Some("cluster-CCCCCCCCCCCCCCCCCCCCCCCCCC"),
        },
        KnownDatabase {
            resource_id: "cluster-CCCCCCCCCCCCCCCCCCCCCCCCCC",
            identifier: "orders",
            region: "us-east-1",
            account: "123456789012",
            cluster: None,
        },
    ];
    let one = |text: &str| {
        let mut found = lint(text, Kind::Managed, &databases);
        assert_eq!(found.len(), 1, "{text} {found:#?}");
        let d = found.remove(0);
        (d.code, d.severity, text[d.span.start..d.span.end].to_owned(), d.help.unwrap_or_default())
    };
    for good in ["db-AAAAAAAAAAAAAAAAAAAAAAAAAA", "cluster-CCCCCCCCCCCCCCCCCCCCCCCCCC", "*"] {
        assert_eq!(lint(&arn(&format!("dbuser:{good}/jane")), Kind::Managed, &databases), []);
    }
    let (code, severity, covered, help) = one(&arn("dbuser:db-BBBBBBBBBBBBBBBBBBBBBBBBBB/jane"));
    assert_eq!(
        (code, severity, covered.as_str()),
        ("cluster-member", Severity::Error, "db-BBBBBBBBBBBBBBBBBBBBBBBBBB")
    );
    assert_eq!(help, "write `cluster-CCCCCCCCCCCCCCCCCCCCCCCCCC`");
    let (code, severity, ..) = one(&arn("dbuser:db-DDDDDDDDDDDDDDDDDDDDDDDDDD/jane"));
    assert_eq!((code, severity), ("unknown-database", Severity::Warning));
    for (identifier, id) in [
        ("mydb", "db-AAAAAAAAAAAAAAAAAAAAAAAAAA"),
        ("writer", "cluster-CCCCCCCCCCCCCCCCCCCCCCCCCC"),
        ("Orders", "cluster-CCCCCCCCCCCCCCCCCCCCCCCCCC"),
    ] {
        let (code, _, covered, help) = one(&arn(&format!("dbuser:{identifier}/jane")));
        assert_eq!((code, covered.as_str()), ("resource-id", identifier));
        assert!(help.ends_with(&format!("is `{id}`")), "{help}");
    }
    let elsewhere = arn("dbuser:db-AAAAAAAAAAAAAAAAAAAAAAAAAA/jane");
    let (code, _, covered, help) = one(&elsewhere.replace("us-east-1", "us-west-2"));
    assert_eq!((code, covered.as_str(), help.as_str()), ("other-place", "us-west-2", "write `us-east-1`"));
    let (code, _, covered, _) = one(&elsewhere.replace("123456789012", "210987654321"));
    assert_eq!((code, covered.as_str()), ("other-place", "210987654321"));
    assert_eq!(lint(&elsewhere.replace("us-east-1", "us-*"), Kind::Managed, &databases), []);
}

#[test]
fn places_are_those_of_the_text_whatever_is_escaped() {
    let text = arn(r#"dbuser:db-ABCDEFGHIJKLMNOPQRSTUVWXYZ/\u00e9\"\ud83d\ude00é${aws:usernam}"#);
    says(&text, &[("unknown-key", "${aws:usernam}")]);
    let text = text.replace("${aws:usernam}", r"\u0024{aws:usernam}");
    says(&text, &[("unknown-key", r"\u0024{aws:usernam}")]);
}

/// Words that policies are made of, put together at random.
fn word() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "arn:aws:rds-db:",
        "us-east-1:",
        "123456789012:",
        "dbuser:",
        "db-ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        "/",
        "jane",
        "*",
        "?",
        ":",
        "${",
        "}",
        "aws:username",
        "aws:PrincipalTag/",
        ",",
        "'",
        " ",
        "é",
        "\\u00e9",
        "\\ud83d\\ude00",
        "\\\"",
        "rds",
        "-db",
        ":connect",
        "$",
        "2026-01-01",
        "T",
        "10.0.0.0/8",
        "true",
        "1e9",
    ])
    .prop_map(str::to_owned)
}

fn words() -> impl Strategy<Value = String> {
    prop::collection::vec(word(), 0..8).prop_map(|words| words.concat())
}

fn check_spans(text: &str) -> Result<(), TestCaseError> {
    for kind in [Kind::Managed, Kind::Inline, Kind::Trust, Kind::Session, Kind::ServiceControl] {
        for d in lint(text, kind, &[]) {
            prop_assert!(d.span.start <= d.span.end, "{d:?}");
            prop_assert!(text.get(d.span.start..d.span.end).is_some(), "{d:?}");
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_text_is_taken(text in ".{0,200}") {
        check_spans(&text)?;
    }

    #[test]
    fn any_policy_is_taken(
        version in prop::sample::select(vec!["2012-10-17", "2008-10-17"]),
        effect in prop::sample::select(vec!["Allow", "Deny", "allow"]),
        action in words(), resource in words(), key in words(), value in words(),
        operator in prop::sample::select(vec![
            "StringEquals", "NumericEquals", "DateLessThan", "Bool", "BinaryEquals", "NotIpAddress", "ArnLike", "Null",
            "ForAllValues:StringLike", "ForAnyValue:StringNotEqualsIfExists",
        ]),
    ) {
        let text = format!(
            r#"{{"Version":"{version}","Statement":[{{"Effect":"{effect}","Action":["rds-db:connect","{action}"],"Resource":["{resource}"],"Condition":{{"{operator}":{{"{key}":["{value}"]}}}}}}]}}"#
        );
        check_spans(&text)?;
    }
}
