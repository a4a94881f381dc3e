//! Policy variables as they are written: `${key}`, `${key, 'default'}`, and the escapes `${*}`, `${?}` and `${$}`.
//!
//! Only the text is taken apart here. What a variable is worth is asked when a request is evaluated.

use crate::json::Span;

/// A piece of a text that may have variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece<'t> {
    /// Text between variables; its `*` and `?` are wildcards where the element has them.
    Text(&'t str),
    /// An escaped character, which is never a wildcard.
    Character(&'t str),
    /// A variable.
    Variable(Variable<'t>),
}

/// A variable as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Variable<'t> {
    pub(crate) key: &'t str,
    pub(crate) default: Option<&'t str>,
}

/// A `${` that does not begin a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadVariable {
    /// Its place in the text.
    pub(crate) at: Span,
    pub(crate) problem: &'static str,
}

/// The pieces of a text, in their order.
pub(crate) fn pieces(text: &str) -> Pieces<'_> {
    Pieces { text, at: 0 }
}

pub(crate) struct Pieces<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Iterator for Pieces<'t> {
    type Item = Result<Piece<'t>, BadVariable>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
        let open = rest.find("${").unwrap_or(rest.len());
        if open > 0 {
            self.at += open;
            return rest.get(..open).map(|text| Ok(Piece::Text(text)));
        }
        let start = self.at;
        let Some(close) = rest.find('}') else {
            self.at = self.text.len();
            let at = Span { start, end: self.at };
            return Some(Err(BadVariable { at, problem: "a policy variable has no closing brace" }));
        };
        self.at += close + 1;
        let piece = read(rest.get(2..close)?);
        Some(piece.map_err(|problem| BadVariable { at: Span { start, end: self.at }, problem }))
    }
}

fn read(body: &str) -> Result<Piece<'_>, &'static str> {
    if matches!(body, "*" | "?" | "$") {
        return Ok(Piece::Character(body));
    }
    let (key, default) = match body.split_once(',') {
        Some((key, default)) => (key, Some(read_default(default)?)),
        None => (body, None),
    };
    if key.is_empty() {
        return Err("a policy variable has a name, such as `${aws:username}`");
    }
    let (name, _) = key.split_once('/').unwrap_or((key, ""));
    if name.contains(char::is_whitespace) || key.contains(['\'', '{', '$', '*', '?']) {
        return Err("the name of a policy variable is a condition key, such as `aws:username`");
    }
    Ok(Piece::Variable(Variable { key, default }))
}

fn read_default(text: &str) -> Result<&str, &'static str> {
    let quoted = text.trim_matches(' ').strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
    quoted.filter(|default| !default.contains('\'')).ok_or(
        "the default of a policy variable stands in single quotes, such as `${aws:PrincipalTag/team, 'all'}`",
    )
}

/// Splits at the colons that are not inside of a variable, into at most `most` parts.
pub(crate) fn split_outside(text: &str, most: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut at) = (0, 0);
    for piece in pieces(text) {
        let length = match piece {
            Ok(Piece::Text(piece)) => {
                for (colon, _) in piece.match_indices(':') {
                    if parts.len() + 1 < most {
                        parts.extend(text.get(start..at + colon));
                        start = at + colon + 1;
                    }
                }
                piece.len()
            }
            // Whatever stands between, the next piece begins behind a brace.
            _ => text.get(at..).and_then(|rest| rest.find('}')).map_or(text.len() - at, |close| close + 1),
        };
        at += length;
    }
    parts.extend(text.get(start..));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<Piece<'_>> {
        pieces(text).collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn variables_defaults_and_escapes() {
        let variable = |key, default| Piece::Variable(Variable { key, default });
        assert_eq!(
            all("$a${aws:username}*"),
            [Piece::Text("$a"), variable("aws:username", None), Piece::Text("*")]
        );
        assert_eq!(
            all("${aws:PrincipalTag/cost center, 'company-wide'}${a,''}"),
            [variable("aws:PrincipalTag/cost center", Some("company-wide")), variable("a", Some(""))]
        );
        assert_eq!(
            all("${*}${?}${$}{x}"),
            [Piece::Character("*"), Piece::Character("?"), Piece::Character("$"), Piece::Text("{x}")]
        );
        assert_eq!(all(""), []);
    }

    #[test]
    fn what_is_none_is_named_with_its_place() {
        for (text, start, end) in [
            ("a${aws:username", 1, 15),
            ("é${}", 2, 5),
            ("${a b}", 0, 6),
            ("${a, b}", 0, 7),
            ("${a, 'b'c'}", 0, 11),
            ("${${a}}", 0, 6),
            ("${, 'x'}", 0, 8),
        ] {
            let found = pieces(text).find_map(Result::err).unwrap();
            assert_eq!(found.at, Span { start, end }, "{text}: {}", found.problem);
        }
    }

    #[test]
    fn a_colon_inside_a_variable_does_not_split() {
        assert_eq!(split_outside("arn:${aws:a}:b:c:d:e:f", 6), ["arn", "${aws:a}", "b", "c", "d", "e:f"]);
        assert_eq!(split_outside("a:b", 6), ["a", "b"]);
        assert_eq!(split_outside("${a, ':'}:${*}:", 6), ["${a, ':'}", "${*}", ""]);
    }
}
