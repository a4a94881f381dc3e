//! AWS's rules beyond syntax, in AWS's order, with AWS's messages.
//!
//! The order is part of the contract: a document that breaks two rules gets the message of the first stage.
//! It was derived from recorded answers of CreatePolicy: version, legacy parsing (effect, condition dates, ARN
//! shape), unique Sids, actions present, resource format, action vendor, resources present. The first fault in
//! a resource's format also ends the legacy parsing of resources, so it hides later ones.

use std::collections::BTreeSet;

use crate::condition::Operator;
use crate::date::is_date;
use crate::document::{
    Condition, Document, Effect, PrincipalElement, PrincipalNames, Statement, Text, Version,
};
use crate::json::Span;
use crate::malformed::{Malformed, Reason};
use crate::pattern;
use crate::trust::Principal;
use crate::variable::pieces;

/// What a document is for: which of AWS's rules apply to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A managed policy (CreatePolicy): must be of version 2012-10-17.
    Managed,
    /// A policy embedded in a user, group or role.
    Inline,
    /// A role's trust policy: names principals, has no resources.
    Trust,
    /// A policy passed with AssumeRole or GetFederationToken: its ARNs must be complete.
    Session,
    /// A service control policy.
    ServiceControl,
}

/// The partitions of AWS; a resource or principal of another one is refused.
const PARTITIONS: [&str; 8] =
    ["aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f", "aws-eusc"];

/// What the path of an IAM resource starts with.
const IAM_PATHS: [&str; 13] = [
    "user/",
    "federated-user/",
    "role/",
    "group/",
    "instance-profile/",
    "mfa/",
    "server-certificate/",
    "policy/",
    "sms-mfa/",
    "saml-provider/",
    "oidc-provider/",
    "report/",
    "access-report/",
];

/// What a trust policy may allow or deny, in lower case, without the vendor.
const TRUST_ACTIONS: [&str; 3] = ["tagsession", "setsourceidentity", "setcontext"];

/// Holds the document to AWS's rules for `kind`.
///
/// # Errors
/// The first broken rule, in AWS's order.
pub fn validate(document: &Document, kind: Kind) -> Result<(), Malformed> {
    if kind == Kind::Managed && document.effective_version() < Version::V2012 {
        return Err(Malformed::new(Reason::Version, document.span));
    }
    if kind == Kind::Trust { validate_trust(document) } else { validate_identity(document, kind) }
}

fn validate_identity(document: &Document, kind: Kind) -> Result<(), Malformed> {
    let statements = &document.statements;
    if let Some(principal) = statements.iter().find_map(|s| s.principal.as_ref()) {
        return Err(Malformed::new(Reason::PrincipalNotAllowed, principal.span));
    }
    legacy_parse(document)?;
    let format = resource_formats(statements, kind)?;
    unique_sids(statements)?;
    actions_present(statements)?;
    format?;
    action_vendors(statements)?;
    for statement in statements {
        if statement.resource.as_ref().is_none_or(|r| r.items.is_empty()) {
            return Err(Malformed::new(Reason::NoResources, statement.span));
        }
    }
    Ok(())
}

fn validate_trust(document: &Document) -> Result<(), Malformed> {
    let statements = &document.statements;
    legacy_parse(document)?;
    unique_sids(statements)?;
    for statement in statements {
        if let Some(resource) = &statement.resource {
            let reason =
                if resource.negated { Reason::ProhibitedNotResource } else { Reason::ProhibitedResource };
            return Err(Malformed::new(reason, resource.span));
        }
    }
    for statement in statements {
        let Some(principal) = &statement.principal else {
            return Err(Malformed::new(Reason::NoPrincipal, statement.span));
        };
        if principal.negated && statement.effect == Effect::Allow {
            return Err(Malformed::new(Reason::AllowNotPrincipal, principal.span));
        }
    }
    actions_present(statements)?;
    action_vendors(statements)?;
    for action in all_actions(statements) {
        if !is_trust_action(&action.value) {
            return Err(Malformed::new(Reason::TrustAction, action.span));
        }
    }
    statements.iter().filter_map(|s| s.principal.as_ref()).try_for_each(principal_names)
}

fn legacy_parse(document: &Document) -> Result<(), Malformed> {
    for statement in &document.statements {
        if !matches!(statement.effect_text.value.as_ref(), "Allow" | "Deny") {
            return Err(Malformed::legacy(
                statement.effect_text.span,
                "the case of `Effect` matters: `Allow` or `Deny`",
            ));
        }
        if let Some(condition) = &statement.condition {
            condition_values(condition)?;
        }
        if document.effective_version() >= Version::V2012 {
            variables(statement)?;
        }
    }
    Ok(())
}

/// What AWS says of a `${` that does not begin a variable was never recorded. What it would mean is not guessed: the document
/// is refused.
fn variables(statement: &Statement) -> Result<(), Malformed> {
    let resources = statement.resource.iter().flat_map(|list| &list.items);
    for resource in resources {
        if let Some(behind_fifth_colon) = resource.value.splitn(6, ':').nth(5) {
            well_formed_variables(behind_fifth_colon, resource.span)?;
        }
    }
    let blocks = statement.condition.iter().flat_map(|condition| &condition.blocks);
    for block in blocks.filter(|block| block.operator.is_some_and(Operator::takes_variables)) {
        for value in block.keys.iter().flat_map(|(_, values)| values) {
            well_formed_variables(&value.value, value.span)?;
        }
    }
    Ok(())
}

fn well_formed_variables(text: &str, span: Span) -> Result<(), Malformed> {
    match pieces(text).find_map(Result::err) {
        Some(bad) => {
            let written = text.get(bad.at.start..bad.at.end).unwrap_or(text);
            Err(Malformed::legacy(span, format!("`{written}`: {}", bad.problem)))
        }
        None => Ok(()),
    }
}

fn condition_values(condition: &Condition) -> Result<(), Malformed> {
    let dates = condition.blocks.iter().filter(|b| b.operator.is_some_and(Operator::compares_dates));
    for value in dates.flat_map(|block| &block.keys).flat_map(|(_, values)| values) {
        if !is_date(&value.value) {
            return Err(Malformed::legacy(
                value.span,
                format!(
                    "`{}` is neither a date such as `2026-01-31T00:00:00Z` nor an epoch in seconds",
                    value.value
                ),
            ));
        }
    }
    Ok(())
}

/// The outer error is one of legacy parsing, which AWS reports before other rules; the inner one waits its turn.
fn resource_formats(statements: &[Statement], kind: Kind) -> Result<Result<(), Malformed>, Malformed> {
    for Text { value, span } in statements.iter().filter_map(|s| s.resource.as_ref()).flat_map(|r| &r.items) {
        if let Err(reason) = resource_format(value, kind) {
            return Ok(Err(Malformed::new(reason, *span)));
        }
        legacy_parse_resource(value, *span)?;
    }
    Ok(Ok(()))
}

fn legacy_parse_resource(resource: &str, span: Span) -> Result<(), Malformed> {
    if resource == "*" {
        return Ok(());
    }
    let complete = resource.bytes().filter(|&b| b == b':').count() >= 5;
    if !complete && resource.contains("::") {
        return Err(Malformed::legacy(span, "an ARN has five colons before its resource"));
    }
    if resource.split(':').nth(2).is_some_and(str::is_empty) {
        return Err(Malformed::legacy(span, "the service of the ARN is missing"));
    }
    Ok(())
}

fn resource_format(resource: &str, kind: Kind) -> Result<(), Reason> {
    if resource == "*" {
        return Ok(());
    }
    let not_an_arn = || Reason::NotAnArn(resource.to_owned());
    let (head, rest) = resource.split_once(':').ok_or_else(not_an_arn)?;
    let mut parts = rest.splitn(5, ':');
    let partition = parts.next().unwrap_or_default();
    if !PARTITIONS.iter().any(|known| pattern::matches(partition, known)) {
        return Err(Reason::Partition {
            partition: partition.to_owned(),
            resource: complete_for_message(rest),
        });
    }
    // AWS was never seen to look at the first word where the partition is right; anything but `arn` could
    // match nothing, which is no help to whoever wrote it.
    if head != "arn" {
        return Err(not_an_arn());
    }
    let vendor = parts.next().ok_or(Reason::ResourceVendor)?;
    if vendor.contains(['*', '?']) {
        return Err(Reason::ResourceVendor);
    }
    let (region, account, path) = (parts.next(), parts.next(), parts.next());
    if region.is_some_and(|region| !region.is_empty()) {
        match vendor {
            "iam" => return Err(Reason::IamRegion(resource.to_owned())),
            // Buckets have neither region nor account; access points and jobs have both.
            "s3" if account == Some("") => return Err(Reason::Region(resource.to_owned())),
            _ => {}
        }
    }
    if vendor == "iam"
        && let Some(path) = path
        && path != "*"
        && !IAM_PATHS.iter().any(|prefix| path.starts_with(prefix))
    {
        return Err(Reason::IamPath);
    }
    // "::" in an incomplete ARN is the business of legacy parsing, in every kind of policy.
    if kind == Kind::Session && path.is_none() && !resource.contains("::") {
        return Err(not_an_arn());
    }
    Ok(())
}

/// AWS shows the ARN with `arn` in front and missing parts as `*`.
fn complete_for_message(after_first_colon: &str) -> String {
    let missing = 4_usize.saturating_sub(after_first_colon.matches(':').count());
    format!("arn:{after_first_colon}{}", ":*".repeat(missing))
}

fn unique_sids(statements: &[Statement]) -> Result<(), Malformed> {
    let mut seen = BTreeSet::new();
    for sid in statements.iter().filter_map(|s| s.sid.as_ref()) {
        // Recorded: AWS takes many statements with an empty Sid.
        if !sid.value.is_empty() && !seen.insert(&sid.value) {
            return Err(Malformed::new(Reason::DuplicateSid, sid.span));
        }
    }
    Ok(())
}

fn actions_present(statements: &[Statement]) -> Result<(), Malformed> {
    match statements.iter().find(|s| s.action.as_ref().is_none_or(|a| a.items.is_empty())) {
        Some(statement) => Err(Malformed::new(Reason::NoActions, statement.span)),
        None => Ok(()),
    }
}

fn action_vendors(statements: &[Statement]) -> Result<(), Malformed> {
    for action in all_actions(statements) {
        action_vendor(&action.value).map_err(|reason| Malformed::new(reason, action.span))?;
    }
    Ok(())
}

fn action_vendor(action: &str) -> Result<(), Reason> {
    if action == "*" {
        return Ok(());
    }
    let (vendor, name) = action.split_once(':').ok_or(Reason::NoVendor)?;
    if name.contains(':') {
        return Err(Reason::ManyColons);
    }
    if vendor.is_empty() || !vendor.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.')) {
        return Err(Reason::Vendor(vendor.to_owned()));
    }
    Ok(())
}

fn is_trust_action(action: &str) -> bool {
    let action = action.to_ascii_lowercase();
    action
        .strip_prefix("sts:")
        .is_some_and(|name| name.starts_with("assumerole") || TRUST_ACTIONS.contains(&name))
}

fn principal_names(element: &PrincipalElement) -> Result<(), Malformed> {
    let PrincipalNames::Of(names) = &element.names else { return Ok(()) };
    if names.is_empty() {
        return Err(Malformed::new(Reason::EmptyPrincipal, element.span));
    }
    for (provider, name) in names {
        if Principal::parse(&provider.value, &name.value).is_none() {
            // AWS shouts the provider: "SERVICE", "FEDERATED".
            let provider = provider.value.to_ascii_uppercase();
            let reason = Reason::Principal { provider, name: name.value.to_string() };
            return Err(Malformed::new(reason, name.span));
        }
    }
    Ok(())
}

pub(crate) fn is_partition(name: &str) -> bool {
    PARTITIONS.contains(&name)
}

fn all_actions(statements: &[Statement]) -> impl Iterator<Item = &Text> {
    statements.iter().filter_map(|s| s.action.as_ref()).flat_map(|a| &a.items)
}
