//! What a compiler would say of a policy document: what is wrong, where, and what was probably meant.
//!
//! It looks at the document as written, never at the compiled form, and decides nothing: what AWS refuses is in
//! `document` and `validate`, what a policy means is in `evaluate`. An error is something that cannot work as written;
//! a warning is something that works but is seldom meant.

mod action;
mod condition;
mod key;
mod known;
mod resource;
mod value;
mod variable;

use crate::document::{Document, Effect, List, Statement, Text, Version, size_without_whitespace};
use crate::json::Span;
use crate::malformed::{Malformed, Reason};
use crate::pattern;
use crate::validate::{Kind, validate};

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether it can work as written.
    pub severity: Severity,
    /// Which rule found it, for scripts: `unknown-action`.
    pub code: &'static str,
    /// The bytes of the document it is about, on character boundaries.
    pub span: Span,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// AWS refuses it, or it can never do what it says.
    Error,
    /// It works, but is seldom meant.
    Warning,
}

/// A database or cluster that exists, to hold resources against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownDatabase<'a> {
    /// Its own: `db-...` or `cluster-...`.
    pub resource_id: &'a str,
    /// The name it was created with.
    pub identifier: &'a str,
    /// Where it is.
    pub region: &'a str,
    /// Whose it is.
    pub account: &'a str,
    /// For an instance in a cluster: the resource id of the cluster, which policies name.
    pub cluster: Option<&'a str>,
}

impl<'a> KnownDatabase<'a> {
    /// The id that policies name.
    fn policy_id(&self) -> &'a str {
        self.cluster.unwrap_or(self.resource_id)
    }
}

/// Looks for everything that is wrong with a document, in the order of the text.
///
/// What makes AWS refuse the document is one error, in AWS's words. With `databases`, the resources of
/// `rds-db:connect` are also held against what exists.
pub fn lint(text: &str, kind: Kind, databases: &[KnownDatabase<'_>]) -> Vec<Diagnostic> {
    let document = match Document::parse(text) {
        Ok(document) => document,
        Err(malformed) => return vec![within(text, refusal(&malformed, text))],
    };
    let mut lint = Lint { text, version: document.effective_version(), databases, found: Vec::new() };
    lint.size(&document, kind);
    for statement in &document.statements {
        lint.statement(statement);
    }
    let mut found = lint.found;
    if let Err(malformed) = validate(&document, kind) {
        let mut refusal = refusal(&malformed, text);
        // The one string that AWS refuses is not refused twice; what the lint knows of it is worth keeping.
        if text.as_bytes().get(refusal.span.start) == Some(&b'"') {
            let same = |d: &Diagnostic| {
                d.severity == Severity::Error
                    && d.span.start >= refusal.span.start
                    && d.span.end <= refusal.span.end
            };
            let help = found.iter().find(|d| same(d)).and_then(|d| d.help.clone());
            found.retain(|d| !same(d));
            refusal.help = refusal.help.or(help);
        }
        found.push(refusal);
    }
    let mut found: Vec<Diagnostic> = found.into_iter().map(|diagnostic| within(text, diagnostic)).collect();
    found.sort_by_key(|d| (d.span.start, d.span.end, d.severity));
    found.dedup();
    found
}

fn refusal(malformed: &Malformed, text: &str) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        code: if *malformed.reason() == Reason::Syntax { "syntax" } else { "malformed-policy" },
        span: malformed.span().unwrap_or(Span { start: 0, end: text.len() }),
        message: malformed.to_string(),
        help: malformed.detail().map(str::to_owned),
    }
}

/// Whatever a rule got wrong, the span is one of this text.
fn within(text: &str, mut diagnostic: Diagnostic) -> Diagnostic {
    let start = text.floor_char_boundary(diagnostic.span.start);
    diagnostic.span = Span { start, end: text.ceil_char_boundary(diagnostic.span.end).max(start) };
    diagnostic
}

/// What the rules share.
struct Lint<'a> {
    text: &'a str,
    version: Version,
    databases: &'a [KnownDatabase<'a>],
    found: Vec<Diagnostic>,
}

/// A statement as its parts see it.
#[derive(Debug, Clone, Copy)]
struct Scope<'a> {
    effect: Effect,
    actions: Option<&'a List>,
}

impl Scope<'_> {
    /// Whether the statement says anything about `rds-db:connect`, or means to.
    fn covers_connect(self) -> bool {
        let covers = |action: &str| matches_action(action, "rds-db:connect") || action::means_connect(action);
        self.actions.is_some_and(|actions| actions.items.iter().any(|a| covers(&a.value)) != actions.negated)
    }

    /// Whether it names the service `rds-db` itself, rather than meaning everything.
    fn names_connect(self) -> bool {
        self.names_service("rds-db")
    }

    /// Whether it is about logins to databases and nothing else.
    fn is_connect_only(self) -> bool {
        self.actions.is_some_and(|actions| {
            !actions.negated
                && !actions.items.is_empty()
                && actions.items.iter().all(|action| is_of_service(&action.value, "rds-db"))
        })
    }

    fn names_service(self, service: &str) -> bool {
        self.actions.is_some_and(|actions| {
            !actions.negated && actions.items.iter().any(|action| is_of_service(&action.value, service))
        })
    }

    /// Whether an action is `*`, or the statement is about everything but some.
    fn is_about_everything(self) -> bool {
        self.actions
            .is_some_and(|actions| actions.negated || actions.items.iter().any(|a| a.value.as_ref() == "*"))
    }

    /// `the Allow`
    fn name(self) -> &'static str {
        match self.effect {
            Effect::Allow => "the Allow",
            Effect::Deny => "the Deny",
        }
    }

    /// What becomes of the statement where a condition of it cannot be evaluated.
    fn on_error(self) -> &'static str {
        match self.effect {
            Effect::Allow => "the Allow never applies",
            Effect::Deny => "the Deny always applies",
        }
    }
}

fn is_of_service(action: &str, service: &str) -> bool {
    action.split_once(':').is_some_and(|(vendor, _)| vendor.eq_ignore_ascii_case(service))
}

/// Whether the pattern, as written in a policy, matches the action.
fn matches_action(source: &str, action: &str) -> bool {
    pattern::matches(&source.to_ascii_lowercase(), &action.to_ascii_lowercase())
}

impl Lint<'_> {
    fn error(&mut self, code: &'static str, span: Span, message: impl Into<String>, help: Option<String>) {
        self.found.push(Diagnostic { severity: Severity::Error, code, span, message: message.into(), help });
    }

    fn warn(&mut self, code: &'static str, span: Span, message: impl Into<String>, help: Option<String>) {
        self.found.push(Diagnostic {
            severity: Severity::Warning,
            code,
            span,
            message: message.into(),
            help,
        });
    }

    fn size(&mut self, document: &Document, kind: Kind) {
        let size = size_without_whitespace(self.text);
        // What AWS takes at least, what it takes at most, and of what.
        let (least, most, what) = match kind {
            Kind::Managed => (6_144, 6_144, "a managed policy has at most 6,144"),
            Kind::Inline => (
                2_048,
                10_240,
                "all inline policies of a user have at most 2,048, of a group 5,120, of a role 10,240",
            ),
            Kind::Session => (2_048, 2_048, "a session policy has at most 2,048"),
            Kind::ServiceControl => (5_120, 5_120, "a service control policy has at most 5,120"),
            Kind::Trust => (2_048, 4_096, "a trust policy has at most 2,048, with a raised quota 4,096"),
        };
        let message = format!("{size} characters without white space");
        if size > most {
            self.error("policy-size", document.span, message, Some(what.to_owned()));
        } else if size > least {
            self.warn("policy-size", document.span, message, Some(what.to_owned()));
        }
    }

    fn statement(&mut self, statement: &Statement) {
        let scope = Scope { effect: statement.effect, actions: statement.action.as_ref() };
        if let Some(actions) = &statement.action {
            if actions.negated && scope.effect == Effect::Allow {
                self.warn(
                    "allow-not-action",
                    actions.span,
                    "`Allow` with `NotAction` allows every action of every service but these",
                    Some("list what is allowed in `Action`, or use `Deny` with `NotAction`".to_owned()),
                );
            }
            for action in &actions.items {
                self.action(action, scope);
            }
        }
        if let Some(resources) = &statement.resource {
            if resources.negated && scope.effect == Effect::Allow {
                self.warn(
                    "allow-not-resource",
                    resources.span,
                    "`Allow` with `NotResource` allows every resource but these",
                    Some("list what is allowed in `Resource`, or use `Deny` with `NotResource`".to_owned()),
                );
            }
            for resource in &resources.items {
                self.variables(resource, variable::Place::Resource, scope);
                self.resource(resource, resources.negated, scope);
            }
        }
        if let Some(condition) = &statement.condition {
            self.condition(condition, scope);
        }
    }

    /// Where a part of a string's value is written, whatever is escaped in it.
    fn place(&self, text: &Text, start: usize, end: usize) -> Span {
        let quote = usize::from(self.text.as_bytes().get(text.span.start) == Some(&b'"'));
        let mut at = text.span.start + quote;
        let mut value_at = 0;
        let mut from = None;
        for c in text.value.chars() {
            if value_at == start {
                from = Some(at);
            }
            if value_at >= end {
                break;
            }
            at += match (self.text.as_bytes().get(at), self.text.as_bytes().get(at + 1)) {
                // A pair of escapes for what is outside the Basic Multilingual Plane.
                (Some(b'\\'), Some(b'u')) if c > '\u{ffff}' => 12,
                (Some(b'\\'), Some(b'u')) => 6,
                (Some(b'\\'), _) => 2,
                _ => c.len_utf8(),
            };
            value_at += c.len_utf8();
        }
        Span { start: from.unwrap_or(at), end: at }
    }
}

#[cfg(test)]
mod tests;
