//! A token for each login, from credentials that many logins share.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_credential_types::Credentials;
use client::{Chain, Endpoint};
use zeroize::Zeroizing;

use crate::failure::{Failure, Reason};
use crate::metrics::ProxyMetrics;
use crate::settings::Clock;

/// How long after a refusal has had credentials renewed another may not: a client that hammers with a user that is always
/// refused must not exhaust the limits of STS.
const BETWEEN_RENEWALS: Duration = Duration::from_secs(30);

/// What makes the tokens of a proxy.
pub(crate) struct Tokens {
    chain: Arc<Chain>,
    endpoint: Endpoint,
    clock: Clock,
    /// Those that were used last, to see when they change.
    last: Mutex<Option<Arc<Credentials>>>,
    renewed: Mutex<Option<Instant>>,
}

/// A token, and what it was made with.
pub(crate) struct Made {
    pub(crate) token: Zeroizing<String>,
    pub(crate) credentials: Arc<Credentials>,
}

impl Tokens {
    pub(crate) fn new(chain: Arc<Chain>, endpoint: Endpoint, clock: Clock) -> Self {
        Self { chain, endpoint, clock, last: Mutex::default(), renewed: Mutex::default() }
    }

    /// A token for `user`.
    pub(crate) async fn make(&self, user: &str, metrics: &ProxyMetrics) -> Result<Made, Failure> {
        let credentials = self.chain.credentials((self.clock)()).await;
        self.sign(user, credentials, metrics)
    }

    /// Another token, after the database did not take one made with `refused`.
    pub(crate) async fn make_after(
        &self,
        refused: &Arc<Credentials>,
        user: &str,
        metrics: &ProxyMetrics,
    ) -> Result<Made, Failure> {
        let renew = {
            let mut renewed = self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
            let due = renewed.is_none_or(|last| last.elapsed() >= BETWEEN_RENEWALS);
            if due {
                *renewed = Some(Instant::now());
            }
            due
        };
        let now = (self.clock)();
        let credentials =
            if renew { self.chain.after(refused, now).await } else { self.chain.credentials(now).await };
        self.sign(user, credentials, metrics)
    }

    fn sign(
        &self,
        user: &str,
        credentials: Result<Arc<Credentials>, client::CredentialsError>,
        metrics: &ProxyMetrics,
    ) -> Result<Made, Failure> {
        let credentials = credentials.map_err(|error| {
            metrics.credentials_failed.inc();
            Failure::new(Reason::Credentials, error.to_string())
        })?;
        {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            if last.as_ref().is_none_or(|last| !Arc::ptr_eq(last, &credentials)) {
                metrics.credentials_renewed.inc();
                tracing::info!(
                    access_key = credentials.access_key_id(),
                    expires = credentials.expiry().and_then(|end| {
                        end.duration_since(std::time::UNIX_EPOCH).ok().map(|since| since.as_secs())
                    }),
                    "credentials"
                );
                *last = Some(credentials.clone());
            }
        }
        let token = self
            .endpoint
            .token(user, &credentials, (self.clock)())
            .map_err(|error| Failure::new(Reason::Credentials, format!("no token can be made: {error}")))?;
        Ok(Made { token, credentials })
    }
}
