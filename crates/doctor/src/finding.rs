//! What an examination finds: one finding for each step of a login, and the report of all of them.

use serde::{Serialize, Serializer};

/// A step of a login, or something that a login needs; in the order in which they are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The host name has addresses.
    Name,
    /// The port answers.
    Port,
    /// The server speaks the database's protocol, and TLS.
    Protocol,
    /// An authority that is trusted vouches for the server, under this name.
    Certificate,
    /// There are AWS credentials.
    Credentials,
    /// The clock is right.
    Clock,
    /// The region of the database is known.
    Region,
    /// The token, and its size.
    Token,
    /// The login itself.
    Login,
    /// What the API says of the database: that it is there, available, and dialled by its own address.
    Database,
    /// IAM authentication is enabled.
    IamAuthentication,
    /// The authority of the database's certificate.
    Authority,
    /// Whose credentials these are.
    Caller,
    /// The policies allow `rds-db:connect`.
    Policy,
    /// The login of somebody who may look at accounts.
    Admin,
    /// The database user exists, and may log in.
    Account,
    /// The database user is one who logs in with tokens: `rds_iam`, `AWSAuthenticationPlugin`.
    TokenUser,
    /// Logins of the user are held to TLS.
    RequireTls,
    /// The user may connect to the database that is named.
    Privilege,
}

impl Step {
    /// All of them, in their order.
    pub const ALL: [Self; 19] = [
        Self::Name,
        Self::Port,
        Self::Protocol,
        Self::Certificate,
        Self::Credentials,
        Self::Clock,
        Self::Region,
        Self::Token,
        Self::Login,
        Self::Database,
        Self::IamAuthentication,
        Self::Authority,
        Self::Caller,
        Self::Policy,
        Self::Admin,
        Self::Account,
        Self::TokenUser,
        Self::RequireTls,
        Self::Privilege,
    ];

    /// The word for it, on the screen and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Port => "port",
            Self::Protocol => "protocol",
            Self::Certificate => "certificate",
            Self::Credentials => "credentials",
            Self::Clock => "clock",
            Self::Region => "region",
            Self::Token => "token",
            Self::Login => "login",
            Self::Database => "database",
            Self::IamAuthentication => "iam-authentication",
            Self::Authority => "authority",
            Self::Caller => "caller",
            Self::Policy => "policy",
            Self::Admin => "admin",
            Self::Account => "account",
            Self::TokenUser => "token-user",
            Self::RequireTls => "require-tls",
            Self::Privilege => "privilege",
        }
    }
}

impl Serialize for Step {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// How a step came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// It works, or may; but look at it.
    Warning,
    /// It keeps a login from working.
    Failed,
    /// It could not be looked at, or was not to be.
    Skipped,
}

impl Status {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// Something to do: in words, and the command that does it where there is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mend {
    /// What it does.
    pub what: String,
    /// A command line of a shell, or a statement of SQL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// What was found at one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The step.
    pub step: Step,
    /// How it came out.
    pub status: Status,
    /// What was seen; of a skipped step, why it was skipped.
    pub seen: String,
    /// What was expected; not said where it was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What mends it, the likeliest first.
    pub mend: Vec<Mend>,
}

impl Finding {
    fn new(step: Step, status: Status, seen: impl Into<String>) -> Self {
        Self { step, status, seen: seen.into(), expected: None, mend: Vec::new() }
    }

    pub(crate) fn ok(step: Step, seen: impl Into<String>) -> Self {
        Self::new(step, Status::Ok, seen)
    }

    pub(crate) fn warning(step: Step, seen: impl Into<String>) -> Self {
        Self::new(step, Status::Warning, seen)
    }

    pub(crate) fn failed(step: Step, seen: impl Into<String>) -> Self {
        Self::new(step, Status::Failed, seen)
    }

    pub(crate) fn skipped(step: Step, why: impl Into<String>) -> Self {
        Self::new(step, Status::Skipped, why)
    }

    pub(crate) fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    pub(crate) fn mend(mut self, what: impl Into<String>) -> Self {
        self.mend.push(Mend { what: what.into(), command: None });
        self
    }

    pub(crate) fn run(mut self, what: impl Into<String>, command: impl Into<String>) -> Self {
        self.mend.push(Mend { what: what.into(), command: Some(command.into()) });
        self
    }
}

/// All findings, in the order of [`Step`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The version of this shape.
    pub version: u32,
    /// What was dialled.
    pub host: String,
    /// What was dialled; none where it was not known.
    pub port: Option<u16>,
    /// `postgres` or `mysql`; none where it was not known.
    pub engine: Option<String>,
    /// The database user.
    pub user: String,
    /// `failed` if any finding is, else `warning` if any is, else `ok`.
    pub status: Status,
    /// The findings.
    pub findings: Vec<Finding>,
    /// The likely cause: none if nothing failed.
    pub cause: Option<Cause>,
}

/// What is likely behind a login that fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// The step that it was found at.
    pub step: Step,
    /// What was seen there.
    pub seen: String,
    /// What to do first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<Mend>,
}

impl Report {
    pub(crate) fn new(
        host: String,
        port: Option<u16>,
        engine: Option<String>,
        user: String,
        mut findings: Vec<Finding>,
    ) -> Self {
        findings.sort_by_key(|finding| finding.step);
        let has = |status| findings.iter().any(|finding| finding.status == status);
        let status = if has(Status::Failed) {
            Status::Failed
        } else if has(Status::Warning) {
            Status::Warning
        } else {
            Status::Ok
        };
        let cause = cause(&findings);
        Self { version: 1, host, port, engine, user, status, findings, cause }
    }

    /// The finding of a step.
    pub fn finding(&self, step: Step) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.step == step)
    }
}

/// The first failure in the order of a login. A login that was refused says little of why: whatever else failed, says more.
/// Only the login of the administrator says less, which nobody else needs.
fn cause(findings: &[Finding]) -> Option<Cause> {
    let failed = || findings.iter().filter(|finding| finding.status == Status::Failed);
    let says_why = |finding: &&Finding| !matches!(finding.step, Step::Login | Step::Admin);
    let finding = failed()
        .find(says_why)
        .or_else(|| failed().find(|finding| finding.step == Step::Login))
        .or_else(|| failed().next())?;
    Some(Cause { step: finding.step, seen: finding.seen.clone(), first: finding.mend.first().cloned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(findings: Vec<Finding>) -> Report {
        Report::new("h".to_owned(), Some(5432), Some("postgres".to_owned()), "u".to_owned(), findings)
    }

    #[test]
    fn the_cause_is_what_says_why() {
        let login = Finding::failed(Step::Login, "refused").mend("look further");
        let policy = Finding::failed(Step::Policy, "denied").run("allow it", "aws iam ...");
        let admin = Finding::failed(Step::Admin, "refused");
        let named = |report: Report| report.cause.map(|cause| cause.step);
        assert_eq!(named(report(vec![policy.clone(), login.clone()])), Some(Step::Policy));
        assert_eq!(named(report(vec![admin.clone(), login])), Some(Step::Login));
        assert_eq!(named(report(vec![admin])), Some(Step::Admin));
        let fine = report(vec![Finding::ok(Step::Name, "x"), Finding::skipped(Step::Policy, "y")]);
        assert_eq!((fine.status, fine.cause), (Status::Ok, None));
        assert_eq!(report(vec![Finding::warning(Step::Clock, "x")]).status, Status::Warning);
        assert_eq!(policy.mend[0].command.as_deref(), Some("aws iam ..."));
    }

    #[test]
    fn findings_are_told_in_the_order_of_a_login() {
        assert!(Step::ALL.is_sorted());
        let report = report(vec![Finding::ok(Step::Login, ""), Finding::ok(Step::Name, "")]);
        assert_eq!(report.findings[0].step, Step::Name);
    }

    #[test]
    fn json_has_its_shape() {
        let finding = Finding::failed(Step::TokenUser, "a").expected("b").run("c", "d").mend("e");
        let json = serde_json::to_value(report(vec![finding, Finding::ok(Step::Name, "n")])).unwrap();
        let expected = serde_json::json!({
            "version": 1, "host": "h", "port": 5432, "engine": "postgres", "user": "u", "status": "failed",
            "findings": [
                {"step": "name", "status": "ok", "seen": "n", "mend": []},
                {"step": "token-user", "status": "failed", "seen": "a", "expected": "b",
                 "mend": [{"what": "c", "command": "d"}, {"what": "e"}]},
            ],
            "cause": {"step": "token-user", "seen": "a", "first": {"what": "c", "command": "d"}},
        });
        assert_eq!(json, expected);
    }
}
