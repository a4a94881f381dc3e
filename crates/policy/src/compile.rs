//! From a validated document to the form that is evaluated: patterns encoded, text in one buffer.
//!
//! A document is compiled in full or not at all: leaving an element out would turn a narrow Allow into a wide one.

use crate::condition::{self, ConditionTest, Expected};
use crate::document::{Document, Effect, List, PrincipalElement, PrincipalNames, Version};
use crate::json::Span;
use crate::malformed::Malformed;
use crate::pattern::{Case, Encoder, Pattern, Plain, ResourcePattern, Texts};
use crate::trust::Principal;
use crate::validate::{Kind, validate};
use crate::variable::BadVariable;

/// A policy ready to be evaluated: immutable, shared freely between threads.
#[derive(Debug, Clone)]
pub struct Policy {
    pub(crate) texts: Texts,
    pub(crate) statements: Box<[Statement]>,
    pub(crate) actions: Box<[Pattern]>,
    pub(crate) resources: Box<[ResourcePattern]>,
    pub(crate) principals: Box<[Principal]>,
    pub(crate) tests: Box<[ConditionTest]>,
    pub(crate) expected: Box<[Expected]>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Statement {
    pub(crate) effect: Effect,
    /// What the actions may be, roughly.
    pub(crate) sketch: Sketch,
    pub(crate) actions: Listed,
    pub(crate) scope: Scope,
    /// The tests, all of which must hold.
    pub(crate) conditions: Range,
    pub(crate) sid: Option<Plain>,
    /// In the document.
    span: (u32, u32),
}

/// A list of the policy and whether the statement applies to everything but it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listed {
    pub(crate) negated: bool,
    pub(crate) range: Range,
}

/// A set of actions that may hold more than was put in: most statements of most policies are about something else, and one
/// look tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sketch {
    /// Actions without wildcards, by a bit of their hash.
    names: u64,
    /// The vendors of the others.
    vendors: u64,
}

impl Sketch {
    const ANYTHING: Self = Self { names: u64::MAX, vendors: u64::MAX };

    /// Of the action of a request, in lower case: looked for by its name and by its vendor.
    pub(crate) fn of_request(action: &[u8]) -> Self {
        let vendor = action.iter().position(|&byte| byte == b':').and_then(|colon| action.get(..colon));
        Self { names: bit(action), vendors: vendor.map_or(0, bit) }
    }

    fn of_pattern(action: &str) -> Self {
        let action = action.to_ascii_lowercase();
        let whole = Self::of_request(action.as_bytes());
        match (action.find(['*', '?']), action.find(':')) {
            (None, _) => Self { vendors: 0, ..whole },
            (Some(wildcard), Some(colon)) if colon < wildcard => Self { names: 0, ..whole },
            _ => Self::ANYTHING,
        }
    }

    fn of_patterns(actions: &List) -> Self {
        if actions.negated {
            return Self::ANYTHING;
        }
        let each = actions.items.iter().map(|action| Self::of_pattern(&action.value));
        each.fold(Self { names: 0, vendors: 0 }, |all, one| Self {
            names: all.names | one.names,
            vendors: all.vendors | one.vendors,
        })
    }

    #[inline]
    pub(crate) fn may_have(self, request: Self) -> bool {
        (self.names & request.names) | (self.vendors & request.vendors) != 0
    }
}

/// One of 64 bits, from the length of a text and what it begins and ends with.
fn bit(text: &[u8]) -> u64 {
    let word = |part: Option<&[u8; 8]>| part.map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let short = || text.iter().fold(0, |word: u64, byte| word << 8 | u64::from(*byte));
    let (head, tail) = (word(text.first_chunk()), word(text.last_chunk()));
    let mixed = if text.len() < 8 { short() } else { head ^ tail.rotate_left(29) ^ text.len() as u64 };
    1 << (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58)
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
    pub(crate) fn of<T>(all: &mut Vec<T>, added: impl Iterator<Item = T>) -> Self {
        let start = place(all.len());
        all.extend(added);
        Self { start, end: place(all.len()) }
    }

    pub(crate) fn get<T>(self, all: &[T]) -> &[T] {
        all.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// Documents are far below 4 GiB.
fn place(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

impl Policy {
    /// Parses, validates and compiles.
    ///
    /// # Errors
    /// [`Malformed`] with AWS's message.
    pub fn parse(text: &str, kind: Kind) -> Result<Self, Malformed> {
        Self::compile(&Document::parse(text)?, kind)
    }

    /// Validates and compiles a document already parsed.
    ///
    /// # Errors
    /// As [`Policy::parse`].
    pub fn compile(document: &Document, kind: Kind) -> Result<Self, Malformed> {
        validate(document, kind)?;
        let mut compiler = Compiler {
            variables: document.effective_version() >= Version::V2012,
            trust: kind == Kind::Trust,
            encoder: Encoder::default(),
            actions: Vec::new(),
            resources: Vec::new(),
            principals: Vec::new(),
            tests: Vec::new(),
            expected: Vec::new(),
        };
        let statements = document.statements.iter().map(|statement| compiler.statement(statement));
        let statements = statements.collect::<Result<_, _>>()?;
        Ok(Self {
            statements,
            texts: compiler.encoder.finish(),
            actions: compiler.actions.into(),
            resources: compiler.resources.into(),
            principals: compiler.principals.into(),
            tests: compiler.tests.into(),
            expected: compiler.expected.into(),
        })
    }

    /// The Sid of the statement at `index`, where it has one that is not empty.
    pub fn sid(&self, index: u16) -> Option<&str> {
        Some(self.texts.plain(self.statements.get(usize::from(index))?.sid?))
    }

    /// Where the statement at `index` stands in the document's text.
    pub fn span(&self, index: u16) -> Option<Span> {
        let (start, end) = self.statements.get(usize::from(index))?.span;
        Some(Span { start: start as usize, end: end as usize })
    }

    /// How many statements there are.
    pub fn statement_count(&self) -> usize {
        self.statements.len()
    }

    /// The context keys that the policy asks for, in conditions and as variables, as it spells them; some more than once.
    pub fn context_keys(&self) -> impl Iterator<Item = &str> {
        let tested = self.tests.iter().map(|test| self.texts.key(test.key).name());
        tested.chain(self.texts.variable_keys())
    }
}

struct Compiler {
    /// Whether `${` has a meaning.
    variables: bool,
    trust: bool,
    encoder: Encoder,
    actions: Vec<Pattern>,
    resources: Vec<ResourcePattern>,
    principals: Vec<Principal>,
    tests: Vec<ConditionTest>,
    expected: Vec<Expected>,
}

impl Compiler {
    fn statement(&mut self, statement: &crate::document::Statement) -> Result<Statement, Malformed> {
        let empty = List { negated: false, items: Vec::new(), span: statement.span };
        let actions = statement.action.as_ref().unwrap_or(&empty);
        let encoder = &mut self.encoder;
        let encoded = actions.items.iter().map(|action| encoder.pattern(&action.value, Case::Folded));
        let range = Range::of(&mut self.actions, encoded);
        let scope = match &statement.principal {
            Some(principal) if self.trust => self.principals(principal),
            _ => self.resources(statement.resource.as_ref().unwrap_or(&empty))?,
        };
        let sid = statement.sid.as_ref().filter(|sid| !sid.value.is_empty());
        Ok(Statement {
            effect: statement.effect,
            sketch: Sketch::of_patterns(actions),
            actions: Listed { negated: actions.negated, range },
            scope,
            conditions: self.conditions(statement)?,
            sid: sid.map(|sid| self.encoder.plain(&sid.value)),
            span: (place(statement.span.start), place(statement.span.end)),
        })
    }

    fn resources(&mut self, resources: &List) -> Result<Scope, Malformed> {
        let mut encoded = Vec::with_capacity(resources.items.len());
        for resource in &resources.items {
            let pattern = self.encoder.resource(&resource.value, self.variables);
            encoded.push(pattern.map_err(|bad| bad_variable(&bad, resource.span))?);
        }
        let range = Range::of(&mut self.resources, encoded.into_iter());
        Ok(Scope::Resources(Listed { negated: resources.negated, range }))
    }

    fn conditions(&mut self, statement: &crate::document::Statement) -> Result<Range, Malformed> {
        let mut tests = Vec::new();
        for block in statement.condition.iter().flat_map(|condition| &condition.blocks) {
            // Without one there is no key either: it tests nothing.
            let Some(operator) = block.operator else { continue };
            let variables = self.variables && operator.takes_variables();
            for (key, values) in &block.keys {
                let texts = values.iter().map(|value| value.value.as_ref());
                let test = condition::compile(
                    operator,
                    &key.value,
                    texts,
                    variables,
                    &mut self.encoder,
                    &mut self.expected,
                );
                tests.push(test.map_err(|bad| bad_variable(&bad, key.span))?);
            }
        }
        Ok(Range::of(&mut self.tests, tests.into_iter()))
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

/// Validation refuses them before; it is said here too because compiling must not depend on that.
fn bad_variable(bad: &BadVariable, span: Span) -> Malformed {
    Malformed::legacy(span, bad.problem)
}
