//! The policies of a simulation: those that are given with the question, those that are attached, how answers name them, and
//! where their statements stand.

use crate::call::Call;
use crate::query::{ApiError, Params, Writer};
use http::StatusCode;
use iam::{Consulted, NamedPolicy, PolicyType, Source};
use policy::{Document, Kind, Place, Places, Policy};
use std::sync::Arc;

/// A policy that is given with the question.
pub(super) struct Given {
    named: NamedPolicy,
    policy: Arc<Policy>,
    text: String,
}

/// A policy that is asked.
pub(super) struct Asked<'s> {
    pub(super) consulted: Consulted<'s>,
    pub(super) policy: &'s Policy,
    /// `SourcePolicyId`.
    pub(super) id: String,
    /// What answers say of its statements, by their position in it.
    pub(super) statements: Vec<Statement>,
}

/// A statement of a document.
pub(super) struct Statement {
    /// The context keys that it asks for.
    pub(super) keys: Vec<String>,
    /// Where its `{` is, and what comes behind its `}`.
    pub(super) place: Option<(Place, Place)>,
}

/// Writes a place.
pub(super) fn write_place(place: Place, name: &str, w: &mut Writer) {
    w.element(name, |w| {
        w.number("Line", place.line);
        w.number("Column", place.column);
    });
}

/// The parameter with the identity policies that are given.
pub(super) const INPUT: &str = "PolicyInputList";

/// Takes a list of documents. Answers call them by the name of the parameter and their number.
pub(super) fn take(params: &mut Params, list: &str) -> Result<Vec<Given>, ApiError> {
    let mut all = Vec::new();
    for (index, text) in params.list(list, "member")?.into_iter().enumerate() {
        let number = index + 1;
        if text.chars().count() > policy::MAX_DOCUMENT_BYTES {
            // The text itself would be most of the answer.
            let constraint = format!("must have length less than or equal to {}", policy::MAX_DOCUMENT_BYTES);
            return Err(params.invalid(&format!("{list}.member.{number}"), "...", &constraint));
        }
        let policy = Policy::parse(&text, Kind::Inline).map_err(|error| {
            if let Some(detail) = error.detail() {
                tracing::debug!(detail, span = ?error.span(), "a policy document was refused");
            }
            ApiError::invalid_input(error.to_string())
        })?;
        let policy = Arc::new(policy);
        let named = NamedPolicy { name: format!("{list}.{number}").into(), policy: Ok(policy.clone()) };
        all.push(Given { named, policy, text });
    }
    Ok(all)
}

/// Takes the policies of a simulation that is of nothing else.
pub(super) fn take_some(params: &mut Params) -> Result<Vec<Given>, ApiError> {
    let given = take(params, INPUT)?;
    if given.is_empty() {
        // The error that names it.
        params.required(INPUT)?;
    }
    Ok(given)
}

/// Takes the permissions boundary: nobody has two.
pub(super) fn take_boundary(params: &mut Params) -> Result<Option<Given>, ApiError> {
    const LIST: &str = "PermissionsBoundaryPolicyInputList";
    let mut given = take(params, LIST)?;
    let boundary = given.pop();
    if given.is_empty() {
        Ok(boundary)
    } else {
        Err(ApiError::invalid_input("You can input only one permissions boundary policy."))
    }
}

impl Given {
    pub(super) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The policy as one of the kind.
    pub(super) fn asked(&self, kind: PolicyType) -> Asked<'_> {
        let source = Source::Question;
        Asked {
            consulted: Consulted { kind, source, policy: Ok(&self.named), managed: false },
            policy: &self.policy,
            id: self.named.name.to_string(),
            statements: statements(&self.policy, Some(&self.text), Kind::Inline),
        }
    }
}

/// An attached policy, with what its document says beyond the compiled policy.
pub(super) async fn attached<'s>(call: &Call<'_>, consulted: Consulted<'s>) -> Result<Asked<'s>, ApiError> {
    let policy = readable(&consulted)?;
    let name = consulted.policy.map_or("", |named| &named.name);
    let text = store::policy_text(&call.services.records, &consulted, None).await?;
    let kind = match consulted.kind {
        PolicyType::ServiceControl => Kind::ServiceControl,
        _ if consulted.managed => Kind::Managed,
        _ => Kind::Inline,
    };
    let statements = statements(policy, text.as_deref(), kind);
    Ok(Asked { consulted, policy, id: id(&consulted, name), statements })
}

/// The policy, if it can be read. What another one denies is not known, and with it no answer is.
pub(super) fn readable<'s>(consulted: &Consulted<'s>) -> Result<&'s Policy, ApiError> {
    let named = consulted.policy.map_err(|name| unreadable(name, "it is attached but does not exist"))?;
    named.policy.as_deref().map_err(|reason| unreadable(&named.name, reason))
}

/// The error for a policy that is in force and cannot be read.
pub(super) fn unreadable(policy: &str, reason: &str) -> ApiError {
    let message = format!("The policy {policy} cannot be evaluated: {reason}");
    ApiError { sender: false, ..ApiError::new("PolicyEvaluation", message) }
        .with_status(StatusCode::INTERNAL_SERVER_ERROR)
}

fn last_segment(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or_default()
}

/// How AWS's answers name a policy: a managed one by its name, an inline one by whose it is as well.
fn id(consulted: &Consulted<'_>, name: &str) -> String {
    match consulted.source {
        _ if consulted.managed => last_segment(name).to_owned(),
        Source::User(user) => format!("user_{}_{name}", user.name),
        Source::Group(group) => format!("group_{}_{name}", last_segment(group.arn.as_str())),
        Source::Role(role) => format!("role_{}_{name}", last_segment(role.arn.as_str())),
        Source::Session | Source::Level(_) | Source::Question => name.to_owned(),
    }
}

/// What answers say of each statement. Where the text is gone or is another one by now there are no places, and each is
/// said to ask for all that the policy asks for.
fn statements(policy: &Policy, text: Option<&str>, kind: Kind) -> Vec<Statement> {
    let same = |document: &Document| {
        let mut spans = document.statements.iter().map(|statement| Some(statement.span));
        document.statements.len() == policy.statement_count()
            && (0..).zip(&mut spans).all(|(index, span)| policy.span(index) == span)
    };
    let document = text.and_then(|text| Document::parse(text).ok().filter(same).map(|parsed| (text, parsed)));
    let Some((text, document)) = document else {
        let whole = || Statement { keys: policy.context_keys().map(str::to_owned).collect(), place: None };
        return std::iter::repeat_with(whole).take(policy.statement_count()).collect();
    };
    let mut places = Places::new(text);
    let noted = document.statements.iter().map(|statement| {
        // Alone in a document it is a policy, which knows what it asks for.
        let alone = Document { id: None, statements: vec![statement.clone()], ..document };
        let keys = Policy::compile(&alone, kind)
            .map(|alone| alone.context_keys().map(str::to_owned).collect())
            .unwrap_or_default();
        let start = places.advance(statement.span.start);
        Statement { keys, place: Some((start, places.advance(statement.span.end))) }
    });
    noted.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_have_their_places_and_their_keys() {
        let text = r#"{"Version": "2012-10-17", "Id": "é😀", "Statement": [
  {"Effect": "Allow", "Action": "a:b", "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": "true"}}}, {
    "Effect": "Deny", "Action": "a:b", "Resource": "arn:aws:s3:::é/${aws:username}",
    "Condition": {"StringEquals": {"a:k": "${aws:PrincipalTag/x}"}}
}]}"#;
        let policy = Policy::parse(text, Kind::Inline).unwrap();
        let noted = statements(&policy, Some(text), Kind::Inline);
        let place = |line, column| Place { line, column };
        assert_eq!(noted[0].place, Some((place(2, 3), place(2, 112))));
        assert_eq!(noted[1].place, Some((place(2, 114), place(5, 2))));
        assert_eq!(noted[0].keys, ["aws:SecureTransport"]);
        let mut keys = noted[1].keys.clone();
        keys.sort();
        assert_eq!(keys, ["a:k", "aws:PrincipalTag/x", "aws:username"]);

        // A text that is not the policy's tells nothing about where its statements are.
        for other in [None, Some("{}"), Some(text.split_once(' ').unwrap().1), Some(&*text.replace("é", "e"))]
        {
            let noted = statements(&policy, other, Kind::Inline);
            assert_eq!(noted.len(), 2);
            assert!(noted.iter().all(|statement| statement.place.is_none() && statement.keys.len() == 4));
        }
    }
}
