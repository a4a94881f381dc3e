//! What is wrong with a document, in AWS's words, and where.
//!
//! `Display` is the exact text that goes over the wire with the code `MalformedPolicyDocument`; the detail is
//! for people who look at their file. Nothing here decides; `document` and `validate` do.

use std::borrow::Cow;

use thiserror::Error;

use crate::json::Span;

/// A document that AWS refuses with the code `MalformedPolicyDocument`. Displays as AWS's exact message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct Malformed {
    reason: Reason,
    span: Option<Span>,
    detail: Option<Cow<'static, str>>,
}

/// The rule that was broken. Displays as AWS's exact message; texts are as recorded from AWS.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the message says it")]
pub enum Reason {
    #[error("Syntax errors in policy.")]
    Syntax,
    #[error("Policy document must be version 2012-10-17 or greater.")]
    Version,
    #[error("Policy document should not specify a principal.")]
    PrincipalNotAllowed,
    #[error("The policy failed legacy parsing")]
    LegacyParsing,
    #[error("Statement IDs (SID) in a single policy must be unique.")]
    DuplicateSid,
    #[error("Policy statement must contain actions.")]
    NoActions,
    #[error("Policy statement must contain resources.")]
    NoResources,
    #[error("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")]
    NoVendor,
    #[error("Actions/Condition can contain only one colon.")]
    ManyColons,
    #[error("Vendor {0} is not valid")]
    Vendor(String),
    #[error("Resource {0} must be in ARN format or \"*\".")]
    NotAnArn(String),
    #[error("Partition \"{partition}\" is not valid for resource \"{resource}\".")]
    Partition { partition: String, resource: String },
    #[error("Resource vendor must be fully qualified and cannot contain regexes.")]
    ResourceVendor,
    #[error("IAM resource {0} cannot contain region information.")]
    IamRegion(String),
    #[error(
        "IAM resource path must either be \"*\" or start with user/, federated-user/, role/, group/, \
         instance-profile/, mfa/, server-certificate/, policy/, sms-mfa/, saml-provider/, oidc-provider/, \
         report/, access-report/."
    )]
    IamPath,
    #[error("Resource {0} can not contain region information.")]
    Region(String),
    #[error("Has prohibited field Resource.")]
    ProhibitedResource,
    #[error("AssumeRole policy must not contain resources.")]
    ProhibitedNotResource,
    #[error("Missing required field Principal")]
    NoPrincipal,
    #[error("Missing required field Principal cannot be empty!")]
    EmptyPrincipal,
    #[error("Allow with NotPrincipal is not allowed.")]
    AllowNotPrincipal,
    #[error("AssumeRole policy may only specify STS AssumeRole actions.")]
    TrustAction,
    #[error("Invalid principal in policy: \"{provider}\":\"{name}\"")]
    Principal { provider: String, name: String },
}

impl Malformed {
    pub(crate) fn new(reason: Reason, span: Span) -> Self {
        Self { reason, span: Some(span), detail: None }
    }

    pub(crate) fn syntax(span: Span, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { reason: Reason::Syntax, span: Some(span), detail: Some(detail.into()) }
    }

    pub(crate) fn legacy(span: Span, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { reason: Reason::LegacyParsing, span: Some(span), detail: Some(detail.into()) }
    }

    /// The rule that was broken.
    pub fn reason(&self) -> &Reason {
        &self.reason
    }

    /// The bytes of the document at fault, where one place can be named.
    pub fn span(&self) -> Option<Span> {
        self.span
    }

    /// What AWS's message leaves out: for people, never for the wire.
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }
}
