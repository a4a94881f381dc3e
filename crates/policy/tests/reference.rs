//! The compiled policy against a slow, literal evaluator that reads the document anew for every request.
//!
//! The reference shares no code with the crate: it works on the JSON and on text, from the written rules.
#![allow(clippy::unwrap_used, reason = "a test says so by panicking")]

use policy::{Kind, Outcome, Policy, Request, Resource, StatementRef};
use proptest::prelude::*;
use serde_json::{Value, json};

mod reference {
    use serde_json::Value;

    /// Effect and position of the statement that decides.
    pub(crate) fn decide(document: &Value, action: &str, resource: &str) -> Option<(bool, usize)> {
        let statements = many(&document["Statement"]);
        let applying: Vec<(bool, usize)> = statements
            .iter()
            .enumerate()
            .filter(|(_, statement)| applies(statement, action, resource))
            .map(|(index, statement)| (statement["Effect"] == "Allow", index))
            .collect();
        let first = |allow| applying.iter().find(|(is_allow, _)| *is_allow == allow).copied();
        first(false).or_else(|| first(true))
    }

    fn applies(statement: &Value, action: &str, resource: &str) -> bool {
        let action = action.to_lowercase();
        let action_in = |list: &Value| texts(list).iter().any(|p| wildcard(&p.to_lowercase(), &action));
        let resource_in = |list: &Value| texts(list).iter().any(|p| resource_matches(p, resource));
        let of_action = match statement.get("Action") {
            Some(list) => action_in(list),
            None => !action_in(&statement["NotAction"]),
        };
        let of_resource = match statement.get("Resource") {
            Some(list) => resource_in(list),
            None => !resource_in(&statement["NotResource"]),
        };
        of_action && of_resource
    }

    fn resource_matches(pattern: &str, resource: &str) -> bool {
        if pattern == "*" {
            return true;
        }
        if resource == "*" {
            return false;
        }
        let mut patterns: Vec<&str> = pattern.splitn(6, ':').collect();
        patterns.resize(6, "*");
        let parts: Vec<&str> = resource.splitn(6, ':').collect();
        patterns.len() == parts.len() && patterns.iter().zip(parts).all(|(p, s)| wildcard(p, s))
    }

    fn wildcard(pattern: &str, subject: &str) -> bool {
        let mut pattern_chars = pattern.chars();
        let Some(first) = pattern_chars.next() else { return subject.is_empty() };
        let rest = pattern_chars.as_str();
        let mut subject_chars = subject.chars();
        match first {
            '*' => {
                wildcard(rest, subject)
                    || subject_chars.next().is_some_and(|_| wildcard(pattern, subject_chars.as_str()))
            }
            '?' => subject_chars.next().is_some_and(|_| wildcard(rest, subject_chars.as_str())),
            _ => subject_chars.next() == Some(first) && wildcard(rest, subject_chars.as_str()),
        }
    }

    fn many(value: &Value) -> Vec<&Value> {
        value.as_array().map_or_else(|| vec![value], |list| list.iter().collect())
    }

    fn texts(value: &Value) -> Vec<&str> {
        many(value).into_iter().map(|v| v.as_str().unwrap()).collect()
    }
}

/// Few words in every place, so that patterns and requests meet often.
fn one_of(words: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop::sample::select(words)
}

fn some_of(
    words: &'static [&'static str],
    how_many: std::ops::Range<usize>,
) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(words), how_many).prop_map(|words| words.concat())
}

fn action_pattern() -> impl Strategy<Value = String> {
    let named =
        (one_of(&["rds-db", "RDS-DB", "iam"]), some_of(&["con", "Con", "*", "?", "nect", "Get"], 1..4))
            .prop_map(|(vendor, name)| format!("{vendor}:{name}"));
    prop_oneof![1 => Just("*".to_owned()), 6 => named]
}

fn action() -> impl Strategy<Value = String> {
    (one_of(&["rds-db", "Rds-Db", "iam"]), some_of(&["con", "Con", "nect", "Get"], 1..4))
        .prop_map(|(vendor, name)| format!("{vendor}:{name}"))
}

fn tail() -> impl Strategy<Value = String> {
    some_of(&["dbuser:", "db-A", "/", "jane", "Jane", "é", "*", "?", ":"], 0..6)
}

fn resource_pattern() -> impl Strategy<Value = String> {
    let service = || one_of(&["rds-db", "rds-db", "rds"]);
    let incomplete =
        (service(), some_of(&[":us", ":*"], 0..3)).prop_map(|(s, rest)| format!("arn:aws:{s}{rest}"));
    let complete = (
        one_of(&["aws", "aws-cn", "*", "aw?"]),
        service(),
        one_of(&["us", "eu", "u*", "??", "*", ""]),
        one_of(&["12", "1*", "*", ""]),
        prop_oneof![tail(), tail().prop_map(|t| format!("{t}*"))],
    )
        .prop_map(|(p, s, r, a, t)| format!("arn:{p}:{s}:{r}:{a}:{t}"));
    prop_oneof![1 => Just("*".to_owned()), 1 => incomplete, 6 => complete]
}

fn resource() -> impl Strategy<Value = String> {
    let arn = (
        one_of(&["aws", "aws", "aws-cn"]),
        one_of(&["rds-db", "rds-db", "rds"]),
        one_of(&["us", "eu", ""]),
        one_of(&["12", "13", ""]),
        tail(),
    )
        .prop_map(|(p, s, r, a, t)| format!("arn:{p}:{s}:{r}:{a}:{t}"));
    prop_oneof![1 => Just("*".to_owned()), 8 => arn]
}

fn one_or_many(strategy: impl Strategy<Value = String>) -> impl Strategy<Value = Value> {
    (prop::collection::vec(strategy, 1..4), any::<bool>()).prop_map(|(mut list, many)| match list.pop() {
        Some(one) if !many => json!(one),
        last => json!(list.into_iter().chain(last).collect::<Vec<_>>()),
    })
}

prop_compose! {
    fn statement()(
        effect in one_of(&["Allow", "Allow", "Deny"]),
        action_element in one_of(&["Action", "Action", "NotAction"]),
        actions in one_or_many(action_pattern()),
        resource_element in one_of(&["Resource", "Resource", "NotResource"]),
        resources in one_or_many(resource_pattern()),
    ) -> Value {
        json!({"Effect": effect, action_element: actions, resource_element: resources})
    }
}

fn document() -> impl Strategy<Value = Value> {
    let statements =
        prop_oneof![statement(), prop::collection::vec(statement(), 1..5).prop_map(Value::Array),];
    statements.prop_map(|statements| json!({"Version": "2012-10-17", "Statement": statements}))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn compiled_equals_reference(
        document in document(),
        requests in prop::collection::vec((action(), resource()), 8),
    ) {
        let policy = Policy::parse(&document.to_string(), Kind::Inline).unwrap();
        for (action, resource) in requests {
            let request = Request::new(&action, Resource::parse(&resource).unwrap());
            let decided = match policy.evaluate(&request) {
                Outcome::NoMatch => None,
                Outcome::Allow(StatementRef { index }) => Some((true, usize::from(index))),
                Outcome::Deny(StatementRef { index }) => Some((false, usize::from(index))),
            };
            prop_assert_eq!(decided, reference::decide(&document, &action, &resource), "{} {}", action, resource);
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in ".{0,80}", kind in kind()) {
        let _ignored = Policy::parse(&text, kind).is_ok();
    }

    #[test]
    fn no_damaged_document_makes_it_panic(document in document(), at in any::<prop::sample::Index>(), with in some_of(&["\"", "{", "}", "[", "]", ",", ":", "*", "${", "\\", "a"], 0..4), kind in kind()) {
        let mut text = document.to_string();
        let at = (0..=at.index(text.len())).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
        let end = (at + 1..=text.len()).find(|&i| text.is_char_boundary(i)).unwrap_or(text.len());
        text.replace_range(at..end, &with);
        if let Err(policy::PolicyError::Malformed(error)) = Policy::parse(&text, kind)
            && let Some(span) = error.span()
        {
            prop_assert!(text.get(span.start..span.end).is_some(), "{error} at {span:?} in {text}");
        }
    }
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Managed),
        Just(Kind::Inline),
        Just(Kind::Trust),
        Just(Kind::Session),
        Just(Kind::ServiceControl)
    ]
}
