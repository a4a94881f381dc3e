//! Why a statement applies or does not: the evaluation once more, with everything it looked at written down for people.
//!
//! It asks the same questions as `evaluate`, by the same functions, so the two cannot tell different stories.

use crate::compile::{Listed, Policy, Scope, Statement};
use crate::condition::{ConditionTest, Truth};
use crate::context::Context;
use crate::document::Effect;
use crate::evaluate::Request;
use crate::json::Span;
use crate::pattern::ResourcePattern;

/// What became of one statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementReport {
    /// Its position, counted from 0.
    pub index: u16,
    /// Its Sid, where it has one.
    pub sid: Option<String>,
    /// What it does where it applies.
    pub effect: Effect,
    /// Where it stands in the document.
    pub span: Span,
    /// Whether it applies, and if not, why.
    pub verdict: Verdict,
    /// Its conditions, whatever the verdict.
    pub conditions: Vec<TestReport>,
}

/// Whether a statement applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It applies.
    Applies,
    /// It is about other actions: those in the list, or with `NotAction` all but them.
    OtherAction(ListReport),
    /// It is about other resources.
    OtherResource(ListReport),
    /// A condition does not hold, or cannot be tested: see [`StatementReport::conditions`].
    Condition,
}

/// A list of the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListReport {
    /// `NotAction`, `NotResource`.
    pub negated: bool,
    /// What is listed.
    pub items: Vec<String>,
    /// Keys of variables that have no value in the request.
    pub without_value: Vec<String>,
}

/// What became of a condition on one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestReport {
    /// The operator.
    pub operator: String,
    /// The key.
    pub key: String,
    /// The policy's values.
    pub expected: Vec<String>,
    /// The request's values; none where it does not have the key.
    pub found: Option<Vec<String>>,
    /// Keys of variables in the policy's values that have no value in the request.
    pub without_value: Vec<String>,
    /// Whether it holds.
    pub truth: Truth,
}

impl Policy {
    /// What became of each statement, in the order of the document. A trust policy says nothing here.
    pub fn explain(&self, request: &Request<'_>) -> Vec<StatementReport> {
        let mut room = None;
        let action = request.folded(&mut room);
        let report = |(statement, at): (&Statement, crate::StatementRef)| {
            let Scope::Resources(resources) = statement.scope else { return None };
            let verdict = if !self.action_applies(statement, &action) {
                Verdict::OtherAction(self.actions_of(statement.actions))
            } else if !self.resource_applies(statement, request) {
                Verdict::OtherResource(self.resources_of(resources, request.context))
            } else if !self.conditions_apply(statement, request.context) {
                Verdict::Condition
            } else {
                Verdict::Applies
            };
            let tests = statement.conditions.get(&self.tests);
            Some(StatementReport {
                index: at.index,
                sid: self.sid(at.index).map(str::to_owned),
                effect: statement.effect,
                span: self.span(at.index)?,
                verdict,
                conditions: tests.iter().map(|test| self.test(test, request.context)).collect(),
            })
        };
        self.statements().filter_map(report).collect()
    }

    fn actions_of(&self, listed: Listed) -> ListReport {
        let items = listed.range.get(&self.actions).iter().map(|pattern| pattern.written(&self.texts));
        ListReport { negated: listed.negated, items: items.collect(), without_value: Vec::new() }
    }

    fn resources_of(&self, listed: Listed, context: &dyn Context) -> ListReport {
        let patterns = listed.range.get(&self.resources);
        let behind = patterns.iter().filter_map(|pattern| match pattern {
            ResourcePattern::Everything => None,
            ResourcePattern::Arn([.., last]) => Some(last),
        });
        let keys = behind.flat_map(|pattern| pattern.without_value(&self.texts, context));
        ListReport {
            negated: listed.negated,
            without_value: keys.map(str::to_owned).collect(),
            items: patterns.iter().map(|pattern| pattern.written(&self.texts)).collect(),
        }
    }

    fn test(&self, test: &ConditionTest, context: &dyn Context) -> TestReport {
        let key = self.texts.key(test.key);
        let expected = test.values.get(&self.expected);
        let found = context.values(key);
        let values = || found.as_slice().iter().map(ToString::to_string).collect();
        TestReport {
            operator: test.operator.to_string(),
            key: key.name().to_owned(),
            expected: expected.iter().map(|value| self.texts.plain(value.source).to_owned()).collect(),
            found: (!found.is_missing()).then(values),
            without_value: expected
                .iter()
                .flat_map(|value| value.without_value(&self.texts, context))
                .map(str::to_owned)
                .collect(),
            truth: test.truth(expected, &self.texts, context),
        }
    }
}
