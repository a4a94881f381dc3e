//! Policy documents on their way in and out.

use crate::query::{ApiError, Params};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use policy::{Kind, Policy};

/// RFC 3986: everything but its unreserved characters.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A document as IAM gives it back: URL-encoded.
pub(super) fn encoded(document: &str) -> String {
    utf8_percent_encode(document, ESCAPED).to_string()
}

/// Takes a document, and refuses one that AWS would refuse.
pub(super) fn document(
    params: &mut Params,
    parameter: &str,
    kind: Kind,
) -> Result<(String, Policy), ApiError> {
    let text = params.required(parameter)?;
    if text.chars().count() > policy::MAX_DOCUMENT_BYTES {
        // The text itself would be most of the answer.
        let constraint = format!("must have length less than or equal to {}", policy::MAX_DOCUMENT_BYTES);
        return Err(params.invalid(parameter, "...", &constraint));
    }
    let policy = Policy::parse(&text, kind).map_err(|error| {
        if let Some(detail) = error.detail() {
            tracing::debug!(detail, span = ?error.span(), "a policy document was refused");
        }
        ApiError::malformed_policy(error.to_string())
    })?;
    Ok((text, policy))
}

#[cfg(test)]
mod tests {
    #[test]
    fn documents_are_encoded_by_rfc_3986() {
        assert_eq!(super::encoded("{\"a\": \"é~-._*+\"}"), "%7B%22a%22%3A%20%22%C3%A9~-._%2A%2B%22%7D");
    }
}
