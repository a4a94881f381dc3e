//! The one verifier behind all doors: the published snapshot and the clock go into [`iam::may_connect`], the decision goes to
//! the door in one bit, and to log, metric and audit in full.

use crate::audit::{Audit, Record};
use crate::door::{Answer, Judge, Login, Verdict};
use crate::metrics::Metrics;
use iam::{ConnectRequest, Decision, may_connect};
use sigv4::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use store::Published;

/// Reads the clock. A value, so that tests move it.
pub type Clock = Arc<dyn Fn() -> time::OffsetDateTime + Send + Sync>;

/// Judges logins.
pub struct Verifier {
    published: Arc<Published>,
    clock: Clock,
    audit: Audit,
    metrics: Metrics,
    next_request: AtomicU64,
    source_ip: bool,
}

impl Verifier {
    /// A verifier of the published snapshot. `first_request` is where request ids start; a random number keeps those of two
    /// runs apart.
    pub fn new(
        published: Arc<Published>,
        clock: Clock,
        audit: Audit,
        metrics: Metrics,
        first_request: u64,
    ) -> Self {
        let next_request = AtomicU64::new(first_request);
        Self { published, clock, audit, metrics, next_request, source_ip: false }
    }

    /// The same, but policies see the client's address as `aws:SourceIp`, which they do not on AWS.
    #[must_use]
    pub fn with_source_ip(self, source_ip: bool) -> Self {
        Self { source_ip, ..self }
    }
}

impl Judge for Verifier {
    fn judge(&self, login: &Login<'_>) -> Verdict {
        let request_id = self.next_request.fetch_add(1, Ordering::Relaxed);
        let now = (self.clock)();
        let snapshot = self.published.peek();
        let started = Instant::now();
        let request = ConnectRequest {
            database: login.database,
            user: login.user,
            token: login.token,
            source_ip: login.client.filter(|_| self.source_ip),
        };
        let decision = may_connect(&snapshot, Timestamp::from_unix(now.unix_timestamp()), &request);
        self.metrics.observe(login, &decision, started.elapsed());
        self.audit.write(&Record::new(now, request_id, login, &decision));
        let answer = match decision {
            Decision::Allowed(allowed) => Answer::Allowed { principal: allowed.principal.into() },
            Decision::Refused(_) => Answer::Refused,
        };
        Verdict { answer, request_id }
    }
}
