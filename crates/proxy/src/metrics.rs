//! What is counted, per proxy.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::failure::Reason;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Proxy {
    proxy: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    proxy: String,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Passed {
    proxy: String,
    to: &'static str,
}

/// Upper bounds of a login's seconds: TLS and a quick answer, PAM and STS behind it, timeouts.
const LOGIN_SECONDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

#[derive(Clone)]
struct LoginSeconds;

impl MetricConstructor<Histogram> for LoginSeconds {
    fn new_metric(&self) -> Histogram {
        Histogram::new(LOGIN_SECONDS)
    }
}

/// The metrics of all proxies of a process.
#[derive(Clone)]
pub struct Metrics {
    open: Family<Proxy, Gauge>,
    begun: Family<Proxy, Counter>,
    refused: Family<Refused, Counter>,
    bytes: Family<Passed, Counter>,
    login_seconds: Family<Proxy, Histogram, LoginSeconds>,
    retries: Family<Proxy, Counter>,
    cancels: Family<Proxy, Counter>,
    credentials_renewed: Family<Proxy, Counter>,
    credentials_failed: Family<Proxy, Counter>,
}

impl Metrics {
    /// Registers them.
    pub fn registered(registry: &mut Registry) -> Self {
        let metrics = Self {
            open: Family::default(),
            begun: Family::default(),
            refused: Family::default(),
            bytes: Family::default(),
            login_seconds: Family::new_with_constructor(LoginSeconds),
            retries: Family::default(),
            cancels: Family::default(),
            credentials_renewed: Family::default(),
            credentials_failed: Family::default(),
        };
        let proxy = registry.sub_registry_with_prefix("countersign_proxy");
        proxy.register("sessions_open", "Sessions that are open", metrics.open.clone());
        proxy.register("sessions", "Sessions that have begun", metrics.begun.clone());
        proxy.register("refused", "Connections that became no session, by reason", metrics.refused.clone());
        proxy.register(
            "bytes",
            "Bytes that sessions have passed, without TLS, by where to; some seconds late",
            metrics.bytes.clone(),
        );
        proxy.register(
            "login_seconds",
            "How long logins to the database took, from the first look for its address to its answer",
            metrics.login_seconds.clone(),
        );
        proxy.register(
            "login_retries",
            "Second attempts, with a fresh token, after the database refused the first",
            metrics.retries.clone(),
        );
        proxy.register("cancels", "Requests to cancel that were passed on", metrics.cancels.clone());
        proxy.register(
            "credentials_renewals",
            "New AWS credentials, the first included",
            metrics.credentials_renewed.clone(),
        );
        proxy.register(
            "credentials_failures",
            "Logins without AWS credentials",
            metrics.credentials_failed.clone(),
        );
        metrics
    }

    /// Those of one proxy. Every reason is there from the beginning, at 0.
    pub(crate) fn of(&self, name: &str) -> ProxyMetrics {
        let proxy = Proxy { proxy: name.to_owned() };
        let passed = |to| self.bytes.get_or_create(&Passed { proxy: name.to_owned(), to }).clone();
        let refused = Reason::ALL.map(|reason| {
            let labels = Refused { proxy: name.to_owned(), reason: reason.as_str() };
            (reason, self.refused.get_or_create(&labels).clone())
        });
        ProxyMetrics {
            open: self.open.get_or_create(&proxy).clone(),
            begun: self.begun.get_or_create(&proxy).clone(),
            refused: Arc::new(refused),
            up: passed("server"),
            down: passed("client"),
            login_seconds: self.login_seconds.get_or_create(&proxy).clone(),
            retries: self.retries.get_or_create(&proxy).clone(),
            cancels: self.cancels.get_or_create(&proxy).clone(),
            credentials_renewed: self.credentials_renewed.get_or_create(&proxy).clone(),
            credentials_failed: self.credentials_failed.get_or_create(&proxy).clone(),
        }
    }
}

type Count = Counter<u64, AtomicU64>;

/// One proxy's.
pub(crate) struct ProxyMetrics {
    pub(crate) open: Gauge,
    pub(crate) begun: Count,
    refused: Arc<[(Reason, Count); 13]>,
    pub(crate) up: Count,
    pub(crate) down: Count,
    pub(crate) login_seconds: Histogram,
    pub(crate) retries: Count,
    pub(crate) cancels: Count,
    pub(crate) credentials_renewed: Count,
    pub(crate) credentials_failed: Count,
}

impl ProxyMetrics {
    pub(crate) fn refused(&self, reason: Reason) {
        if let Some((_, count)) = self.refused.iter().find(|(known, _)| *known == reason) {
            count.inc();
        }
    }
}
