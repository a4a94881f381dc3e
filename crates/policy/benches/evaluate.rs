//! One decision: the typical connect policy, and a principal with ten policies of twenty statements.
#![allow(clippy::expect_used, missing_docs, reason = "a bench without its input is no bench")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use policy::{Kind, Outcome, Policy, Request, Resource};

const JANE: &str = "arn:aws:rds-db:us-east-1:123456789012:dbuser:db-ABCDEFGHIJKL01234/jane_doe";

fn connect_policy(resource: &str) -> Policy {
    let text = format!(
        r#"{{"Version": "2012-10-17", "Statement": [
            {{"Effect": "Allow", "Action": ["rds-db:connect"], "Resource": ["{resource}"]}}]}}"#
    );
    Policy::parse(&text, Kind::Managed).expect("a valid policy")
}

fn broad_policy(number: usize) -> Policy {
    let statements: Vec<String> = (0..20)
        .map(|i| {
            format!(
                r#"{{"Sid": "S{i}", "Effect": "{}", "Action": ["rds-db:connect", "rds:Describe*"],
                    "Resource": "arn:aws:rds-db:*:123456789012:dbuser:cluster-{number:04}{i:04}*/app_*"}}"#,
                if i % 4 == 0 { "Deny" } else { "Allow" }
            )
        })
        .collect();
    let text = format!(r#"{{"Version": "2012-10-17", "Statement": [{}]}}"#, statements.join(","));
    Policy::parse(&text, Kind::Managed).expect("a valid policy")
}

fn evaluate(criterion: &mut Criterion) {
    let request = Request::new("rds-db:connect", Resource::parse(JANE).expect("an ARN"));

    let exact = connect_policy(JANE);
    criterion.bench_function("policy/one statement, literal", |b| {
        b.iter(|| black_box(&exact).evaluate(black_box(&request)));
    });
    let wild = connect_policy("arn:aws:rds-db:us-east-1:123456789012:dbuser:*/jane_*");
    assert!(matches!(wild.evaluate(&request), Outcome::Allow(_)));
    criterion.bench_function("policy/one statement, wildcards", |b| {
        b.iter(|| black_box(&wild).evaluate(black_box(&request)));
    });
    let many: Vec<Policy> = (0..10).map(broad_policy).collect();
    criterion.bench_function("policy/10 policies of 20 statements", |b| {
        b.iter(|| {
            black_box(&many).iter().filter(|p| p.evaluate(black_box(&request)) != Outcome::NoMatch).count()
        });
    });
}

fn parse(criterion: &mut Criterion) {
    let text = format!(
        r#"{{"Version": "2012-10-17", "Statement": [
            {{"Effect": "Allow", "Action": ["rds-db:connect"], "Resource": ["{JANE}"]}}]}}"#
    );
    criterion.bench_function("policy/parse, validate and compile", |b| {
        b.iter(|| Policy::parse(black_box(&text), Kind::Managed));
    });
}

criterion_group!(benches, evaluate, parse);
criterion_main!(benches);
