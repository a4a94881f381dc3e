//! The audit trail: one JSON line a login, allowed or refused, with everything the client is not told; and the same, for
//! people, in the log. Never a token, never a secret.

use crate::door::Login;
use iam::{Decision, Denial, PolicyType};
use std::fs::File;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Mutex;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Where audit records go.
#[derive(Debug)]
pub struct Audit {
    file: Option<Mutex<File>>,
}

impl Audit {
    /// Appends to the file, mode 0600, which is made where there is none.
    pub fn to_file(path: &Path) -> std::io::Result<Self> {
        let file = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        Ok(Self { file: Some(Mutex::new(file)) })
    }

    /// Writes to the log alone.
    pub fn log_only() -> Self {
        Self { file: None }
    }

    /// Writes a record. The line is with the operating system when this returns; a failure is logged, and refuses
    /// nobody.
    pub fn write(&self, record: &Record<'_>) {
        record.log();
        let Some(file) = &self.file else { return };
        let mut line = match serde_json::to_vec(record) {
            Ok(line) => line,
            Err(error) => return tracing::error!(%error, "an audit record cannot be written"),
        };
        line.push(b'\n');
        let mut file = file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Err(error) = file.write_all(&line) {
            tracing::error!(%error, "the audit file cannot be written");
        }
    }
}

/// What is written of a login.
#[derive(Debug, serde::Serialize)]
pub struct Record<'a> {
    /// When, RFC 3339.
    time: String,
    /// The number that the database server's log carries too, 16 hex digits.
    request: String,
    /// `allowed` or `refused`.
    decision: &'static str,
    /// The resource id of the database that asked.
    database: &'a str,
    /// The database user.
    user: &'a str,
    /// The client's address, where the door knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<IpAddr>,
    /// The door: `pam`, `ldap` or `mysql`.
    door: &'static str,
    /// The access key that signed, or is said to have.
    #[serde(skip_serializing_if = "Option::is_none")]
    access_key: Option<String>,
    /// The ARN of the principal, where the signature proved it.
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<&'a str>,
    /// The statement that decided, or the policy that cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_by: Option<String>,
    /// The type of the policies that deny it, or do not allow it.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_type: Option<&'static str>,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// The same in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// The class in RDS's words, such as `ExpiredToken`.
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<&'static str>,
    /// The revision of the snapshot that it was decided from.
    revision: u64,
}

impl<'a> Record<'a> {
    /// The record of a decided login.
    pub fn new(now: OffsetDateTime, request_id: u64, login: &Login<'a>, decision: &Decision<'a>) -> Self {
        let mut record = Self {
            time: now.format(&Rfc3339).unwrap_or_default(),
            request: format!("{request_id:016x}"),
            decision: "refused",
            database: login.database,
            user: login.user,
            client: login.client,
            door: login.door.as_str(),
            access_key: None,
            principal: None,
            decided_by: None,
            policy_type: None,
            reason: None,
            detail: None,
            class: None,
            revision: 0,
        };
        match decision {
            Decision::Allowed(allowed) => {
                record.decision = "allowed";
                record.access_key = Some(allowed.key.to_string());
                record.principal = Some(allowed.principal);
                record.decided_by = Some(allowed.decided_by.to_string());
                record.revision = allowed.revision;
            }
            Decision::Refused(refused) => {
                record.access_key = refused.key.map(|key| key.to_string());
                record.principal = refused.principal;
                record.policy_type = refused.reason.policy_type().map(PolicyType::as_str);
                record.reason = Some(refused.reason.as_str());
                record.detail = Some(refused.reason.to_string());
                match refused.denial {
                    Some(Denial::Explicit(_, statement)) => record.decided_by = Some(statement.to_string()),
                    Some(Denial::Unreadable { policy, reason }) => {
                        record.decided_by = Some(policy.to_owned());
                        record.detail = Some(format!("{}: {reason}", refused.reason));
                    }
                    Some(Denial::Implicit(_)) | None => {}
                }
                record.class = Some(refused.reason.class().as_str());
                record.revision = refused.revision;
            }
        }
        record
    }

    fn log(&self) {
        macro_rules! event {
            ($level:ident, $message:literal) => {
                tracing::$level!(
                    target: "countersign::login",
                    request = %self.request,
                    database = self.database,
                    user = self.user,
                    door = self.door,
                    client = self.client.map(tracing::field::display),
                    access_key = self.access_key.as_deref(),
                    principal = self.principal,
                    decided_by = self.decided_by.as_deref(),
                    policy_type = self.policy_type,
                    reason = self.reason,
                    class = self.class,
                    detail = self.detail.as_deref(),
                    revision = self.revision,
                    $message
                )
            };
        }
        if self.reason.is_some() { event!(warn, "login refused") } else { event!(info, "login allowed") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::door::DoorKind;
    use iam::{DecidedBy, Reason, Refused};

    #[test]
    fn what_policies_refuse_says_which_of_them() {
        let login = Login { database: "db-1", user: "u", token: "", client: None, door: DoorKind::Pam };
        let statement = DecidedBy { policy: "limit", statement: 1, sid: Some("No") };
        for (denial, expected) in [
            (Denial::Implicit(PolicyType::Session), [None, Some("session policy")]),
            (
                Denial::Explicit(PolicyType::Boundary, statement),
                [Some("limit statement 2 (No)"), Some("permissions boundary")],
            ),
            (Denial::Unreadable { policy: "broken", reason: "why" }, [Some("broken"), None]),
        ] {
            let refused = Refused {
                reason: denial.into(),
                principal: None,
                key: None,
                denial: Some(denial),
                revision: 1,
            };
            let record = Record::new(OffsetDateTime::UNIX_EPOCH, 1, &login, &Decision::Refused(refused));
            assert_eq!([record.decided_by.as_deref(), record.policy_type], expected, "{denial:?}");
            let unreadable = record.reason == Some(Reason::UnreadablePolicy.as_str());
            assert_eq!(record.detail.unwrap().ends_with(": why"), unreadable);
        }
    }
}
