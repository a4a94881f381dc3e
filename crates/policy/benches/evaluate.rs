//! One decision: the typical connect policy, and a principal with ten policies of twenty statements. Beside each, in the same
//! run, what `iam-rs` takes for the same documents and requests, and the ratio.
#![allow(
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a bench without its input is no bench"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group};
use iam_rs::{ContextValue, IAMPolicy, IAMRequest, PolicyEvaluator, PrincipalId};
use policy::{Context, Global, Key, Kind, Outcome, Policy, Request, Resource, Value, Values};

const NOW: i64 = 1_767_225_600;
const PRINCIPAL: &str = "arn:aws:iam::123456789012:user/jane_doe";
const JANE: &str = "arn:aws:rds-db:us-east-1:123456789012:dbuser:db-ABCDEFGHIJKL01234/jane_doe";

/// A login's context: what is derived is looked up, nothing is made for it.
struct Login;

impl Context for Login {
    fn values<'c>(&'c self, key: Key<'_>) -> Values<'c> {
        Values::optional(match key.global() {
            Some(Global::Username) => Some(Value::Text("jane_doe")),
            Some(Global::PrincipalTag) if key.tag() == Some("team") => Some(Value::Text("blue")),
            Some(Global::CurrentTime) => Some(Value::Time(NOW)),
            Some(Global::SecureTransport) => Some(Value::Flag(true)),
            _ => None,
        })
    }
}

/// Documents, and what they say to jane.
struct Case {
    name: &'static str,
    documents: Vec<String>,
    allowed: bool,
}

fn document(statements: &str) -> String {
    format!(r#"{{"Version": "2012-10-17", "Statement": [{statements}]}}"#)
}

fn connect(resource: &str, condition: &str) -> Vec<String> {
    vec![document(&format!(
        r#"{{"Effect": "Allow", "Action": ["rds-db:connect"], "Resource": ["{resource}"] {condition}}}"#
    ))]
}

/// Twenty statements of managed policies as they are written: other services, other databases, some conditions.
fn broad(number: usize) -> String {
    let statements: Vec<String> = (0..20)
        .map(|i| {
            let effect = if i % 4 == 0 { "Deny" } else { "Allow" };
            let condition = match i % 5 {
                0 => r#", "Condition": {"StringNotEquals": {"aws:PrincipalTag/team": ["blue", "green"]}}"#,
                1 => r#", "Condition": {"Bool": {"aws:SecureTransport": "true"}}"#,
                _ => "",
            };
            let (actions, resource) = match i % 2 {
                0 => (
                    r#"["rds-db:connect", "rds:Describe*"]"#,
                    format!("arn:aws:rds-db:*:123456789012:dbuser:cluster-{number:04}{i:04}*/app_*"),
                ),
                _ => (r#"["s3:Get*", "s3:List*", "ec2:Describe*"]"#, "*".to_owned()),
            };
            format!(
                r#"{{"Sid": "S{i}", "Effect": "{effect}", "Action": {actions}, "Resource": "{resource}"{condition}}}"#
            )
        })
        .collect();
    document(&statements.join(","))
}

fn cases() -> Vec<Case> {
    let own = "arn:aws:rds-db:us-east-1:123456789012:dbuser:*/${aws:username}";
    let typical = r#", "Condition": {"StringEquals": {"aws:PrincipalTag/team": "blue"}}"#;
    let mut many: Vec<String> = (0..9).map(broad).collect();
    // The one that allows is the last.
    many.push(broad(9).replacen("cluster-00090018*/app_*", "*/jane_*", 1));
    vec![
        Case { name: "1 statement, literal", documents: connect(JANE, ""), allowed: true },
        Case {
            name: "1 statement, 1 variable, 1 condition",
            documents: connect(own, typical),
            allowed: true,
        },
        Case { name: "10 policies of 20 statements", documents: many, allowed: true },
    ]
}

fn compiled(case: &Case) -> Vec<Policy> {
    case.documents.iter().map(|text| Policy::parse(text, Kind::Managed).expect("a valid policy")).collect()
}

/// The decision over all policies, as `iam` makes it.
fn allows(policies: &[Policy], request: &Request<'_>) -> bool {
    let mut allowed = false;
    for policy in policies {
        match policy.evaluate(request) {
            Outcome::Deny(_) => return false,
            Outcome::Allow(_) => allowed = true,
            Outcome::NoMatch => {}
        }
    }
    allowed
}

fn request() -> Request<'static> {
    Request::new("rds-db:connect", Resource::parse(JANE).expect("an ARN"), &Login)
}

fn theirs(case: &Case) -> (PolicyEvaluator, IAMRequest) {
    let policies = case.documents.iter().map(|text| IAMPolicy::from_json(text).expect("a policy")).collect();
    let context = iam_rs::Context::new()
        .with_string("aws:username", "jane_doe")
        .with_string("aws:PrincipalTag/team", "blue")
        .with_boolean("aws:SecureTransport", true);
    let mut context = context;
    context.insert("aws:CurrentTime".to_owned(), ContextValue::String("2026-01-01T00:00:00Z".to_owned()));
    let principal = iam_rs::Principal::Aws(PrincipalId::String(PRINCIPAL.to_owned()));
    let resource = iam_rs::Arn::parse(JANE).expect("an ARN");
    (
        PolicyEvaluator::with_policies(policies),
        IAMRequest::new_with_context(principal, "rds-db:connect", resource, context),
    )
}

fn evaluate(criterion: &mut Criterion) {
    let request = request();
    for case in cases() {
        let policies = compiled(&case);
        assert_eq!(allows(&policies, &request), case.allowed, "{}", case.name);
        criterion.bench_function(&format!("policy/{}", case.name), |b| {
            b.iter(|| allows(black_box(&policies), black_box(&request)));
        });
    }
}

fn parse(criterion: &mut Criterion) {
    let text = connect(JANE, "").remove(0);
    criterion.bench_function("policy/parse, validate and compile", |b| {
        b.iter(|| Policy::parse(black_box(&text), Kind::Managed));
    });
}

/// The time of one call, by rounds of `calls`.
fn round<T>(calls: u32, mut call: impl FnMut() -> T) -> Duration {
    let started = Instant::now();
    for _ in 0..calls {
        black_box(call());
    }
    started.elapsed() / calls
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Both engines in turn, so that what else the machine does meets both.
fn beside_iam_rs() {
    let request = request();
    println!("{:<40} {:>10} {:>12} {:>8}", "medians of 31 rounds in turn", "policy", "iam-rs", "ratio");
    for case in cases() {
        let policies = compiled(&case);
        let (evaluator, their_request) = theirs(&case);
        let (mut ours, mut others) = (Vec::new(), Vec::new());
        for _ in 0..31 {
            ours.push(round(20_000, || allows(black_box(&policies), black_box(&request))));
            others.push(round(200, || black_box(&evaluator).evaluate(black_box(&their_request)).is_ok()));
        }
        let (ours, others) = (median(ours), median(others));
        let ratio = others.as_secs_f64() / ours.as_secs_f64();
        println!("{:<40} {ours:>10.1?} {others:>12.1?} {ratio:>8.1}", case.name);
    }
}

criterion_group!(benches, evaluate, parse);

fn main() {
    benches();
    Criterion::default().configure_from_args().final_summary();
    beside_iam_rs();
}
