//! The credential scope, `key/date/region/service/aws4_request`: whose signature this is and how far it
//! reaches. Parsed into pieces that can hold nothing but the characters AWS gives them.

/// What a derived signing key is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope<'a> {
    /// The day in UTC, `YYYYMMDD`; eight digits.
    pub date: &'a str,
    /// The region, for instance `eu-central-1`.
    pub region: &'a str,
    /// The service, for instance `rds-db`.
    pub service: &'a str,
}

/// A scope with the access key that signs in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credential<'a> {
    /// The id of the access key: letters, digits and `_`, at most 128 of them.
    pub access_key_id: &'a str,
    /// Day, region and service.
    pub scope: Scope<'a>,
}

/// The last element of every scope.
pub(crate) const TERMINATOR: &str = "aws4_request";

/// Why a text is not a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// Not five elements.
    #[error("a credential has five elements, `key/date/region/service/aws4_request`")]
    Elements,
    /// The last element is another word.
    #[error("a credential ends with `aws4_request`")]
    Terminator,
    /// An element is empty, too long, or has characters that it cannot have.
    #[error("a credential names an access key, a day as `YYYYMMDD`, a region and a service")]
    Characters,
}

impl<'a> Credential<'a> {
    /// Reads `key/date/region/service/aws4_request`.
    ///
    /// # Errors
    /// See [`CredentialError`].
    pub fn parse(text: &'a str) -> Result<Self, CredentialError> {
        Self::from_elements(text, |rest| rest.strip_prefix('/'))
    }

    /// The same out of a query string, where the separators usually are `%2F`.
    ///
    /// Only the separators may be escaped: no character of an element needs to be, and without escapes
    /// inside them the elements can be borrowed.
    ///
    /// # Errors
    /// See [`CredentialError`].
    pub fn parse_encoded(text: &'a str) -> Result<Self, CredentialError> {
        Self::from_elements(text, |rest| match rest.as_bytes() {
            [b'%', b'2', b'F' | b'f', ..] => rest.get(3..),
            [b'/', ..] => rest.get(1..),
            _ => None,
        })
    }

    #[inline]
    fn from_elements(
        text: &'a str,
        separator: impl Fn(&'a str) -> Option<&'a str>,
    ) -> Result<Self, CredentialError> {
        let (mut rest, mut first) = (text, true);
        let mut element = |allowed: u8, longest: usize| {
            if !first {
                rest = separator(rest).ok_or(if rest.is_empty() {
                    CredentialError::Elements
                } else {
                    CredentialError::Characters
                })?;
            }
            first = false;
            let end = rest.bytes().position(|byte| kind(byte) & allowed == 0).unwrap_or(rest.len());
            let (element, after) = rest.split_at_checked(end).ok_or(CredentialError::Characters)?;
            rest = after;
            if (1..=longest).contains(&element.len()) {
                Ok(element)
            } else {
                Err(CredentialError::Characters)
            }
        };
        let access_key_id = element(ALPHANUMERIC | UNDERSCORE, 128)?;
        let date = element(ALPHANUMERIC | UNDERSCORE, 8)?;
        let region = element(ALPHANUMERIC | HYPHEN, 64)?;
        let service = element(ALPHANUMERIC | HYPHEN, 64)?;
        let terminator = element(ALPHANUMERIC | UNDERSCORE, 64)?;
        if !rest.is_empty() {
            return Err(if separator(rest).is_some() {
                CredentialError::Elements
            } else {
                CredentialError::Characters
            });
        }
        if terminator != TERMINATOR {
            return Err(CredentialError::Terminator);
        }
        if date.len() != 8 || !date.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(CredentialError::Characters);
        }
        Ok(Self { access_key_id, scope: Scope { date, region, service } })
    }
}

/// The kinds of characters that elements are made of; a byte has one at most.
const ALPHANUMERIC: u8 = 1;
const HYPHEN: u8 = 2;
const UNDERSCORE: u8 = 4;

#[inline]
fn kind(byte: u8) -> u8 {
    #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which would refuse it")]
    const KINDS: [u8; 256] = {
        let mut table = [0; 256];
        let mut byte = 0_u8;
        while byte < 128 {
            table[byte as usize] = match byte {
                b'-' => HYPHEN,
                b'_' => UNDERSCORE,
                _ if byte.is_ascii_alphanumeric() => ALPHANUMERIC,
                _ => 0,
            };
            byte += 1;
        }
        table
    };
    KINDS.get(usize::from(byte)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_elements_in_either_spelling() {
        let expected = Credential {
            access_key_id: "AKIDEXAMPLE",
            scope: Scope { date: "20150830", region: "us-east-1", service: "rds-db" },
        };
        assert_eq!(Credential::parse("AKIDEXAMPLE/20150830/us-east-1/rds-db/aws4_request"), Ok(expected));
        for text in [
            "AKIDEXAMPLE%2F20150830%2Fus-east-1%2Frds-db%2Faws4_request",
            "AKIDEXAMPLE%2f20150830/us-east-1%2Frds-db%2Faws4_request",
        ] {
            assert_eq!(Credential::parse_encoded(text), Ok(expected));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        use CredentialError::{Characters, Elements, Terminator};
        for (text, error) in [
            ("", Characters),
            ("AKID/20150830/us-east-1/rds-db", Elements),
            ("AKID/20150830/us-east-1/rds-db/aws4_request/", Elements),
            ("AKID/20150830/us-east-1/rds-db/aws5_request", Terminator),
            ("/20150830/us-east-1/rds-db/aws4_request", Characters),
            ("AKID/2015-08-30/us-east-1/rds-db/aws4_request", Characters),
            ("AKID/20150830/us east/rds-db/aws4_request", Characters),
            ("AKID/20150830//rds-db/aws4_request", Characters),
            ("AK%49D/20150830/us-east-1/rds-db/aws4_request", Characters),
        ] {
            assert_eq!(Credential::parse(text), Err(error), "{text}");
        }
        assert_eq!(Credential::parse_encoded("AK%49D%2F20150830%2Fr%2Fs%2Faws4_request"), Err(Characters));
    }
}
