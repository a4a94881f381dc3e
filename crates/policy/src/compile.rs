//! From a validated document to the form that is evaluated: patterns encoded, text in one buffer.
//!
//! A document with an element that cannot be evaluated yet is refused as a whole, by the element's name:
//! leaving a condition out would turn a narrow Allow into a wide one.

use thiserror::Error;

use crate::document::{Document, Effect, List, PrincipalElement, PrincipalNames, Text, Version};
use crate::json::Span;
use crate::malformed::Malformed;
use crate::pattern::{Case, Encoder, Pattern, ResourcePattern};
use crate::trust::Principal;
use crate::validate::{Kind, validate};

/// A policy ready to be evaluated: immutable, shared freely between threads.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The encoded patterns and the Sids.
    pub(crate) text: Box<[u8]>,
    pub(crate) statements: Box<[Statement]>,
    pub(crate) actions: Box<[Pattern]>,
    pub(crate) resources: Box<[ResourcePattern]>,
    pub(crate) principals: Box<[Principal]>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Statement {
    pub(crate) effect: Effect,
    pub(crate) actions: Listed,
    pub(crate) scope: Scope,
    sid: Option<Pattern>,
}

/// A list of the policy and whether the statement applies to everything but it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listed {
    pub(crate) negated: bool,
    pub(crate) range: Range,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Scope {
    Resources(Listed),
    Principals { negated: bool, range: Range },
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Range {
    start: u32,
    end: u32,
}

impl Range {
    fn of<T>(all: &mut Vec<T>, added: impl Iterator<Item = T>) -> Self {
        let index = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let start = index(all.len());
        all.extend(added);
        Self { start, end: index(all.len()) }
    }

    pub(crate) fn get<T>(self, all: &[T]) -> &[T] {
        all.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// Why a text is not a policy.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PolicyError {
    /// AWS would refuse it too, with this message.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// AWS would accept it; Countersign cannot apply it in full and therefore not at all.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
}

/// An element of the policy language that this version does not evaluate.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{what} in statement {statement}{} is not supported by this version of Countersign; \
     a policy is never applied with an element left out",
    sid.as_ref().map(|sid| format!(" (Sid `{sid}`)")).unwrap_or_default()
)]
pub struct Unsupported {
    what: What,
    statement: usize,
    sid: Option<Box<str>>,
    span: Span,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
enum What {
    #[error("element `Condition`")]
    Condition,
    #[error("policy variable `{variable}` of element `{element}`")]
    Variable { element: &'static str, variable: Box<str> },
}

impl Unsupported {
    /// The statement's position, counted from 1.
    pub fn statement(&self) -> usize {
        self.statement
    }

    /// The statement's Sid, where it has one.
    pub fn sid(&self) -> Option<&str> {
        self.sid.as_deref()
    }

    /// Where the element is written.
    pub fn span(&self) -> Span {
        self.span
    }
}

impl Policy {
    /// Parses, validates and compiles.
    ///
    /// # Errors
    /// [`PolicyError::Malformed`] with AWS's message, or [`PolicyError::Unsupported`] naming the element.
    pub fn parse(text: &str, kind: Kind) -> Result<Self, PolicyError> {
        Self::compile(&Document::parse(text)?, kind)
    }

    /// Validates and compiles a document already parsed.
    ///
    /// # Errors
    /// As [`Policy::parse`].
    pub fn compile(document: &Document, kind: Kind) -> Result<Self, PolicyError> {
        validate(document, kind)?;
        refuse_unsupported(document)?;
        let mut compiler = Compiler::default();
        let statements =
            document.statements.iter().map(|statement| compiler.statement(statement, kind)).collect();
        Ok(Self {
            text: compiler.encoder.text.into(),
            statements,
            actions: compiler.actions.into(),
            resources: compiler.resources.into(),
            principals: compiler.principals.into(),
        })
    }

    /// The Sid of the statement at `index`, where it has one that is not empty.
    pub fn sid(&self, index: u16) -> Option<&str> {
        let sid = self.statements.get(usize::from(index))?.sid?;
        std::str::from_utf8(sid.bytes(&self.text)?).ok()
    }

    /// How many statements there are.
    pub fn statement_count(&self) -> usize {
        self.statements.len()
    }
}

#[derive(Default)]
struct Compiler {
    encoder: Encoder,
    actions: Vec<Pattern>,
    resources: Vec<ResourcePattern>,
    principals: Vec<Principal>,
}

impl Compiler {
    fn statement(&mut self, statement: &crate::document::Statement, kind: Kind) -> Statement {
        let empty = List { negated: false, items: Vec::new(), span: statement.span };
        let actions = statement.action.as_ref().unwrap_or(&empty);
        let encoder = &mut self.encoder;
        let encoded = actions.items.iter().map(|action| encoder.pattern(&action.value, Case::Folded));
        let range = Range::of(&mut self.actions, encoded);
        let scope = match (&statement.principal, kind) {
            (Some(principal), Kind::Trust) => self.principals(principal),
            _ => self.resources(statement.resource.as_ref().unwrap_or(&empty)),
        };
        let sid = statement.sid.as_ref().filter(|sid| !sid.value.is_empty());
        Statement {
            effect: statement.effect,
            actions: Listed { negated: actions.negated, range },
            scope,
            sid: sid.map(|sid| self.encoder.literal(&sid.value)),
        }
    }

    fn resources(&mut self, resources: &List) -> Scope {
        let encoder = &mut self.encoder;
        let encoded = resources.items.iter().map(|resource| encoder.resource(&resource.value));
        let range = Range::of(&mut self.resources, encoded);
        Scope::Resources(Listed { negated: resources.negated, range })
    }

    fn principals(&mut self, element: &PrincipalElement) -> Scope {
        let range = match &element.names {
            PrincipalNames::Anyone => Range::of(&mut self.principals, std::iter::once(Principal::Anyone)),
            PrincipalNames::Of(names) => {
                let parsed = names.iter().filter_map(|(p, name)| Principal::parse(&p.value, &name.value));
                Range::of(&mut self.principals, parsed)
            }
        };
        Scope::Principals { negated: element.negated, range }
    }
}

fn refuse_unsupported(document: &Document) -> Result<(), Unsupported> {
    let variables = document.effective_version() >= Version::V2012;
    for (statement, position) in document.statements.iter().zip(1..) {
        let refuse = |what, span| {
            let sid = statement.sid.as_ref().map(|sid| sid.value.clone()).filter(|sid| !sid.is_empty());
            Err(Unsupported { what, statement: position, sid, span })
        };
        if let Some(condition) = &statement.condition {
            return refuse(What::Condition, condition.span);
        }
        let Some(resource) = statement.resource.as_ref().filter(|_| variables) else { continue };
        for Text { value, span } in &resource.items {
            if let Some(variable) = first_variable(value) {
                let element = if resource.negated { "NotResource" } else { "Resource" };
                return refuse(What::Variable { element, variable: variable.into() }, *span);
            }
        }
    }
    Ok(())
}

/// From the first `${` to its brace, or to the end where there is none: what an open brace means is not known,
/// so it is not guessed.
fn first_variable(text: &str) -> Option<&str> {
    let open = text.find("${")?;
    let rest = text.get(open..)?;
    rest.find('}').map_or(Some(rest), |close| rest.get(..=close))
}
