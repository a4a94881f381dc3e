//! Policy variables: where they are replaced, how they are written, and what they name.

use super::key;
use super::known::AtConnect;
use super::value::Family;
use super::{Lint, Scope};
use crate::document::{Text, Version};

/// Where a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Action,
    Resource,
    Value(Family),
}

/// One `${...}` of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Variable<'t> {
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
    Literal(char),
    /// A key, and whether there is a default.
    Key { key: &'t str, has_default: bool },
    /// No closing brace.
    Unclosed,
    /// Nothing.
    Empty,
    /// A default that is not in single quotes.
    BadDefault { key: &'t str, default: &'t str },
    /// Something that is not a key.
    BadKey(&'t str),
}

/// The variables of a text, in order.
pub(super) fn variables(text: &str) -> impl Iterator<Item = Variable<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + text.get(at..)?.find("${")?;
        let body_start = start + 2;
        let Some(length) = text.get(body_start..)?.find('}') else {
            at = text.len();
            return Some(Variable { start, end: text.len(), form: Form::Unclosed });
        };
        let body = text.get(body_start..body_start + length)?;
        at = body_start + length + 1;
        Some(Variable { start, end: at, form: form(body) })
    })
}

fn form(body: &str) -> Form<'_> {
    match body {
        "" => return Form::Empty,
        "*" => return Form::Literal('*'),
        "?" => return Form::Literal('?'),
        "$" => return Form::Literal('$'),
        _ => {}
    }
    let (key, default) = match body.split_once(',') {
        Some((key, default)) => (key, Some(default.trim_start_matches(' '))),
        None => (body, None),
    };
    // A tag's name may have spaces in it.
    let name = key.split('/').next().unwrap_or_default();
    if key.is_empty() || name.contains(' ') || key.contains(['\'', '{', '$', '*', '?']) {
        return Form::BadKey(key);
    }
    if let Some(default) = default {
        let quoted = default.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
        if quoted.is_none_or(|text| text.contains('\'')) {
            return Form::BadDefault { key, default };
        }
    }
    Form::Key { key, has_default: default.is_some() }
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
            Place::Value(family) if !family.takes_variables() => {
                Some(format!("a value that is compared as {}", family.phrase()))
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

    fn variable(&mut self, text: &Text, variable: Variable<'_>, scope: Scope<'_>) {
        let span = self.place(text, variable.start, variable.end);
        let bad = "bad-variable";
        let (name, has_default) = match variable.form {
            Form::Literal(_) => return,
            Form::Key { key, has_default } => (key, has_default),
            Form::Unclosed => {
                let help = "close it with `}`; write `${$}{` for the two characters themselves";
                return self.error(bad, span, "`${` has no `}`", Some(help.to_owned()));
            }
            Form::Empty => {
                let help = "name a key, such as `${aws:username}`";
                return self.error(bad, span, "`${}` names no key", Some(help.to_owned()));
            }
            Form::BadDefault { key, default } => {
                let default = default.trim_matches(['\'', '"', ' ']);
                let help = (!default.contains('\'')).then(|| format!("write `${{{key}, '{default}'}}`"));
                return self.error(bad, span, "the default of a variable stands in single quotes", help);
            }
            Form::BadKey(key) => {
                let trimmed = key.trim();
                let help = (trimmed != key && matches!(form(trimmed), Form::Key { .. }))
                    .then(|| format!("write `${{{trimmed}}}`, without spaces"));
                return self.error(bad, span, format!("`{key}` is not a condition key"), help);
            }
        };
        let key = match key::find(name) {
            Ok(Some(key)) => key,
            Ok(None) => return,
            Err(problem) => return self.error(problem.code, span, problem.message, problem.help),
        };
        if key.many {
            self.warn(
                "variable-with-many-values",
                span,
                format!("`{name}` can have many values, and a variable with more than one has none"),
                Some("compare it with `ForAnyValue:` or `ForAllValues:` in a condition".to_owned()),
            );
        }
        let follows = if has_default {
            "the default always stands for it"
        } else {
            "what it stands in matches nothing"
        };
        match key.at_connect {
            AtConnect::Never if scope.is_connect_only() => self.warn(
                "no-value-at-connect",
                span,
                format!("`{name}` never has a value at `rds-db:connect`, so {follows}"),
                None,
            ),
            AtConnect::Optional if scope.is_connect_only() => self.warn(
                "no-value-at-connect",
                span,
                format!(
                    "`{name}` has a value at `rds-db:connect` only on a server with `source-ip` switched on; otherwise {follows}"
                ),
                None,
            ),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forms(text: &str) -> Vec<(&str, Form<'_>)> {
        variables(text).map(|v| (&text[v.start..v.end], v.form)).collect()
    }

    #[test]
    fn the_grammar_of_variables() {
        let key = |key, has_default| Form::Key { key, has_default };
        assert_eq!(
            forms("a${aws:username}${*}/$ ${aws:PrincipalTag/my team, 'x y'}"),
            [
                ("${aws:username}", key("aws:username", false)),
                ("${*}", Form::Literal('*')),
                ("${aws:PrincipalTag/my team, 'x y'}", key("aws:PrincipalTag/my team", true)),
            ]
        );
        assert_eq!(forms("${a:b,''}"), [("${a:b,''}", key("a:b", true))]);
        assert_eq!(forms("${}"), [("${}", Form::Empty)]);
        assert_eq!(forms("x${aws:username"), [("${aws:username", Form::Unclosed)]);
        assert_eq!(forms("${a:b, c}"), [("${a:b, c}", Form::BadDefault { key: "a:b", default: "c" })]);
        assert_eq!(
            forms("${a:b, 'c'd'}"),
            [("${a:b, 'c'd'}", Form::BadDefault { key: "a:b", default: "'c'd'" })]
        );
        assert_eq!(forms("${ a:b}"), [("${ a:b}", Form::BadKey(" a:b"))]);
        assert_eq!(forms("${a${b}"), [("${a${b}", Form::BadKey("a${b"))]);
        assert_eq!(forms("${**}"), [("${**}", Form::BadKey("**"))]);
        assert_eq!(forms("$x{}"), []);
    }
}
