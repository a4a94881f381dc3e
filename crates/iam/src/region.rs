//! Regions: the names a request's scope may carry, and the partition each belongs to.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The regions Amazon RDS has, by the AWS documentation "Regions, Availability Zones, and Local Zones".
///
/// A request may name any region of the right shape; this list decides only for which ones a certificate bundle is
/// made before anything runs there.
const KNOWN: &[&str] = &[
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "cn-north-1",
    "cn-northwest-1",
    "eu-central-1",
    "eu-central-2",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-west-1",
    "us-west-2",
];

/// The name of a region, such as `us-east-1`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Region(Arc<str>);

impl Region {
    /// The region's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The partition of the region, the second part of an ARN: `aws`, `aws-cn`, `aws-us-gov`, `aws-eusc`, or one of the
    /// isolated ones.
    pub fn partition(&self) -> &'static str {
        let mut parts = self.0.split('-');
        match (parts.next(), parts.next()) {
            (Some("cn"), _) => "aws-cn",
            (Some("eusc"), _) => "aws-eusc",
            (Some("us"), Some("gov")) => "aws-us-gov",
            (Some("us"), Some("iso")) => "aws-iso",
            (Some("us"), Some("isob")) => "aws-iso-b",
            (Some("eu"), Some("isoe")) => "aws-iso-e",
            (Some("us"), Some("isof")) => "aws-iso-f",
            _ => "aws",
        }
    }

    /// Whether this is a region that Amazon RDS has.
    pub fn is_known(&self) -> bool {
        KNOWN.binary_search(&self.as_str()).is_ok()
    }

    /// The suffix of the host names that Amazon RDS gives out in this region.
    pub fn rds_suffix(&self) -> String {
        match self.partition() {
            "aws-cn" => format!("rds.{}.amazonaws.com.cn", self.0),
            "aws-eusc" => format!("{}.rds.amazonaws.eu", self.0),
            "aws-iso" => format!("rds.{}.c2s.ic.gov", self.0),
            "aws-iso-b" => format!("rds.{}.sc2s.sgov.gov", self.0),
            "aws-iso-e" => format!("rds.{}.cloud.adc-e.uk", self.0),
            "aws-iso-f" => format!("rds.{}.csp.hci.ic.gov", self.0),
            _ => format!("{}.rds.amazonaws.com", self.0),
        }
    }
}

/// Why a text is no region.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a region: expected a name such as `us-east-1`")]
pub struct RegionError(String);

impl FromStr for Region {
    type Err = RegionError;

    /// Accepts letters and digits in three to six parts, the first of two letters or more, the last a number.
    fn from_str(text: &str) -> Result<Self, RegionError> {
        let parts: Vec<&str> = text.split('-').collect();
        let well_formed = match parts.as_slice() {
            [area, middle @ .., number] => {
                area.len() >= 2
                    && (1..=4).contains(&middle.len())
                    && area.bytes().all(|b| b.is_ascii_lowercase())
                    && middle.iter().all(|m| !m.is_empty() && m.bytes().all(|b| b.is_ascii_lowercase()))
                    && matches!(number.len(), 1 | 2)
                    && number.bytes().all(|b| b.is_ascii_digit())
            }
            _ => false,
        };
        if well_formed && text.len() <= 32 {
            Ok(Self(text.into()))
        } else {
            Err(RegionError(text.chars().take(64).collect()))
        }
    }
}

impl TryFrom<String> for Region {
    type Error = RegionError;
    fn try_from(text: String) -> Result<Self, RegionError> {
        text.parse()
    }
}

impl From<Region> for String {
    fn from(region: Region) -> Self {
        region.0.as_ref().to_owned()
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_and_partitions() {
        for (name, partition) in [
            ("us-east-1", "aws"),
            ("cn-north-1", "aws-cn"),
            ("us-gov-west-1", "aws-us-gov"),
            ("us-iso-east-1", "aws-iso"),
            ("us-isob-west-1", "aws-iso-b"),
            ("eu-isoe-west-1", "aws-iso-e"),
            ("us-isof-south-1", "aws-iso-f"),
            ("eusc-de-east-1", "aws-eusc"),
            ("xx-lab-9", "aws"),
        ] {
            assert_eq!(name.parse::<Region>().unwrap().partition(), partition, "{name}");
        }
        for name in
            ["", "us", "us-east", "US-EAST-1", "us-east-1a", "us--1", "us-east-1/x", "-east-1", "us-east-111"]
        {
            assert!(name.parse::<Region>().is_err(), "{name}");
        }
        assert!("us-east-1".parse::<Region>().unwrap().is_known());
        assert!(!"xx-lab-9".parse::<Region>().unwrap().is_known());
    }

    #[test]
    fn the_list_is_sorted_so_that_it_can_be_searched() {
        assert!(KNOWN.is_sorted());
    }
}
