//! The document as written: a syntax tree with spans, and the rules of syntax that make it one.
//!
//! Everything `Document::parse` refuses is "Syntax errors in policy." at AWS. Rules that need more than
//! syntax are in `validate`.

use crate::condition::Operator;
use crate::json::{self, Member, Node, Span, Value};
use crate::malformed::Malformed;
use crate::nearest::nearest;

/// Longer documents are refused unread: the limit of AWS's own `PolicyDocument` parameters, in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 131_072;

/// A policy document that is syntactically a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// `Version`; where absent the language is that of 2008-10-17.
    pub version: Option<Version>,
    /// `Id`.
    pub id: Option<Text>,
    /// `Statement`, never empty.
    pub statements: Vec<Statement>,
    /// The whole document.
    pub span: Span,
}

/// The version of the policy language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// `2008-10-17`: `${` is literal.
    V2008,
    /// `2012-10-17`: policy variables.
    V2012,
}

/// A string of the document with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The value, escapes resolved.
    pub value: Box<str>,
    /// Where it is written, quotes included.
    pub span: Span,
}

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// `Sid`.
    pub sid: Option<Text>,
    /// `Effect`.
    pub effect: Effect,
    /// The value of `Effect` as written; AWS refuses a wrong case later than a wrong word.
    pub effect_text: Text,
    /// `Principal` or `NotPrincipal`.
    pub principal: Option<PrincipalElement>,
    /// `Action` or `NotAction`.
    pub action: Option<List>,
    /// `Resource` or `NotResource`.
    pub resource: Option<List>,
    /// `Condition`.
    pub condition: Option<Condition>,
    /// The whole statement.
    pub span: Span,
}

/// What a statement does when it applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// `Allow`
    Allow,
    /// `Deny`
    Deny,
}

/// `Action`, `Resource`, or their `Not` forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// The `Not` form: the statement applies to everything but these.
    pub negated: bool,
    /// The values; one that is not in an array is an array of one.
    pub items: Vec<Text>,
    /// Where the value is written.
    pub span: Span,
}

/// `Principal` or `NotPrincipal`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrincipalElement {
    /// `NotPrincipal`.
    pub negated: bool,
    /// Who is named.
    pub names: PrincipalNames,
    /// Where the value is written.
    pub span: Span,
}

/// The value of `Principal`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrincipalNames {
    /// `"Principal": "*"`
    Anyone,
    /// An object: each name with its provider (`AWS`, `Service`, `Federated`, ...).
    Of(Vec<(Text, Text)>),
}

/// `Condition`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// One per operator.
    pub blocks: Vec<ConditionBlock>,
    /// Where the value is written.
    pub span: Span,
}

/// The keys tested by one operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionBlock {
    /// The operator as written.
    pub name: Text,
    /// `None` only where no key is given: AWS takes any name for an operator that tests nothing.
    pub operator: Option<Operator>,
    /// Each key with its values; numbers and booleans as written.
    pub keys: Vec<(Text, Vec<Text>)>,
}

impl Document {
    /// Reads a document of at most [`MAX_DOCUMENT_BYTES`].
    ///
    /// # Errors
    /// "Syntax errors in policy.", with the place and, in [`Malformed::detail`], what was expected.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        if text.len() > MAX_DOCUMENT_BYTES {
            let whole = Span { start: 0, end: text.len() };
            return Err(Malformed::syntax(whole, format!("longer than {MAX_DOCUMENT_BYTES} bytes")));
        }
        let root = json::read(text).map_err(|e| Malformed::syntax(e.span, e.problem.to_string()))?;
        let span = root.span;
        let (mut version, mut id, mut statements) = (None, None, None);
        for Member { key, key_span, node } in object(root, "a policy is an object")? {
            match key.as_ref() {
                "Version" => version = Some(parse_version(&node)?),
                "Id" => id = Some(string(node, "`Id` is a string")?),
                "Statement" => statements = Some(parse_statements(node)?),
                _ => return Err(unknown_element(&key, key_span, &["Version", "Id", "Statement"])),
            }
        }
        let statements = statements.ok_or_else(|| Malformed::syntax(span, "a policy has a `Statement`"))?;
        Ok(Self { version, id, statements, span })
    }

    /// The version in force: that of 2008-10-17 where none is written.
    pub fn effective_version(&self) -> Version {
        self.version.unwrap_or(Version::V2008)
    }
}

fn parse_version(node: &Node<'_>) -> Result<Version, Malformed> {
    match &node.value {
        Value::String(v) if v == "2012-10-17" => Ok(Version::V2012),
        Value::String(v) if v == "2008-10-17" => Ok(Version::V2008),
        _ => Err(Malformed::syntax(node.span, "`Version` is `2012-10-17` or `2008-10-17`")),
    }
}

fn parse_statements(node: Node<'_>) -> Result<Vec<Statement>, Malformed> {
    match node.value {
        Value::Array(items) if items.is_empty() => {
            Err(Malformed::syntax(node.span, "`Statement` has at least one statement"))
        }
        Value::Array(items) => items.into_iter().map(parse_statement).collect(),
        _ => Ok(vec![parse_statement(node)?]),
    }
}

fn parse_statement(node: Node<'_>) -> Result<Statement, Malformed> {
    let span = node.span;
    let (mut sid, mut effect, mut condition) = (None, None, None);
    let (mut principal, mut action, mut resource) = (None, None, None);
    for Member { key, key_span, node } in object(node, "a statement is an object")? {
        match key.as_ref() {
            "Sid" => sid = Some(string(node, "`Sid` is a string")?),
            "Effect" => effect = Some(parse_effect(node)?),
            "Principal" | "NotPrincipal" => {
                once(&mut principal, parse_principal(node, key == "NotPrincipal")?, key_span, "Principal")?;
            }
            "Action" | "NotAction" => {
                once(&mut action, parse_list(node, key == "NotAction")?, key_span, "Action")?;
            }
            "Resource" | "NotResource" => {
                once(&mut resource, parse_list(node, key == "NotResource")?, key_span, "Resource")?;
            }
            "Condition" => condition = Some(parse_condition(node)?),
            _ => return Err(unknown_element(&key, key_span, STATEMENT_ELEMENTS)),
        }
    }
    let (effect, effect_text) =
        effect.ok_or_else(|| Malformed::syntax(span, "a statement has an `Effect`"))?;
    Ok(Statement { sid, effect, effect_text, principal, action, resource, condition, span })
}

fn parse_effect(node: Node<'_>) -> Result<(Effect, Text), Malformed> {
    const EXPECTED: &str = "`Effect` is `Allow` or `Deny`";
    let text = string(node, EXPECTED)?;
    let effect = if text.value.eq_ignore_ascii_case("Allow") {
        Effect::Allow
    } else if text.value.eq_ignore_ascii_case("Deny") {
        Effect::Deny
    } else {
        return Err(Malformed::syntax(text.span, EXPECTED));
    };
    Ok((effect, text))
}

fn parse_principal(node: Node<'_>, negated: bool) -> Result<PrincipalElement, Malformed> {
    const EXPECTED: &str = "`Principal` is `\"*\"` or an object such as `{\"AWS\": \"123456789012\"}`";
    let span = node.span;
    let names = match &node.value {
        Value::String(name) if name == "*" => PrincipalNames::Anyone,
        _ => {
            let mut names = Vec::new();
            for Member { key, key_span, node } in object(node, EXPECTED)? {
                for name in parse_list(node, false)?.items {
                    names.push((Text { value: key.as_ref().into(), span: key_span }, name));
                }
            }
            PrincipalNames::Of(names)
        }
    };
    Ok(PrincipalElement { negated, names, span })
}

fn parse_list(node: Node<'_>, negated: bool) -> Result<List, Malformed> {
    const EXPECTED: &str = "expected a string or an array of strings";
    let span = node.span;
    let items = match node.value {
        Value::Array(items) => {
            items.into_iter().map(|item| string(item, EXPECTED)).collect::<Result<_, _>>()?
        }
        _ => vec![string(node, EXPECTED)?],
    };
    Ok(List { negated, items, span })
}

fn parse_condition(node: Node<'_>) -> Result<Condition, Malformed> {
    let span = node.span;
    let blocks = object(node, "`Condition` is an object of operators")?
        .into_iter()
        .map(parse_condition_block)
        .collect::<Result<_, _>>()?;
    Ok(Condition { blocks, span })
}

fn parse_condition_block(member: Member<'_>) -> Result<ConditionBlock, Malformed> {
    let name = Text { value: member.key.into(), span: member.key_span };
    let mut keys = Vec::new();
    for Member { key, key_span, node } in object(member.node, "a condition operator has an object of keys")? {
        let values = match node.value {
            Value::Array(items) => items.into_iter().map(condition_value).collect::<Result<_, _>>()?,
            _ => vec![condition_value(node)?],
        };
        keys.push((Text { value: key.into(), span: key_span }, values));
    }
    let operator = Operator::parse(&name.value);
    if operator.is_none() && !keys.is_empty() {
        let meant = did_you_mean(Operator::nearest(&name.value).as_deref());
        let detail = format!("`{}` is not a condition operator{meant}", name.value);
        return Err(Malformed::syntax(name.span, detail));
    }
    Ok(ConditionBlock { name, operator, keys })
}

fn condition_value(node: Node<'_>) -> Result<Text, Malformed> {
    let value: Box<str> = match node.value {
        Value::String(text) => text.into(),
        Value::Number(text) => text.into(),
        Value::Bool(true) => "true".into(),
        Value::Bool(false) => "false".into(),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            return Err(Malformed::syntax(node.span, "a condition value is a string, a number or a boolean"));
        }
    };
    Ok(Text { value, span: node.span })
}

fn object<'t>(node: Node<'t>, expected: &'static str) -> Result<Vec<Member<'t>>, Malformed> {
    match node.value {
        Value::Object(members) => Ok(members),
        _ => Err(Malformed::syntax(node.span, expected)),
    }
}

fn string(node: Node<'_>, expected: &'static str) -> Result<Text, Malformed> {
    match node.value {
        Value::String(value) => Ok(Text { value: value.into(), span: node.span }),
        _ => Err(Malformed::syntax(node.span, expected)),
    }
}

fn once<T>(slot: &mut Option<T>, value: T, key_span: Span, element: &str) -> Result<(), Malformed> {
    if slot.replace(value).is_some() {
        let detail = format!("a statement has either `{element}` or `Not{element}`");
        return Err(Malformed::syntax(key_span, detail));
    }
    Ok(())
}

/// What a statement may have.
const STATEMENT_ELEMENTS: &[&str] = &[
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
];

fn unknown_element(key: &str, span: Span, known: &[&str]) -> Malformed {
    let meant = did_you_mean(nearest(key, known.iter().copied()));
    Malformed::syntax(span, format!("`{key}` is not an element of the policy language here{meant}"))
}

fn did_you_mean(meant: Option<&str>) -> String {
    meant.map(|meant| format!(": did you mean `{meant}`?")).unwrap_or_default()
}

/// The size AWS holds against its quotas: characters other than white space.
pub fn size_without_whitespace(text: &str) -> usize {
    text.chars().filter(|c| !c.is_whitespace()).count()
}
