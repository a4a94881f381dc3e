//! AWS credentials, from wherever the AWS SDKs find them: environment, profiles with `role_arn`, `source_profile` or
//! `credential_process`, SSO, web identity, ECS, IMDS.
//!
//! They are kept until shortly before their end. Making a token costs nothing; asking STS for credentials does, and is
//! limited, so many connections share one answer.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::BehaviorVersion;
use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::profile::region::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::{
    ProvideCredentials, SharedCredentialsProvider, error::CredentialsError as Cause,
};
use iam::{Region, RegionError};
use tokio::sync::Mutex;

/// How long before their end credentials are replaced: a token is valid for 15 minutes, but not longer than they are.
pub const MARGIN: Duration = Duration::from_secs(5 * 60);

/// How long credentials without an end are kept before they are looked for again: files change.
pub const LONGEST_KEPT: Duration = Duration::from_secs(15 * 60);

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// Nothing in the whole chain.
    #[error("{}", not_found(profile.as_deref()))]
    NotFound {
        /// The profile that was asked for.
        profile: Option<String>,
        /// What the chain said.
        #[source]
        source: Cause,
    },
    /// A source was found, and failed.
    #[error("the AWS credentials cannot be had{}: {}", profile.as_ref().map(|p| format!(" by profile `{p}`")).unwrap_or_default(), chain(source))]
    Failed {
        /// The profile that was asked for.
        profile: Option<String>,
        /// What the source said.
        source: Cause,
    },
    /// What was found is over.
    #[error("the AWS credentials have expired: get new ones (`aws sso login`, a new session)")]
    Expired,
}

fn not_found(profile: Option<&str>) -> String {
    match profile {
        Some(profile) => format!(
            "there are no AWS credentials in profile `{profile}`: `aws configure --profile {profile}` or \
             `aws configure sso --profile {profile}` sets them up"
        ),
        None => "no AWS credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile with \
                 --profile or AWS_PROFILE (`aws configure`, `aws sso login`)"
            .to_owned(),
    }
}

/// All that an error says, its causes included.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| {
        let cause = cause.to_string();
        if text.ends_with(&cause) { text } else { format!("{text}: {cause}") }
    })
}

/// The chain of places where credentials are looked for, with what was found last.
#[derive(Debug)]
pub struct Chain {
    profile: Option<String>,
    provider: Option<SharedCredentialsProvider>,
    held: Mutex<Option<Held>>,
}

#[derive(Debug, Clone)]
struct Held {
    credentials: Arc<Credentials>,
    since: SystemTime,
}

impl Held {
    fn has_margin(&self, now: SystemTime) -> bool {
        match self.credentials.expiry() {
            Some(end) => now + MARGIN < end,
            // A clock that was set back must not keep them for ever.
            None => now.duration_since(self.since).is_ok_and(|age| age < LONGEST_KEPT),
        }
    }

    fn is_over(&self, now: SystemTime) -> bool {
        self.credentials.expiry().is_some_and(|end| end <= now)
    }
}

impl Chain {
    /// Reads the configuration; nothing is asked for yet. `region` is where STS is asked, for profiles that need it.
    ///
    /// A profile that is asked for by name is the only source: keys in the environment, which go first otherwise, may be
    /// somebody else's. The AWS CLI does the same with `--profile`.
    pub async fn load(profile: Option<&str>, region: Option<&Region>) -> Self {
        let region = region.map(|region| aws_config::Region::new(region.to_string()));
        let provider = match profile {
            Some(profile) => {
                let mut config =
                    ProviderConfig::without_region().with_behavior_version(Some(BehaviorVersion::latest()));
                config = match region {
                    Some(region) => config.with_region(Some(region)),
                    None => config.load_default_region().await,
                };
                let provider =
                    ProfileFileCredentialsProvider::builder().configure(&config).profile_name(profile);
                Some(SharedCredentialsProvider::new(provider.build()))
            }
            None => {
                let mut loader = aws_config::defaults(BehaviorVersion::latest());
                if let Some(region) = region {
                    loader = loader.region(region);
                }
                loader.load().await.credentials_provider()
            }
        };
        Self { profile: profile.map(str::to_owned), provider, held: Mutex::new(None) }
    }

    /// With one source of the caller's.
    pub fn from_provider(provider: impl ProvideCredentials + 'static) -> Self {
        let provider = Some(SharedCredentialsProvider::new(provider));
        Self { profile: None, provider, held: Mutex::new(None) }
    }

    /// Credentials that are good for a while yet: those at hand, or new ones. Whoever asks meanwhile waits for the same.
    ///
    /// # Errors
    /// There are none, or what there is has expired.
    pub async fn credentials(&self, now: SystemTime) -> Result<Arc<Credentials>, CredentialsError> {
        let mut held = self.held.lock().await;
        if let Some(held) = held.as_ref().filter(|held| held.has_margin(now)) {
            return Ok(held.credentials.clone());
        }
        self.renew(&mut held, now).await
    }

    /// Other credentials than `refused`, which a server did not take: new ones, unless somebody got them meanwhile.
    ///
    /// # Errors
    /// As [`Chain::credentials`].
    pub async fn after(
        &self,
        refused: &Arc<Credentials>,
        now: SystemTime,
    ) -> Result<Arc<Credentials>, CredentialsError> {
        let mut held = self.held.lock().await;
        match held.as_ref() {
            Some(held) if !Arc::ptr_eq(&held.credentials, refused) && held.has_margin(now) => {
                Ok(held.credentials.clone())
            }
            _ => self.renew(&mut held, now).await,
        }
    }

    async fn renew(
        &self,
        held: &mut Option<Held>,
        now: SystemTime,
    ) -> Result<Arc<Credentials>, CredentialsError> {
        match self.provide().await {
            Ok(credentials) => {
                let new = Held { credentials: Arc::new(credentials), since: now };
                if new.is_over(now) {
                    return Err(CredentialsError::Expired);
                }
                let credentials = new.credentials.clone();
                *held = Some(new);
                Ok(credentials)
            }
            // The source is away for the moment: what is at hand does until its end.
            Err(error) => match held.as_ref().filter(|held| !held.is_over(now)) {
                Some(held) if held.credentials.expiry().is_some() => Ok(held.credentials.clone()),
                _ => Err(error),
            },
        }
    }

    async fn provide(&self) -> Result<Credentials, CredentialsError> {
        let profile = self.profile.clone();
        let Some(provider) = &self.provider else {
            let source = Cause::not_loaded_no_source();
            return Err(CredentialsError::NotFound { profile, source });
        };
        provider.provide_credentials().await.map_err(|source| match source {
            Cause::CredentialsNotLoaded(_) => CredentialsError::NotFound { profile, source },
            _ => CredentialsError::Failed { profile, source },
        })
    }
}

/// The region that the environment (`AWS_REGION`, `AWS_DEFAULT_REGION`) or the profile sets; none where neither does. Where
/// this machine runs says nothing of where its database is, so IMDS is not asked.
///
/// # Errors
/// What is set is no region.
pub async fn configured_region(profile: Option<&str>) -> Result<Option<Region>, RegionError> {
    let mut in_profile = ProfileFileRegionProvider::builder();
    if let Some(profile) = profile {
        in_profile = in_profile.profile_name(profile);
    }
    let chain =
        RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new()).or_else(in_profile.build());
    chain.region().await.map(|region| region.as_ref().parse()).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out a new key at each question, with an end `lifetime` after the time that the test is at.
    #[derive(Debug)]
    struct Source {
        asked: std::sync::atomic::AtomicU64,
        now: std::sync::Mutex<SystemTime>,
        lifetime: Option<Duration>,
        fails: std::sync::atomic::AtomicBool,
    }

    impl Source {
        fn new(lifetime: Option<u64>) -> Arc<Self> {
            Arc::new(Self {
                asked: 0.into(),
                now: std::sync::Mutex::new(SystemTime::UNIX_EPOCH),
                lifetime: lifetime.map(Duration::from_secs),
                fails: false.into(),
            })
        }

        /// Moves to `seconds` after the beginning.
        fn at(&self, seconds: u64) -> SystemTime {
            let mut now = self.now.lock().unwrap();
            *now = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            *now
        }
    }

    #[derive(Debug)]
    struct Asked(Arc<Source>);

    impl ProvideCredentials for Asked {
        fn provide_credentials<'a>(&'a self) -> aws_credential_types::provider::future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            use std::sync::atomic::Ordering::SeqCst;
            let number = self.0.asked.fetch_add(1, SeqCst);
            let end = self.0.lifetime.map(|lifetime| *self.0.now.lock().unwrap() + lifetime);
            aws_credential_types::provider::future::ProvideCredentials::ready(if self.0.fails.load(SeqCst) {
                Err(Cause::provider_error("away"))
            } else {
                Ok(Credentials::new(format!("ASIA{number}"), "secret", None, end, "test"))
            })
        }
    }

    #[tokio::test]
    async fn credentials_are_kept_while_they_have_a_margin() {
        let source = Source::new(Some(3600));
        let chain = Chain::from_provider(Asked(source.clone()));
        let first = chain.credentials(source.at(0)).await.unwrap();
        assert_eq!(chain.credentials(source.at(3299)).await.unwrap().access_key_id(), "ASIA0");
        assert_eq!(chain.credentials(source.at(3300)).await.unwrap().access_key_id(), "ASIA1");
        assert_eq!(first.access_key_id(), "ASIA0");
    }

    #[tokio::test]
    async fn a_refusal_brings_new_ones_once() {
        let source = Source::new(None);
        let chain = Chain::from_provider(Asked(source.clone()));
        let refused = chain.credentials(source.at(0)).await.unwrap();
        assert_eq!(chain.after(&refused, source.at(1)).await.unwrap().access_key_id(), "ASIA1");
        assert_eq!(
            chain.after(&refused, source.at(1)).await.unwrap().access_key_id(),
            "ASIA1",
            "got meanwhile"
        );
    }

    #[tokio::test]
    async fn those_without_an_end_are_looked_for_again() {
        let source = Source::new(None);
        let chain = Chain::from_provider(Asked(source.clone()));
        chain.credentials(source.at(1000)).await.unwrap();
        assert_eq!(chain.credentials(source.at(1899)).await.unwrap().access_key_id(), "ASIA0");
        assert_eq!(chain.credentials(source.at(1900)).await.unwrap().access_key_id(), "ASIA1");
        assert_eq!(chain.credentials(source.at(5)).await.unwrap().access_key_id(), "ASIA2", "set back");
    }

    #[tokio::test]
    async fn a_source_that_is_away_is_bridged_until_their_end() {
        let source = Source::new(Some(3600));
        let chain = Chain::from_provider(Asked(source.clone()));
        chain.credentials(source.at(0)).await.unwrap();
        source.fails.store(true, std::sync::atomic::Ordering::SeqCst);
        assert_eq!(chain.credentials(source.at(3599)).await.unwrap().access_key_id(), "ASIA0");
        let error = chain.credentials(source.at(3600)).await.unwrap_err();
        assert!(matches!(error, CredentialsError::Failed { .. }), "{error}");
        assert!(error.to_string().contains("away"), "{error}");
    }

    #[tokio::test]
    async fn expired_ones_are_not_handed_out() {
        let source = Source::new(Some(0));
        let chain = Chain::from_provider(Asked(source.clone()));
        assert!(matches!(chain.credentials(source.at(10)).await, Err(CredentialsError::Expired)));
    }
}
