//! Policy variables: where they are replaced, how they are written, and what they name.

use super::key;
use super::known::AtConnect;
use super::value::Family;
use super::{Lint, Scope};
use crate::condition::Operator;
use crate::document::{Text, Version};
use crate::variable::{Piece, Variable, pieces};

/// Where a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Action,
    Resource,
    Value(Operator),
}

/// One `${...}` of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placed<'t> {
    /// Offset of the `$`.
    pub(super) start: usize,
    /// Offset behind the `}`.
    pub(super) end: usize,
    pub(super) form: Form<'t>,
}

/// What stands between the braces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form<'t> {
    /// `${*}`, `${?}`, `${$}`: the character itself.
    Character(&'t str),
    /// A variable.
    Variable(Variable<'t>),
    /// None, and why.
    Bad(&'static str),
}

/// The variables of a text, in order.
pub(super) fn variables(text: &str) -> impl Iterator<Item = Placed<'_>> {
    let mut at = 0;
    pieces(text).filter_map(move |piece| {
        let start = at;
        let form = match piece {
            Ok(Piece::Text(text)) => {
                at += text.len();
                return None;
            }
            Ok(Piece::Character(character)) => Form::Character(character),
            Ok(Piece::Variable(variable)) => Form::Variable(variable),
            Err(bad) => Form::Bad(bad.problem),
        };
        let close = text.get(start..).and_then(|rest| rest.find('}'));
        at = close.map_or(text.len(), |close| start + close + 1);
        Some(Placed { start, end: at, form })
    })
}

impl Lint<'_> {
    pub(super) fn variables(&mut self, text: &Text, place: Place, scope: Scope<'_>) {
        let value = text.value.as_ref();
        let Some(first) = variables(value).next() else { return };
        let span = self.place(text, first.start, first.end);
        if self.version < Version::V2012 {
            self.warn(
                "variable-in-old-version",
                span,
                "`${` is plain text in a policy of version 2008-10-17, which is also that of a policy without `Version`",
                Some("add `\"Version\": \"2012-10-17\"`".to_owned()),
            );
            return;
        }
        let nothing_replaced = match place {
            Place::Action => Some("an action".to_owned()),
            Place::Value(operator) if !operator.takes_variables() => {
                Some(format!("a value that is compared as {}", Family::of(operator.test).phrase()))
            }
            _ => None,
        };
        if let Some(place) = nothing_replaced {
            self.error(
                "variable-place",
                span,
                format!("variables are not replaced in {place}"),
                Some("they work in `Resource` behind the fifth colon, and in the values of String, Arn and Bool operators".to_owned()),
            );
            return;
        }
        for variable in variables(value) {
            self.variable(text, variable, scope);
        }
    }

    fn variable(&mut self, text: &Text, placed: Placed<'_>, scope: Scope<'_>) {
        let span = self.place(text, placed.start, placed.end);
        let Variable { key: name, default } = match placed.form {
            Form::Character(_) => return,
            Form::Variable(variable) => variable,
            Form::Bad(problem) => {
                let help = "write `${$}{` where the two characters themselves are meant";
                return self.error("bad-variable", span, problem, Some(help.to_owned()));
            }
        };
        let at_connect = match key::find(name) {
            Ok(Some(key)) => {
                if key.many {
                    self.warn(
                        "variable-with-many-values",
                        span,
                        format!("`{name}` can have many values, and a variable with more than one has none"),
                        Some("compare it with `ForAnyValue:` or `ForAllValues:` in a condition".to_owned()),
                    );
                }
                key.at_connect
            }
            Ok(None) => AtConnect::NotHere,
            Err(problem) => return self.error(problem.code, span, problem.message, problem.help),
        };
        if at_connect != AtConnect::Given && scope.is_connect_only() {
            let follows = match default {
                Some(_) => "its default always stands for it",
                None => "what it stands in matches nothing",
            };
            self.warn("no-value-at-connect", span, at_connect.sentence(name, follows), None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_have_their_places() {
        let text = "a${aws:username}${*}/$ ${aws:PrincipalTag/é, 'x y'}${a${b";
        let places: Vec<(&str, bool)> = variables(text)
            .map(|placed| (&text[placed.start..placed.end], matches!(placed.form, Form::Bad(_))))
            .collect();
        let expected = [
            ("${aws:username}", false),
            ("${*}", false),
            ("${aws:PrincipalTag/é, 'x y'}", false),
            ("${a${b", true),
        ];
        assert_eq!(places, expected);
        assert_eq!(variables("$x{}").count(), 0);
    }
}
