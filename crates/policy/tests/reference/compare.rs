//! The compiled policy beside the reference: the same decision, by the same statement, and the same statements that apply.

use super::generate::Case;
use policy::{Entries, Kind, Outcome, Policy, Request, Resource, StatementRef, Value, Verdict};

/// Panics where the two differ, with the request and the document.
pub(crate) fn compare(Case { document, requests }: &Case) {
    let text = document.to_string();
    let policy =
        Policy::parse(&text, Kind::Inline).unwrap_or_else(|e| panic!("{e}: {:?}\n{text}", e.detail()));
    for (action, resource, context) in requests {
        let mut entries = Entries::default();
        for (key, values) in context {
            entries.set(key.as_str(), values.iter().map(|value| Value::Text(value)).collect());
        }
        let request = Request::new(action, Resource::parse(resource).unwrap(), &entries);
        let decided = match policy.evaluate(&request) {
            Outcome::NoMatch => None,
            Outcome::Allow(StatementRef { index }) => Some((true, usize::from(index))),
            Outcome::Deny(StatementRef { index }) => Some((false, usize::from(index))),
        };
        let applying = super::applying(document, action, resource, context);
        let expected = super::decide_by(document, &applying);
        assert_eq!(decided, expected, "{action} on {resource} with {context:?}\n{document:#}");
        let reports = policy.explain(&request);
        let applies: Vec<bool> = reports.iter().map(|report| report.verdict == Verdict::Applies).collect();
        assert_eq!(applies, applying, "explained: {action} on {resource} with {context:?}\n{document:#}");
    }
}
