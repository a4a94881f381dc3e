//! The region of a database, which its token must carry: what the host name says, else what was asked for, else what is set.
//!
//! There is no default. A token for another region than the database's is refused, by a message that does not say why.

use iam::{RdsHostKind, Region, RegionError};

use crate::Host;
use crate::credentials::configured_region;

/// Why the region is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegionChoiceError {
    /// The flag says another one than the host name.
    #[error("--region {asked} contradicts the host name: `{host}` is in {named}")]
    Contradiction {
        /// The host.
        host: String,
        /// `--region`.
        asked: Region,
        /// What the host name says.
        named: Region,
    },
    /// A global endpoint.
    #[error(
        "`{host}` is the endpoint of a global database and names no region: give with --region the one where its writer is now"
    )]
    Global {
        /// The host.
        host: String,
    },
    /// Nothing says it.
    #[error(
        "the region of `{host}` is not known: give it with --region, set AWS_REGION, or set `region` in the profile \
         (`aws configure set region`)"
    )]
    Unknown {
        /// The host.
        host: String,
    },
    /// What is set is none.
    #[error("the region that AWS_REGION, AWS_DEFAULT_REGION or the profile sets: {0}")]
    Set(#[from] RegionError),
}

impl RegionChoiceError {
    /// Whether the command line is at fault, not what lies around it.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Contradiction { .. } | Self::Global { .. })
    }
}

/// The region of the database at `host`. `asked` is `--region`; the environment and the profile are looked at only where
/// neither says it, and never for a global endpoint, whose region changes with a failover.
///
/// # Errors
/// [`RegionChoiceError`].
pub async fn region_of(
    host: &Host,
    asked: Option<&Region>,
    profile: Option<&str>,
) -> Result<Region, RegionChoiceError> {
    if let Some(region) = said(host, asked)? {
        return Ok(region);
    }
    configured_region(profile).await?.ok_or_else(|| RegionChoiceError::Unknown { host: host.to_string() })
}

/// What host name and flag say between them.
fn said(host: &Host, asked: Option<&Region>) -> Result<Option<Region>, RegionChoiceError> {
    let Some(rds) = host.rds() else { return Ok(asked.cloned()) };
    match (rds.region, asked) {
        (Some(named), Some(asked)) if named != *asked => {
            Err(RegionChoiceError::Contradiction { host: host.to_string(), asked: asked.clone(), named })
        }
        (Some(named), _) => Ok(Some(named)),
        (None, None) if rds.kind == RdsHostKind::Global => {
            Err(RegionChoiceError::Global { host: host.to_string() })
        }
        (None, asked) => Ok(asked.cloned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_name_goes_first_and_is_not_contradicted() {
        let region = |name: &str| name.parse::<Region>().unwrap();
        let (here, there) = (region("us-east-1"), region("eu-west-1"));
        let amazons: Host = "mydb.c7tj4example.us-east-1.rds.amazonaws.com".parse().unwrap();
        assert_eq!(said(&amazons, None), Ok(Some(here.clone())));
        assert_eq!(said(&amazons, Some(&here)), Ok(Some(here.clone())));
        let error = said(&amazons, Some(&there)).unwrap_err();
        assert!(error.is_usage(), "{error}");
        assert!(error.to_string().starts_with("--region eu-west-1 contradicts"), "{error}");

        let global: Host = "g.global-c7tj4example.global.rds.amazonaws.com".parse().unwrap();
        assert_eq!(said(&global, Some(&there)), Ok(Some(there.clone())));
        let error = said(&global, None).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("--region"), "{error}");

        let other: Host = "mydb.c7tj4example.us-east-1.db.example.com".parse().unwrap();
        assert_eq!(said(&other, None), Ok(None));
        assert_eq!(said(&other, Some(&there)), Ok(Some(there)));
    }
}
