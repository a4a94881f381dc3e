//! Conformance: documents whose answer from AWS was recorded, and rules of the same recordings in short form.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "a test says so by panicking"
)]

use std::path::Path;

use policy::{Document, Kind, Malformed, Policy, Reason, validate};
use serde_json::{Value, json};

fn check(text: &str, kind: Kind) -> Result<(), Malformed> {
    validate(&Document::parse(text)?, kind)
}

fn message(text: &str, kind: Kind) -> String {
    check(text, kind).map_or_else(|e| e.to_string(), |()| "accepted".into())
}

fn assert_recorded(rejected: &[(String, String)], accepted: &[String]) {
    for (document, expected) in rejected {
        assert_eq!(&message(document, Kind::Managed), expected, "{document}");
    }
    for document in accepted {
        assert_eq!(message(document, Kind::Managed), "accepted", "{document}");
        // What validates is compiled in full.
        assert!(Policy::parse(document, Kind::Managed).is_ok(), "{document}");
    }
}

#[test]
fn answers_as_aws_was_recorded_to_answer() {
    let recorded: Value = serde_json::from_str(include_str!("data/recorded.json")).unwrap();
    let texts = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let rejected: Vec<_> = recorded["rejected"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(message, documents)| texts(documents).into_iter().map(move |d| (d, message.clone())))
        .collect();
    let accepted = texts(&recorded["accepted"]);
    assert_eq!((rejected.len(), accepted.len()), (52, 36));
    assert_recorded(&rejected, &accepted);
}

/// The folder named by `COUNTERSIGN_VECTORS` may hold recordings that this repository does not.
#[test]
fn answers_as_recorded_in_the_vectors_folder() {
    let Some(folder) = std::env::var_os("COUNTERSIGN_VECTORS") else { return };
    let read = |name: &str| -> Vec<Value> {
        let path = Path::new(&folder).join("policy-documents").join(name);
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    };
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    let rejected: Vec<_> =
        read("rejected.json").iter().map(|r| (text(&r["document"]), text(&r["message"]))).collect();
    let accepted: Vec<_> = read("accepted.json").iter().map(text).collect();
    assert_recorded(&rejected, &accepted);
}

/// A statement that is valid, with some elements replaced or (with null) removed.
fn statement(changes: Value) -> Value {
    let mut statement =
        json!({"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::example_bucket"});
    for (element, value) in changes.as_object().unwrap() {
        if value.is_null() {
            statement.as_object_mut().unwrap().remove(element);
        } else {
            statement[element] = value.clone();
        }
    }
    statement
}

fn document(statements: Value) -> String {
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

#[test]
fn each_rule_has_its_message() {
    const LEGACY: &str = "The policy failed legacy parsing";
    const SYNTAX: &str = "Syntax errors in policy.";
    const VENDOR: &str = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.";
    const RESOURCE_VENDOR: &str = "Resource vendor must be fully qualified and cannot contain regexes.";
    for (changes, expected) in [
        (json!({"Action": "invalid"}), VENDOR),
        (json!({"Action": "invalid", "Resource": null}), VENDOR),
        (json!({"Action": "s3:List:Bucket"}), "Actions/Condition can contain only one colon."),
        (json!({"Action": "*:*"}), "Vendor * is not valid"),
        (json!({"Action": ":x"}), "Vendor  is not valid"),
        (json!({"Resource": ""}), "Resource  must be in ARN format or \"*\"."),
        (json!({"Resource": "a:aws:s3:::b"}), "Resource a:aws:s3:::b must be in ARN format or \"*\"."),
        (
            json!({"Resource": "a:b:c:d:e:f:g:h"}),
            "Partition \"b\" is not valid for resource \"arn:b:c:d:e:f:g:h\".",
        ),
        (json!({"Resource": "arn:aws"}), RESOURCE_VENDOR),
        (json!({"Resource": "arn:aws:*:*:*:*"}), RESOURCE_VENDOR),
        (json!({"Resource": "arn:aws::fdsasf"}), LEGACY),
        (json!({"Resource": "arn:aws::::example_bucket"}), LEGACY),
        (json!({"Resource": null, "NotResource": "arn:aws:s3::example_bucket"}), LEGACY),
        (json!({"Resource": "arn:*:s3:::b"}), "accepted"),
        (
            json!({"Resource": "arn:aws:iam:::example_bucket"}),
            "IAM resource path must either be \"*\" or start with user/, federated-user/, role/, group/, \
             instance-profile/, mfa/, server-certificate/, policy/, sms-mfa/, saml-provider/, oidc-provider/, \
             report/, access-report/.",
        ),
        (
            json!({"Resource": "arn:aws:iam:123456789012:policy/x"}),
            "IAM resource arn:aws:iam:123456789012:policy/x cannot contain region information.",
        ),
        (
            json!({"Resource": "arn:aws:s3:us-east-1::example_bucket"}),
            "Resource arn:aws:s3:us-east-1::example_bucket can not contain region information.",
        ),
        (json!({"Resource": "arn:aws:s3:us-west-2:123456789012:accesspoint/a"}), "accepted"),
        (json!({"NotResource": "*"}), SYNTAX),
        (json!({"NotResource": []}), SYNTAX),
        (json!({"Action": {}}), SYNTAX),
        (json!({"Action": 1}), SYNTAX),
        (json!({"Effect": true}), SYNTAX),
        (json!({"Condition": {"a": "b"}}), SYNTAX),
        (json!({"Condition": {"StringEquals": {"a": null}}}), SYNTAX),
        (json!({"Condition": {"ForAnyValue::StringEqualsIfExists": {"a": "b"}}}), SYNTAX),
        (json!({"Condition": {"NumericEquals": {"a": [1, "2"]}, "Bool": {"b": true}}}), "accepted"),
        (json!({"Condition": {"DateEquals": {"a": 1498867200}}}), "accepted"),
        (json!({"Condition": {"DateEquals": {"a": true}}}), LEGACY),
        (json!({"Principal": "*"}), "Policy document should not specify a principal."),
    ] {
        assert_eq!(message(&document(statement(changes.clone())), Kind::Managed), expected, "{changes}");
    }
    for statements in [json!([]), json!(["afd"]), json!("afd")] {
        assert_eq!(message(&document(statements), Kind::Managed), SYNTAX);
    }
}

#[test]
fn sids_are_unique_and_checked_before_actions() {
    let twice = document(json!([statement(json!({"Sid": "x"})), {"Sid": "x", "Effect": "Allow"}]));
    let error = check(&twice, Kind::Managed).unwrap_err();
    assert_eq!(error.to_string(), "Statement IDs (SID) in a single policy must be unique.");
    let span = error.span().unwrap();
    assert_eq!(&twice[span.start..span.end], "\"x\"");
    assert!(span.start > twice.len() / 2, "the second Sid is at fault, not the first");
}

#[test]
fn the_old_version_is_for_inline_policies_only() {
    for version in [json!("2008-10-17"), Value::Null] {
        let mut policy = json!({"Version": version, "Statement": statement(json!({}))});
        if version.is_null() {
            policy.as_object_mut().unwrap().remove("Version");
        }
        let text = policy.to_string();
        assert_eq!(message(&text, Kind::Managed), "Policy document must be version 2012-10-17 or greater.");
        assert_eq!(message(&text, Kind::Inline), "accepted");
    }
}

#[test]
fn a_session_policy_needs_complete_arns() {
    let text = document(statement(json!({"Resource": "arn:aws:fdsasf"})));
    assert_eq!(message(&text, Kind::Inline), "accepted");
    assert_eq!(message(&text, Kind::Session), "Resource arn:aws:fdsasf must be in ARN format or \"*\".");
}

#[test]
fn unknown_and_duplicate_keys_are_errors_that_say_which() {
    let text = r#"{"Statement": {"Effect": "Allow", "Action": "a:b", "Action": "c:d", "Resource": "*"}}"#;
    let error = Document::parse(text).unwrap_err();
    assert_eq!((error.reason(), error.detail()), (&Reason::Syntax, Some("the key `Action` appears twice")));
    let text = r#"{"Statement": {"Effect": "Allow", "action": "a:b", "Resource": "*"}}"#;
    let error = Document::parse(text).unwrap_err();
    assert_eq!(
        error.detail(),
        Some("`action` is not an element of the policy language here: did you mean `Action`?")
    );
}

#[test]
fn size_and_depth_are_limited() {
    let long = format!("{}{}", document(statement(json!({}))), " ".repeat(policy::MAX_DOCUMENT_BYTES));
    assert_eq!(Document::parse(&long).unwrap_err().detail(), Some("longer than 131072 bytes"));
    let deep = format!("{{\"Statement\": {}{}}}", "[".repeat(40), "]".repeat(40));
    assert_eq!(Document::parse(&deep).unwrap_err().detail(), Some("nested deeper than 32 levels"));
    assert_eq!(policy::size_without_whitespace("{ \"é\":\n\t1 }"), 7);
}

#[test]
fn what_does_not_begin_a_variable_is_refused_and_shown() {
    for (changes, written) in [
        (json!({"Resource": "arn:aws:s3:::b/${aws:username"}), "`${aws:username`: "),
        (json!({"Resource": null, "NotResource": ["arn:aws:s3:::b/${}"]}), "`${}`: "),
        (json!({"Condition": {"StringLike": {"a:b": ["x", "y${aws:PrincipalTag/a, none}"]}}}), "none}`: "),
        (json!({"Condition": {"ForAllValues:ArnLikeIfExists": {"a:b": "${a b}"}}}), "`${a b}`: "),
        (json!({"Condition": {"Bool": {"a:b": "${"}}}), "`${`: "),
    ] {
        let text = document(statement(changes.clone()));
        let error = check(&text, Kind::Managed).unwrap_err();
        assert_eq!(error.to_string(), "The policy failed legacy parsing", "{changes}");
        assert!(error.detail().unwrap().contains(written), "{error:?}");
        let span = error.span().unwrap();
        assert!(text[span.start..span.end].contains("${"), "{error:?}");
    }
    // Where a variable has no meaning `${` is text like any other: before the fifth colon, with operators that take none,
    // in actions, and in the language of 2008.
    for changes in [
        json!({"Resource": "arn:aws:s3:${a:b:c:d"}),
        json!({"Condition": {"NumericEquals": {"a:b": "${"}, "Null": {"a:b": "${"}}}),
        json!({"Action": "s3:${"}),
    ] {
        let text = document(statement(changes.clone()));
        assert!(Policy::parse(&text, Kind::Managed).is_ok(), "{changes}");
    }
    let old =
        json!({"Version": "2008-10-17", "Statement": statement(json!({"Resource": "arn:aws:s3:::b/${"}))});
    assert!(Policy::parse(&old.to_string(), Kind::Inline).is_ok());
}
