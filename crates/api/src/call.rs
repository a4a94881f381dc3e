//! One authenticated call, and what its handler may do: ask whether it is allowed, read and change the records, answer.

use crate::Service;
use crate::about::{About, Wire};
use crate::query::{self, ApiError, Writer};
use axum::response::Response;
use iam::{
    AccountId, Authorization, Credential, Denial, Naming, Principal, Region, RequestContext, Snapshot,
};
use policy::{Context, Overlay};
use sigv4::Timestamp;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use store::records::EngineVersion;
use store::{Change, MasterKey, Outcome, Published, Records};
use time::OffsetDateTime;
use uuid::Uuid;

/// How often a change is tried again when others changed the same records meanwhile.
const ATTEMPTS: usize = 16;

/// How long an acknowledged change may take to reach the snapshot that logins are decided from.
const PUBLICATION: Duration = Duration::from_secs(10);

/// What all calls share.
pub struct Services {
    /// What is kept.
    pub records: Records,
    /// What secrets are sealed under.
    pub master_key: Arc<MasterKey>,
    /// The snapshot that calls and logins are decided from.
    pub published: Arc<Published>,
    /// How endpoints are named.
    pub naming: Naming,
    /// The account.
    pub account: AccountId,
    /// The database servers that are installed.
    pub engine_versions: Vec<EngineVersion>,
    /// The time.
    pub clock: Arc<dyn Fn() -> OffsetDateTime + Send + Sync>,
}

impl Services {
    /// The time now.
    pub fn now(&self) -> OffsetDateTime {
        (self.clock)()
    }

    /// Random bytes, fit for keys.
    pub fn random<const N: usize>(&self) -> Result<[u8; N], ApiError> {
        let mut bytes = [0; N];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|error| ApiError::internal("no randomness", &error))?;
        Ok(bytes)
    }

    /// The ARN of a thing of IAM's in this account: `resource` is `user/jane`.
    pub fn iam_arn(&self, resource: &str) -> String {
        format!("arn:aws:iam::{}:{resource}", self.account)
    }
}

/// An authenticated call.
pub struct Call<'a> {
    /// What all calls share.
    pub services: &'a Services,
    /// The snapshot that the call is decided from.
    pub snapshot: &'a Snapshot,
    /// What it was signed with.
    pub credential: &'a Credential,
    /// Who calls.
    pub caller: Principal<'a>,
    /// The service it was signed for.
    pub service: Service,
    /// The operation, such as `CreateUser`.
    pub operation: &'a str,
    /// The region it was signed for.
    pub region: Region,
    /// The id that answers and logs carry.
    pub request_id: Uuid,
    /// When it came.
    pub now: OffsetDateTime,
    /// How it came.
    pub wire: Wire,
}

impl Call<'_> {
    /// Whether the caller may do `action` to the resource with the ARN; `*` for calls that AWS authorizes on no resource.
    /// Conditions see what the operation is about.
    pub fn authorize(&self, action: &str, resource: &str, about: &About<'_>) -> Result<(), ApiError> {
        let parsed = policy::Resource::parse(resource)
            .map_err(|error| ApiError::internal("a call cannot be authorized", &error))?;
        let decision = self.with_context(about, |context| {
            self.snapshot.authorize(&self.caller, &policy::Request::new(action, parsed, context))
        });
        match decision {
            Authorization::Allowed(_) => Ok(()),
            Authorization::Denied(denial) => Err(self.denied(action, resource, Some(&denial))),
        }
    }

    /// Asks with what conditions and policy variables see of the call.
    pub fn with_context<T>(&self, about: &About<'_>, ask: impl FnOnce(&dyn Context) -> T) -> T {
        ask(&RequestContext {
            principal: &self.caller,
            now: Timestamp::from_unix(self.now.unix_timestamp()),
            region: match self.service {
                // AWS has one IAM, in one region, whichever a call is signed for.
                Service::Iam => "us-east-1",
                Service::Rds | Service::Sts => self.region.as_str(),
            },
            // The API speaks HTTP.
            secure_transport: false,
            source_ip: self.wire.peer,
            resource_tags: about.resource_tags(),
            more: &Overlay { first: &self.wire, then: about },
        })
    }

    /// The refusal of an action, and why; none where nothing is to be told.
    pub fn denied(&self, action: &str, resource: &str, denial: Option<&Denial<'_>>) -> ApiError {
        if let Some(Denial::Unreadable { policy, reason }) = denial {
            tracing::error!(policy, reason, "a policy cannot be read: whoever has it is refused everything");
        }
        let because = denial.map(|denial| format!(" {}", denial.because(action))).unwrap_or_default();
        ApiError::access_denied(format!(
            "User: {} is not authorized to perform: {action} on resource: {resource}{because}",
            self.caller.arn
        ))
    }

    /// Commits a change. When it is done, the snapshot has it: the next call sees it and the next login obeys it.
    pub async fn commit(&self, change: Change) -> Result<Outcome, ApiError> {
        let outcome = self.services.records.commit(change).await?;
        if let Outcome::Committed(revision) = outcome {
            tokio::time::timeout(PUBLICATION, self.services.published.wait_for(revision))
                .await
                .map_err(|error| ApiError::internal("a change is kept but not in force yet", &error))?;
        }
        Ok(outcome)
    }

    /// Reads, changes and commits as `attempt` says, again from the start when others changed the same records meanwhile.
    /// Gives what `attempt` gave beside the change.
    pub async fn change<T, F>(&self, mut attempt: impl FnMut() -> F) -> Result<T, ApiError>
    where
        F: Future<Output = Result<(Change, T), ApiError>>,
    {
        for _ in 0..ATTEMPTS {
            let (change, answer) = attempt().await?;
            match self.commit(change).await? {
                Outcome::Committed(_) => return Ok(answer),
                Outcome::Conflict => tokio::task::yield_now().await,
            }
        }
        Err(ApiError::concurrent_modification())
    }

    /// The answer with what `result` writes.
    pub fn respond(&self, result: impl FnOnce(&mut Writer)) -> Response {
        query::respond(self.operation, self.service, self.request_id, result)
    }

    /// The answer of an operation without output.
    pub fn done(&self) -> Response {
        query::respond_empty(self.operation, self.service, self.request_id)
    }

    /// The error for an operation that the service does not have, or that is not served here.
    pub fn unknown_operation(&self) -> ApiError {
        unknown_operation(self.operation, self.service.version())
    }
}

pub(crate) fn unknown_operation(operation: &str, version: &str) -> ApiError {
    ApiError::new("InvalidAction", format!("Could not find operation {operation} for version {version}"))
}
