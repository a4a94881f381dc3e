//! Any text as a policy document of every kind: no panic, spans that lie in the text, and what compiles can be asked.
#![no_main]

use libfuzzer_sys::fuzz_target;
use policy::{
    Kind, Policy, PolicyError, Request, Resource, TrustIdentity, TrustPrincipal, TrustRequest,
    size_without_whitespace,
};

const KINDS: [Kind; 5] = [Kind::Managed, Kind::Inline, Kind::Trust, Kind::Session, Kind::ServiceControl];

fuzz_target!(|text: &str| {
    assert!(size_without_whitespace(text) <= text.len());
    for kind in KINDS {
        match Policy::parse(text, kind) {
            Ok(policy) => ask(&policy, text),
            Err(PolicyError::Malformed(error)) => {
                assert!(error.span().is_none_or(|span| text.get(span.start..span.end).is_some()));
            }
            Err(PolicyError::Unsupported(error)) => {
                assert!(text.get(error.span().start..error.span().end).is_some());
            }
        }
    }
});

fn ask(policy: &Policy, text: &str) {
    let resource = Resource {
        partition: "aws",
        service: "rds-db",
        region: "us-east-1",
        account: "123456789012",
        resource: text,
    };
    for resource in [resource, Resource::any()] {
        let _ = policy.evaluate(&Request::new("rds-db:connect", resource));
        let _ = policy.evaluate(&Request::new(text, resource));
    }
    let principal =
        TrustPrincipal { partition: "aws", account: "123456789012", identity: TrustIdentity::Root };
    let _ = policy.evaluate_trust(&TrustRequest::new("sts:AssumeRole", principal));
}
