//! The metrics of logins, under the names that Amazon RDS gives them in CloudWatch; docs/metrics.md lists them.

use crate::door::Login;
use iam::{Decision, FailureClass};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::time::Duration;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Where {
    database: String,
    door: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Why {
    database: String,
    door: &'static str,
    reason: &'static str,
}

/// Counts logins.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: Family<Where, Counter>,
    success: Family<Where, Counter>,
    failure: Family<Why, Counter>,
    invalid_token: Family<Where, Counter>,
    insufficient_permissions: Family<Where, Counter>,
    server_error: Family<Where, Counter>,
    seconds: Histogram,
}

impl Metrics {
    /// Metrics that the registry shows.
    pub fn registered(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            success: Family::default(),
            failure: Family::default(),
            invalid_token: Family::default(),
            insufficient_permissions: Family::default(),
            server_error: Family::default(),
            seconds: Histogram::new([1e-6, 2e-6, 5e-6, 1e-5, 1e-4, 1e-3, 1e-2]),
        };
        let mut show = |name: &str, help: &str, family: &Family<Where, Counter>| {
            registry.register(name, help, family.clone());
        };
        show("IamDbAuthConnectionRequests", "Logins that were asked about", &metrics.requests);
        show("IamDbAuthConnectionSuccess", "Logins that were allowed", &metrics.success);
        show(
            "IamDbAuthConnectionFailureInvalidToken",
            "Logins refused because the token is malformed, expired, for something else or not signed by a valid key",
            &metrics.invalid_token,
        );
        show(
            "IamDbAuthConnectionFailureInsufficientPermissions",
            "Logins refused by policy, or because IAM authentication is off",
            &metrics.insufficient_permissions,
        );
        show(
            "IamDbAuthConnectionFailureServerError",
            "Logins refused because of an error of Countersign's own",
            &metrics.server_error,
        );
        registry.register(
            "IamDbAuthConnectionFailure",
            "Logins that were refused, by reason",
            metrics.failure.clone(),
        );
        registry.register(
            "countersign_decision_seconds",
            "How long a decision took, parse to policy",
            metrics.seconds.clone(),
        );
        metrics
    }

    /// Counts a decided login.
    pub fn observe(&self, login: &Login<'_>, decision: &Decision<'_>, took: Duration) {
        let place = Where { database: login.database.to_owned(), door: login.door.as_str() };
        self.requests.get_or_create(&place).inc();
        match decision {
            Decision::Allowed(_) => {
                self.success.get_or_create(&place).inc();
            }
            Decision::Refused(refused) => {
                let class = match refused.reason.class() {
                    FailureClass::InvalidToken | FailureClass::ExpiredToken => &self.invalid_token,
                    FailureClass::NotAuthorized => &self.insufficient_permissions,
                    FailureClass::InternalError => &self.server_error,
                };
                class.get_or_create(&place).inc();
                let why = Why { database: place.database, door: place.door, reason: refused.reason.as_str() };
                self.failure.get_or_create(&why).inc();
            }
        }
        self.seconds.observe(took.as_secs_f64());
    }
}
