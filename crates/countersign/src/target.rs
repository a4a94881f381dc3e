//! What the commands for clients have in common: which database is meant, whose credentials are used, and the token that
//! both make.

use crate::config::UsageError;
use ::client::{Chain, Endpoint, Host, region_of};
use iam::Region;
use std::time::SystemTime;
use zeroize::Zeroizing;

/// Whose credentials, and where.
#[derive(Debug, clap::Args)]
pub(crate) struct AwsArguments {
    /// The region of the database [default: what the host name says, else AWS_REGION, AWS_DEFAULT_REGION or the profile]
    #[arg(long, value_name = "R")]
    pub(crate) region: Option<Region>,
    /// The profile whose credentials are used [default: AWS_PROFILE, else what the AWS SDKs find]
    #[arg(long, value_name = "P")]
    pub(crate) profile: Option<String>,
}

impl AwsArguments {
    /// Whether any of it was given.
    pub(crate) fn is_set(&self) -> bool {
        self.region.is_some() || self.profile.is_some()
    }
}

/// A host as it was typed.
pub(crate) fn host(text: &str) -> Result<Host, UsageError> {
    text.parse().map_err(|error| UsageError(format!("--host {error}")))
}

/// A database user as it was typed.
pub(crate) fn user(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("a database user has a name".to_owned()) } else { Ok(text.to_owned()) }
}

/// Makes tokens for a database.
#[derive(Debug)]
pub(crate) struct TokenMaker {
    pub(crate) endpoint: Endpoint,
    pub(crate) chain: Chain,
}

impl TokenMaker {
    /// For the database at `host`; nothing is asked yet but files and the environment.
    pub(crate) async fn new(host: &Host, port: u16, aws: &AwsArguments) -> anyhow::Result<Self> {
        let profile = aws.profile.as_deref();
        let region = region_of(host, aws.region.as_ref(), profile).await.map_err(|error| {
            if error.is_usage() { UsageError(error.to_string()).into() } else { anyhow::Error::from(error) }
        })?;
        let chain = Chain::load(profile, Some(&region)).await;
        Ok(Self { endpoint: Endpoint { host: host.to_string(), port, region }, chain })
    }

    /// A token for the user, valid from now.
    pub(crate) async fn token(&self, user: &str) -> anyhow::Result<Zeroizing<String>> {
        let now = SystemTime::now();
        let credentials = self.chain.credentials(now).await?;
        Ok(self.endpoint.token(user, &credentials, now)?)
    }
}
