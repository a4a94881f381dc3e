//! Service control policies: limits for everybody in the account, set by whoever runs the server. On AWS another account sets
//! them, the organization's; so no call of the API, not even the account's administrators', reads or writes them.

use super::Control;
use super::refusal::{Refusal, instead};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use iam::PolicyName;
use policy::{Kind, Place, Policy};
use std::sync::Arc;
use store::records::{Change, ServiceControlPolicy, Versioned};
use store::{Outcome, Revision};
use time::OffsetDateTime;

/// Where they are; behind it a level and a name.
pub(crate) const PATH: &str = "/service-control-policies";

/// The policy that AWS attaches at every level: it sets no limit.
pub(crate) const FULL_AWS_ACCESS: &str = "FullAWSAccess";

const FULL_AWS_ACCESS_DOCUMENT: &str = r#"{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Action": "*",
      "Resource": "*"
    }
  ]
}"#;

/// AWS's limits: characters of a document, white space included, and policies of a level.
const MOST_CHARACTERS: usize = 5_120;
const MOST_PER_LEVEL: usize = 5;

/// A service control policy.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct ScpAnswer {
    pub(crate) level: String,
    pub(crate) name: String,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) updated: OffsetDateTime,
    pub(crate) document: String,
}

/// What was done.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct PutAnswer {
    /// Whether there was one with the name at the level.
    pub(crate) replaced: bool,
    /// Whether it was the first of its level, and brought `FullAWSAccess` with it.
    pub(crate) brought_full_access: bool,
}

pub(super) async fn list(State(control): State<Arc<Control>>) -> Result<Json<Vec<ScpAnswer>>, Refusal> {
    let policies = control.records.list::<ServiceControlPolicy>("").await?;
    let shown = policies.into_iter().map(|Versioned { record, .. }| ScpAnswer {
        level: record.level,
        name: record.name.to_string(),
        updated: record.updated,
        document: record.document,
    });
    Ok(Json(shown.collect()))
}

pub(super) async fn put(
    State(control): State<Arc<Control>>,
    Path((level, name)): Path<(String, String)>,
    document: Bytes,
) -> Result<Json<PutAnswer>, Refusal> {
    let _changing = control.changing.lock().await;
    check_level(&level)?;
    let name = parse_name(&name)?;
    let is_full_access = name.as_str().eq_ignore_ascii_case(FULL_AWS_ACCESS);
    let document = match (is_full_access, document.is_empty()) {
        (true, true) => FULL_AWS_ACCESS_DOCUMENT.to_owned(),
        (true, false) => {
            return Err(Refusal::wrong(format!(
                "`{FULL_AWS_ACCESS}` is a policy of AWS's own: put it without a document, or choose another name"
            )));
        }
        (false, _) => checked(&document)?,
    };
    let name = if is_full_access { parse_name(FULL_AWS_ACCESS)? } else { name };
    let there = of_level(&control, &level).await?;
    let existing = there.iter().find(|policy| policy.name.folded() == name.folded());
    let updated = (control.clock)();
    let new = ServiceControlPolicy { level: level.clone(), name, document, updated };
    let brings = there.is_empty() && !is_full_access;
    if existing.is_none() && there.len() >= MOST_PER_LEVEL {
        return Err(Refusal::conflict(format!(
            "level `{level}` has {MOST_PER_LEVEL} policies, and no more are possible: delete one, or put their statements together"
        )));
    }
    let mut change = match existing {
        Some(old) => Change::new().replace(old, &new)?,
        None => Change::new().insert(&new)?,
    };
    if brings {
        change = change.insert(&ServiceControlPolicy {
            level: level.clone(),
            name: parse_name(FULL_AWS_ACCESS)?,
            document: FULL_AWS_ACCESS_DOCUMENT.to_owned(),
            updated,
        })?;
    }
    let replaced = existing.is_some();
    let revision = commit(&control, change).await?;
    tracing::info!(level, name = %new.name, replaced, brought_full_access = brings, revision, "service control policy put");
    Ok(Json(PutAnswer { replaced, brought_full_access: brings }))
}

pub(super) async fn delete(
    State(control): State<Arc<Control>>,
    Path((level, name)): Path<(String, String)>,
) -> Result<Json<()>, Refusal> {
    let _changing = control.changing.lock().await;
    check_level(&level)?;
    let there = of_level(&control, &level).await?;
    let folded = name.to_ascii_lowercase();
    let Some(old) = there.iter().find(|policy| policy.name.folded() == folded) else {
        return Err(unknown(&control, &level, &name).await?);
    };
    if there.len() == 1 && old.name.as_str() != FULL_AWS_ACCESS {
        return Err(Refusal::conflict(format!(
            "`{}` is the last policy of level `{level}`, and without it the level would allow everything: to want that, \
             `countersign policy scp put {FULL_AWS_ACCESS} --level {level}` first",
            old.name
        )));
    }
    let name = old.name.clone();
    let revision = commit(&control, Change::new().delete(old)).await?;
    tracing::info!(level, %name, revision, "service control policy deleted");
    Ok(Json(()))
}

/// Commits, and waits until it is in force.
async fn commit(control: &Control, change: Change) -> Result<Revision, Refusal> {
    match control.records.commit(change).await? {
        Outcome::Committed(revision) => {
            control.published.wait_for(revision).await;
            Ok(revision)
        }
        Outcome::Conflict => Err(Refusal::conflict("it was changed by somebody else meanwhile: try again")),
    }
}

async fn of_level(control: &Control, level: &str) -> Result<Vec<Versioned<ServiceControlPolicy>>, Refusal> {
    Ok(control.records.list::<ServiceControlPolicy>(&format!("{level}/")).await?)
}

async fn unknown(control: &Control, level: &str, name: &str) -> Result<Refusal, Refusal> {
    let all = control.records.list::<ServiceControlPolicy>("").await?;
    let here = all.iter().filter(|policy| policy.level == level).map(|policy| policy.name.to_string());
    let elsewhere = all.iter().find(|policy| policy.name.as_str().eq_ignore_ascii_case(name));
    Ok(Refusal::not_found(match elsewhere {
        Some(other) => {
            format!(
                "level `{level}` has no service control policy `{name}`, but level `{}` has: see --level",
                other.level
            )
        }
        None => {
            let instead = instead(name, "service control policies", here);
            format!("level `{level}` has no service control policy `{name}`; {instead}")
        }
    }))
}

/// Whether a level may have the name.
pub(crate) fn is_level(level: &str) -> bool {
    (1..=32).contains(&level.len())
        && level.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn check_level(level: &str) -> Result<(), Refusal> {
    if is_level(level) {
        return Ok(());
    }
    Err(Refusal::wrong(format!("`{level}` is not a level: expected 1 to 32 of a-z, 0-9 and `-`")))
}

fn parse_name(name: &str) -> Result<PolicyName, Refusal> {
    name.parse().map_err(|error| Refusal::wrong(format!("`{name}` is not the name of a policy: it {error}")))
}

/// The document, if it is one. What is wrong is said in AWS's words, with the place in front.
fn checked(document: &[u8]) -> Result<String, Refusal> {
    let text = std::str::from_utf8(document).map_err(|_| Refusal::wrong("the policy is not UTF-8 text"))?;
    let characters = text.chars().count();
    if characters > MOST_CHARACTERS {
        return Err(Refusal::wrong(format!(
            "the policy has {characters} characters, white space included, and at most {MOST_CHARACTERS} are possible"
        )));
    }
    let malformed = |error: policy::Malformed| {
        let place = error.span().map(|span| Place::of(text, span.start));
        let place = place.map(|at| format!("{}:{}: ", at.line, at.column)).unwrap_or_default();
        let detail = error.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
        Refusal::wrong(format!("{place}{error}{detail}"))
    };
    Policy::parse(text, Kind::ServiceControl).map_err(malformed)?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_with_a_level_is_a_policy() {
        assert!(checked(FULL_AWS_ACCESS_DOCUMENT.as_bytes()).is_ok());
        for good in ["account", "root", "ou-1", "0"] {
            assert!(is_level(good), "{good}");
        }
        for bad in ["", "Root", "a/b", "a_b", "ü", &"a".repeat(33)] {
            assert!(!is_level(bad), "{bad}");
        }
    }
}
