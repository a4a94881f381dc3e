//! Why a signed request is refused, in AWS's codes and words: clients show them and people search for them,
//! so unlike our other messages they keep AWS's capitals and full stops. None repeats a signature.

use crate::{
    Timestamp,
    request::{ALGORITHM, CLOCK_SKEW, LONGEST_VALIDITY},
};

/// Why a request's signature is refused. `Display` is the text to answer with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// There is no signature.
    #[error("Request is missing Authentication Token")]
    MissingAuthenticationToken,
    /// There is something of a signature.
    #[error("{0}")]
    IncompleteSignature(#[from] Incomplete),
    /// The scope is for another day than the request.
    #[error(
        "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{scope}' != \
         '{day}', from '{date}'.", day = date.date_stamp()
    )]
    ScopeDateMismatch {
        /// The day in the scope.
        scope: String,
        /// The request's time.
        date: Timestamp,
    },
    /// Signed too long ago.
    #[error(
        "Signature expired: {signed} is now earlier than {limit} ({now} - {allowed}.)",
        limit = now.saturating_add(-allowed), allowed = span(*allowed)
    )]
    Expired {
        /// The request's time.
        signed: Timestamp,
        /// Our clock.
        now: Timestamp,
        /// The age allowed, in seconds.
        allowed: i64,
    },
    /// Dated ahead.
    #[error(
        "Signature not yet current: {signed} is still later than {limit} ({now} + {allowed}.)",
        limit = now.saturating_add(CLOCK_SKEW), allowed = span(CLOCK_SKEW)
    )]
    NotYetCurrent {
        /// The request's time.
        signed: Timestamp,
        /// Our clock.
        now: Timestamp,
    },
    /// A header is listed as signed and is not there.
    #[error("The header '{0}' is named in SignedHeaders but is not in the request.")]
    SignedHeaderMissing(String),
    /// A header that has to be signed is not.
    #[error("There were headers present in the request which were not signed: {0}")]
    UnsignedHeader(&'static str),
    /// `x-amz-content-sha256` is not the hash of the body.
    #[error("The provided 'x-amz-content-sha256' header does not match what was computed.")]
    ContentSha256Mismatch,
    /// Another signature than the request's comes out.
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access \
         Key and signing method. Consult the service documentation for details."
    )]
    SignatureDoesNotMatch,
    /// A good signature, for another service.
    #[error("Credential should be scoped to correct service: '{expected}'.")]
    WrongService {
        /// The service it should be.
        expected: String,
    },
}

/// What a signature lacks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Incomplete {
    /// Parts missing in the header form.
    #[error("{}", header_parts(missing))]
    Header {
        /// Their names, separated by spaces.
        missing: String,
    },
    /// Parameters missing in the query form.
    #[error("{}", query_parts(missing))]
    Query {
        /// Their names, separated by spaces.
        missing: String,
    },
    /// A field of the header is no `name=value`.
    #[error("Authorization header has a field that is not a valid key=value pair (missing equal-sign).")]
    NotKeyValue,
    /// A header or parameter that may come once came twice.
    #[error("'{0}' must not be repeated.")]
    Repeated(String),
    /// A signature in the header and one in the query.
    #[error(
        "Only one auth mechanism allowed: the Authorization header or the X-Amz-Algorithm query parameter."
    )]
    TwoSignatures,
    /// A part is not UTF-8.
    #[error("The authentication parameters must be UTF-8.")]
    NotText,
    /// Another algorithm.
    #[error("Unsupported AWS 'algorithm': '{0}' (only {ALGORITHM} for now).")]
    Algorithm(String),
    /// Not a credential.
    #[error(
        "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{0}'"
    )]
    Credential(String),
    /// The scope's last element.
    #[error("Credential should be scoped with a valid terminator: 'aws4_request'.")]
    Terminator,
    /// The list of signed headers.
    #[error("SignedHeaders must be a sorted list of different lower-case header names, joined by ';'.")]
    SignedHeaders,
    /// `host` is not among the signed headers.
    #[error("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")]
    HostNotSigned,
    /// Not a time.
    #[error("Date must be in ISO-8601 'basic format'. Got '{0}'. See http://en.wikipedia.org/wiki/ISO_8601")]
    Date(String),
    /// `X-Amz-Expires` is no number of seconds up to a week.
    #[error("X-Amz-Expires must be a number of seconds from 1 to {LONGEST_VALIDITY}.")]
    Expires,
}

impl RequestError {
    /// The error code to answer with.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::MissingAuthenticationToken => "MissingAuthenticationToken",
            Self::IncompleteSignature(_) => "IncompleteSignature",
            Self::ScopeDateMismatch { .. }
            | Self::Expired { .. }
            | Self::NotYetCurrent { .. }
            | Self::SignedHeaderMissing(_)
            | Self::UnsignedHeader(_)
            | Self::ContentSha256Mismatch
            | Self::SignatureDoesNotMatch
            | Self::WrongService { .. } => "SignatureDoesNotMatch",
        }
    }

    /// The HTTP status to answer with.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::IncompleteSignature(_) => 400,
            _ => 403,
        }
    }
}

fn header_parts(missing: &str) -> String {
    let sentences = missing.split(' ').map(|name| match name {
        "Date" => {
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.".to_owned()
        }
        name => format!("Authorization header requires '{name}' parameter."),
    });
    sentences.collect::<Vec<_>>().join(" ")
}

fn query_parts(missing: &str) -> String {
    let sentences =
        missing.split(' ').map(|name| format!("AWS query-string parameters must include '{name}'."));
    let mut text = sentences.collect::<Vec<_>>().join(" ");
    text.push_str(" Re-examine the query-string parameters.");
    text
}

/// `15 min`, or `90 sec` for what is no whole number of minutes; the full stop is the message's.
fn span(seconds: i64) -> String {
    if seconds % 60 == 0 { format!("{} min", seconds / 60) } else { format!("{seconds} sec") }
}
