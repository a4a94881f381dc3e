//! Any text as a policy document of every kind: no panic, spans that lie in the text, and what compiles can be asked.
#![no_main]

use libfuzzer_sys::fuzz_target;
use policy::{
    Context, Key, Kind, Policy, Request, Resource, TrustIdentity, TrustPrincipal, TrustRequest, Value, Values,
    size_without_whitespace,
};

const KINDS: [Kind; 5] = [Kind::Managed, Kind::Inline, Kind::Trust, Kind::Session, Kind::ServiceControl];

fuzz_target!(|text: &str| {
    assert!(size_without_whitespace(text) <= text.len());
    for kind in KINDS {
        match Policy::parse(text, kind) {
            Ok(policy) => ask(&policy, text),
            Err(error) => {
                assert!(error.span().is_none_or(|span| text.get(span.start..span.end).is_some()));
            }
        }
        for found in policy::lint(text, kind, &[]) {
            assert!(text.get(found.span.start..found.span.end).is_some(), "{found:?}");
        }
    }
});

/// Every key that the policy asks for, with the document itself as its value, or with many.
struct Everything<'t>(&'t str, [Value<'t>; 2]);

impl Context for Everything<'_> {
    fn values<'c>(&'c self, key: Key<'_>) -> Values<'c> {
        if key.name().len() % 3 == 0 { Values::Many(&self.1) } else { Values::One(Value::Text(self.0)) }
    }
}

fn ask(policy: &Policy, text: &str) {
    let resource = Resource {
        partition: "aws",
        service: "rds-db",
        region: "us-east-1",
        account: "123456789012",
        resource: text,
    };
    let context = Everything(text, [Value::Text(text), Value::Time(i64::MAX)]);
    for resource in [resource, Resource::any()] {
        for action in ["rds-db:connect", text] {
            let request = Request::new(action, resource, &context);
            let _ = policy.evaluate(&request);
            assert!(policy.explain(&request).len() <= policy.statement_count());
        }
    }
    let principal =
        TrustPrincipal { partition: "aws", account: "123456789012", identity: TrustIdentity::Root };
    let _ = policy.evaluate_trust(&TrustRequest::new("sts:AssumeRole", principal, &context));
}
