//! Amazon Resource Names: read, and taken apart into their six segments.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// An Amazon Resource Name: `arn:partition:service:region:account:resource`.
///
/// Any text with six segments whose first is `arn`, with a partition, a service and a resource, is one; whether such a
/// resource exists is another question.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Arn(Arc<str>);

/// Why a text is no ARN. The message is the one IAM gives.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("ARN {0} is not valid.")]
pub struct ArnError(String);

impl Arn {
    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn segment(&self, index: usize) -> &str {
        self.0.splitn(6, ':').nth(index).unwrap_or_default()
    }

    /// The partition, such as `aws`.
    pub fn partition(&self) -> &str {
        self.segment(1)
    }

    /// The service, such as `iam`.
    pub fn service(&self) -> &str {
        self.segment(2)
    }

    /// The region; empty for IAM and STS.
    pub fn region(&self) -> &str {
        self.segment(3)
    }

    /// The account's twelve digits; empty or `aws` for AWS's own things.
    pub fn account(&self) -> &str {
        self.segment(4)
    }

    /// Everything behind the fifth colon, such as `user/division/jane`.
    pub fn resource(&self) -> &str {
        self.segment(5)
    }
}

impl FromStr for Arn {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, ArnError> {
        let mut segments = text.splitn(6, ':');
        let head = segments.next() == Some("arn");
        let partition = segments.next().is_some_and(|p| p.starts_with("aws"));
        let service = segments.next().is_some_and(|s| !s.is_empty());
        let place = segments.next().is_some() && segments.next().is_some();
        let resource = segments.next().is_some_and(|r| !r.is_empty());
        if head && partition && service && place && resource && text.len() <= 2048 {
            Ok(Self(text.into()))
        } else {
            Err(ArnError(text.chars().take(2048).collect()))
        }
    }
}

impl TryFrom<String> for Arn {
    type Error = ArnError;
    fn try_from(text: String) -> Result<Self, ArnError> {
        text.parse()
    }
}

impl From<Arn> for String {
    fn from(arn: Arn) -> Self {
        arn.0.as_ref().to_owned()
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments() {
        let arn: Arn = "arn:aws:rds-db:eu-west-1:123456789012:dbuser:db-ABC/jane".parse().unwrap();
        assert_eq!(
            [arn.partition(), arn.service(), arn.region(), arn.account(), arn.resource()],
            ["aws", "rds-db", "eu-west-1", "123456789012", "dbuser:db-ABC/jane"]
        );
    }

    #[test]
    fn a_colon_short_is_refused_as_iam_refuses_it() {
        let error = "arn:aws:iam:123456789012:policy/x".parse::<Arn>().unwrap_err();
        assert_eq!(error.to_string(), "ARN arn:aws:iam:123456789012:policy/x is not valid.");
    }
}
