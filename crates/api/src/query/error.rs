//! What a caller is told when a call is refused: AWS's code, status and text. What went wrong inside is for the log.

use http::StatusCode;
use std::borrow::Cow;
use std::fmt::Display;

/// A refused or failed call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// The code on the wire, such as `NoSuchEntity`.
    pub code: Cow<'static, str>,
    /// The HTTP status.
    pub status: StatusCode,
    /// The text for the caller.
    pub message: String,
    /// Whether the caller is at fault (`Sender`) or the service (`Receiver`).
    pub sender: bool,
}

impl ApiError {
    /// An error of the caller's making, status 400 unless [`with_status`](Self::with_status) says otherwise.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { code: code.into(), status: StatusCode::BAD_REQUEST, message: message.into(), sender: true }
    }

    /// The same with another status.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// IAM's 404.
    pub fn no_such_entity(message: impl Into<String>) -> Self {
        Self::new("NoSuchEntity", message).with_status(StatusCode::NOT_FOUND)
    }

    /// IAM's 409 for a name that is taken.
    pub fn already_exists(message: impl Into<String>) -> Self {
        Self::new("EntityAlreadyExists", message).with_status(StatusCode::CONFLICT)
    }

    /// IAM's 409 for a thing that others hang on.
    pub fn delete_conflict(message: impl Into<String>) -> Self {
        Self::new("DeleteConflict", message).with_status(StatusCode::CONFLICT)
    }

    /// IAM's 409 for a quota.
    pub fn limit_exceeded(message: impl Into<String>) -> Self {
        Self::new("LimitExceeded", message).with_status(StatusCode::CONFLICT)
    }

    /// IAM's and STS's 400 for a value of the wrong form.
    pub fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationError", message)
    }

    /// IAM's 400 for a value that is well-formed and wrong.
    pub fn invalid_input(message: impl Into<String>) -> Self {
        Self::new("InvalidInput", message)
    }

    /// RDS's 400 for a value of the wrong form.
    pub fn invalid_parameter_value(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterValue", message)
    }

    /// RDS's 400 for values that do not go together.
    pub fn invalid_parameter_combination(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterCombination", message)
    }

    /// RDS's 400 for a parameter that is not there.
    pub fn missing(name: &str) -> Self {
        Self::new("MissingParameter", format!("The request must contain the parameter {name}"))
    }

    /// The request is no form that can be read.
    pub fn malformed_query(message: impl Into<String>) -> Self {
        Self::new("MalformedQueryString", message)
    }

    /// A policy document that is refused.
    pub fn malformed_policy(message: impl Into<String>) -> Self {
        Self::new("MalformedPolicyDocument", message)
    }

    /// The caller may not do this.
    pub fn access_denied(message: impl Into<String>) -> Self {
        Self::new("AccessDenied", message).with_status(StatusCode::FORBIDDEN)
    }

    /// Others kept changing the same things.
    pub fn concurrent_modification() -> Self {
        Self::new(
            "ConcurrentModification",
            "The request was rejected because multiple requests to change this object were submitted simultaneously. \
             Wait a few minutes and submit your request again.",
        )
        .with_status(StatusCode::CONFLICT)
    }

    /// Something failed inside: the log gets it in full, the caller learns only that it is so.
    pub fn internal(what: &str, error: &dyn Display) -> Self {
        tracing::error!(%error, "{what}");
        Self {
            code: Cow::Borrowed("InternalFailure"),
            status: StatusCode::INTERNAL_SERVER_ERROR,
            message: "The request processing has failed because of an unknown error, exception or failure."
                .to_owned(),
            sender: false,
        }
    }
}

impl From<store::RecordsError> for ApiError {
    fn from(error: store::RecordsError) -> Self {
        Self::internal("the records cannot be read or written", &error)
    }
}

impl From<store::SealError> for ApiError {
    fn from(error: store::SealError) -> Self {
        Self::internal("a secret cannot be sealed or opened", &error)
    }
}
