//! What the control socket answers where it cannot do what is asked: a sentence for the person who typed the command.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use store::RecordsError;

/// A request that is refused, and why.
pub(super) struct Refusal {
    status: StatusCode,
    message: String,
}

impl Refusal {
    /// There is no such thing.
    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, message: message.into() }
    }

    /// The request is wrong in itself.
    pub(super) fn wrong(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message: message.into() }
    }

    /// Something else must be done first.
    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self { status: StatusCode::CONFLICT, message: message.into() }
    }
}

impl From<RecordsError> for Refusal {
    fn from(error: RecordsError) -> Self {
        tracing::error!(%error, "a command cannot be answered");
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, message: error.to_string() }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, self.message).into_response()
    }
}

/// The end of a sentence that says that a name stands for nothing: the names that are close to it, or else what there is.
/// `those` says what they are: `users`.
pub(super) fn instead(name: &str, those: &str, known: impl IntoIterator<Item = String>) -> String {
    const SHOWN: usize = 8;
    let mut known: Vec<String> = known.into_iter().collect();
    known.sort();
    known.dedup();
    let close: Vec<&String> = known.iter().filter(|other| is_close(name, other)).collect();
    let shown = if close.is_empty() { known.iter().collect() } else { close };
    if shown.is_empty() {
        return format!("there are no {those}");
    }
    let quoted: Vec<String> = shown.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    let more = match shown.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{those} that there are: {}{more}", quoted.join(", "))
}

/// Whether somebody who meant one may have typed the other.
fn is_close(typed: &str, known: &str) -> bool {
    let (typed, known) = (typed.to_lowercase(), known.to_lowercase());
    let part = typed.len() >= 3 && (known.contains(&typed) || typed.contains(&known));
    part || strsim::osa_distance(&typed, &known) <= typed.chars().count().max(known.chars().count()) / 4 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_close_is_named_and_else_what_there_is() {
        let known = || ["jane", "joan", "administrator"].map(str::to_owned);
        assert_eq!(instead("jame", "users", known()), "users that there are: `jane`");
        assert_eq!(instead("admin", "users", known()), "users that there are: `administrator`");
        assert_eq!(
            instead("zzzzzz", "users", known()),
            "users that there are: `administrator`, `jane`, `joan`"
        );
        assert_eq!(instead("x", "users", []), "there are no users");
        assert!(instead("zzzzzz", "users", (0..20).map(|n| n.to_string())).ends_with(" and 12 more"));
    }
}
