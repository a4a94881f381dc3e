//! Why a login would be allowed or refused: the decision of `iam` with all it looked at, as JSON.
//!
//! The JSON is a stable form: members are added, none is renamed.

use super::database::{self, DatabaseAnswer};
use super::query::Query;
use super::refusal::Refusal;
use super::{Control, principal};
use axum::Json;
use axum::extract::{RawQuery, State};
use iam::{Authorization, CONNECT_ACTION, DecidedBy, Denial, PolicyReport, Reason, Says, Source, TypeReport};
use policy::document::Effect;
use policy::{Entries, Key, ListReport, Overlay, Place, StatementReport, TestReport, Truth, Value};
use sigv4::Timestamp;
use std::sync::Arc;

/// Where it is asked for, with `principal`, `database`, `user`; where they are given, with `region` and any number of
/// `context`, each `key=value`.
pub(crate) const PATH: &str = "/explain";

/// Why a login would be allowed or refused.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Explanation {
    #[serde(flatten)]
    pub(crate) verdict: Verdict,
    /// What policies say, where the login is refused before they are asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) otherwise: Option<Verdict>,
    /// The ARN of the principal.
    pub(crate) principal: String,
    /// `User`, `AssumedRole` or `FederatedUser`.
    pub(crate) principal_type: String,
    /// The access key id of the session that lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<String>,
    pub(crate) database: DatabaseAnswer,
    pub(crate) user: String,
    pub(crate) action: String,
    pub(crate) resource: String,
    /// The revision of the snapshot that it was decided from.
    pub(crate) revision: u64,
    /// The keys that were given, and those that policies ask for.
    pub(crate) context: Vec<ContextKey>,
    /// Sentences about what was taken for what.
    pub(crate) notes: Vec<String>,
    /// Type by type, in the order of the decision.
    pub(crate) policies: Vec<TypeShown>,
}

/// A decision in the words of the audit trail.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Verdict {
    /// `allowed` or `refused`.
    pub(crate) decision: String,
    /// The stable word for why it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// The same in a sentence.
    pub(crate) detail: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) decided_by: Option<Decider>,
}

/// A statement that allows or denies.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Decider {
    pub(crate) policy: String,
    /// From 1.
    pub(crate) statement: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sid: Option<String>,
}

/// A key of the request's context.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct ContextKey {
    pub(crate) key: String,
    /// None where the request does not have the key.
    pub(crate) values: Option<Vec<String>>,
    /// Whether it was given to the command.
    pub(crate) given: bool,
    /// Whether a policy asks for it.
    pub(crate) asked: bool,
}

/// The policies of a type.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct TypeShown {
    /// `service control policy`, `identity-based policy`, `permissions boundary` or `session policy`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// Of service control policies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) level: Option<String>,
    /// `no-limit`, `allows`, `denies`, `nothing` or `unreadable`.
    pub(crate) says: String,
    pub(crate) policies: Vec<PolicyShown>,
}

/// A policy.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct PolicyShown {
    /// The ARN of a managed policy, the name of another one.
    pub(crate) name: String,
    pub(crate) managed: bool,
    pub(crate) attached_to: Attachment,
    pub(crate) says: String,
    /// Why it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<String>,
    pub(crate) statements: Vec<StatementShown>,
}

/// What a policy is attached to.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Attachment {
    /// `user`, `group`, `role`, `session` or `level`; `question` is never one of a login.
    pub(crate) kind: String,
    /// None for the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
}

/// What became of a statement.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct StatementShown {
    /// From 1.
    pub(crate) statement: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sid: Option<String>,
    /// `Allow` or `Deny`.
    pub(crate) effect: String,
    /// Where it stands in the document, both from 1; none where the document is not to be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) column: Option<u32>,
    pub(crate) applies: bool,
    /// What keeps it from applying: `action`, `resource` or `condition`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) because: Option<String>,
    /// The list that does not cover the request, or of a `Not` element does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) list: Option<List>,
    pub(crate) conditions: Vec<TestShown>,
}

/// A list of actions or resources.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct List {
    /// `Action`, `NotAction`, `Resource` or `NotResource`.
    pub(crate) element: String,
    pub(crate) items: Vec<String>,
    /// The keys of variables that have no value in the request.
    pub(crate) without_value: Vec<String>,
}

/// A condition on one key.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct TestShown {
    pub(crate) operator: String,
    pub(crate) key: String,
    /// The policy's values.
    pub(crate) expected: Vec<String>,
    /// The request's; none where it does not have the key.
    pub(crate) found: Option<Vec<String>>,
    /// The keys of variables among the policy's values that have no value in the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) without_value: Vec<String>,
    /// `holds`, `does-not-hold` or `cannot-be-evaluated`.
    pub(crate) result: String,
}

pub(super) async fn show(
    State(control): State<Arc<Control>>,
    query: RawQuery,
) -> Result<Json<Explanation>, Refusal> {
    let query = Query::read(query)?;
    Ok(Json(control.explain(&query).await?))
}

impl Control {
    async fn explain(&self, query: &Query) -> Result<Explanation, Refusal> {
        let database =
            database::find(self, query.need("database")?, database::region(query)?.as_ref()).await?;
        let user = query.need("user")?;
        let given = Given::read(query)?;
        let snapshot = self.published.current();
        let found = principal::find(self, &snapshot, query.need("principal")?).await?;
        let meanwhile = || Refusal::conflict("it was deleted meanwhile: ask again");
        let principal = found.principal(&snapshot).ok_or_else(meanwhile)?;
        let known = snapshot.database(&database.resource_id).ok_or_else(meanwhile)?;

        let now = Timestamp::from_unix((self.clock)().unix_timestamp());
        let explained = {
            let derived = iam::login_context(known, &principal, now, None);
            let given = given.entries();
            let context = Overlay { first: &given, then: &derived };
            iam::explain_connect(&snapshot, known, &principal, user, &context)
        };
        let explained = explained
            .map_err(|_| Refusal::wrong(format!("the user `{user}` is longer than any database has")))?;

        let asked = |key: &str| explained.keys.iter().any(|(known, _)| known.eq_ignore_ascii_case(key));
        let mut notes: Vec<String> = found.note.iter().cloned().collect();
        notes.extend(database.member.as_ref().map(|member| {
            let cluster = &database.identifier;
            format!(
                "`{member}` is a member of the cluster `{cluster}`: tokens and policies are about the cluster"
            )
        }));
        notes.extend(self.about_source_ip(&given, asked("aws:SourceIp")));
        let unasked = given.0.iter().filter(|(key, _)| !asked(key));
        notes.extend(unasked.map(|(key, _)| format!("`{key}` was given, and no policy asks for it")));

        let mut context: Vec<ContextKey> = explained
            .keys
            .iter()
            .map(|(key, values)| ContextKey {
                given: given.has(key),
                key: key.clone(),
                values: values.clone(),
                asked: true,
            })
            .collect();
        let unasked = given.0.iter().filter(|(key, _)| !asked(key));
        context.extend(unasked.map(|(key, values)| ContextKey {
            key: key.clone(),
            values: Some(values.clone()),
            given: true,
            asked: false,
        }));

        let by_policies = Verdict::of(&explained.authorization);
        let (verdict, otherwise) = match known.iam_enabled {
            true => (by_policies, None),
            false => (Verdict::refused(Reason::IamDisabled), Some(by_policies)),
        };
        let session = found.session().map(|id| id.to_string());
        let mut policies = Vec::new();
        for of_type in &explained.types {
            policies.push(self.show_type(of_type, session.as_deref()).await?);
        }
        Ok(Explanation {
            verdict,
            otherwise,
            principal: principal.arn.to_string(),
            principal_type: principal.kind.as_str().to_owned(),
            session,
            resource: format!(
                "arn:{}:rds-db:{}:{}:{}{user}",
                known.partition, known.region, known.account, known.dbuser_prefix
            ),
            database,
            user: user.to_owned(),
            action: CONNECT_ACTION.to_owned(),
            revision: snapshot.revision(),
            context,
            notes,
            policies,
        })
    }

    /// On AWS a login has no `aws:SourceIp`; here that is a setting, and here nobody logs in.
    fn about_source_ip(&self, given: &Given, asked: bool) -> Option<String> {
        let text = match (asked, given.has("aws:SourceIp"), self.source_ip) {
            (true, false, false) => {
                "a policy asks for `aws:SourceIp`, which a login does not have, as on AWS: `countersign serve --source-ip` \
                 gives it the client's address"
            }
            (true, false, true) => {
                "a policy asks for `aws:SourceIp`: at a login that is the client's address, here it is absent; give one \
                 with `--context aws:SourceIp=ADDRESS`"
            }
            (true, true, false) => {
                "`aws:SourceIp` was given, but a login does not have it: the server runs without `--source-ip`"
            }
            _ => return None,
        };
        Some(text.to_owned())
    }

    async fn show_type(&self, of_type: &TypeReport<'_>, session: Option<&str>) -> Result<TypeShown, Refusal> {
        let mut policies = Vec::new();
        for report in &of_type.policies {
            let text = store::policy_text(&self.records, &report.consulted, session).await?;
            policies.push(PolicyShown::of(report, text.as_deref()));
        }
        Ok(TypeShown {
            kind: of_type.kind.as_str().to_owned(),
            level: of_type.level.map(str::to_owned),
            says: word(of_type.says).to_owned(),
            policies,
        })
    }
}

/// The keys that were given, each with its values.
struct Given(Vec<(String, Vec<String>)>);

impl Given {
    fn read(query: &Query) -> Result<Self, Refusal> {
        let mut given: Vec<(String, Vec<String>)> = Vec::new();
        for pair in query.all("context") {
            let (key, value) =
                pair.split_once('=').ok_or_else(|| Refusal::wrong(format!("`{pair}` is not `key=value`")))?;
            match given.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(key)) {
                Some((_, values)) => values.push(value.to_owned()),
                None => given.push((key.to_owned(), vec![value.to_owned()])),
            }
        }
        Ok(Self(given))
    }

    fn has(&self, key: &str) -> bool {
        self.0.iter().any(|(known, _)| Key::new(key).is(known))
    }

    fn entries(&self) -> Entries<'_> {
        let mut entries = Entries::default();
        for (key, values) in &self.0 {
            entries.set(key.as_str(), values.iter().map(|value| Value::Text(value)).collect());
        }
        entries
    }
}

impl Verdict {
    /// `refused (not-authorized): ...`
    pub(crate) fn sentence(&self) -> String {
        let mut sentence = self.decision.clone();
        if let Some(reason) = &self.reason {
            sentence.push_str(&format!(" ({reason})"));
        }
        sentence.push_str(": ");
        let by = self.decided_by.as_ref().map(|by| {
            let sid = by.sid.as_ref().map(|sid| format!(" ({sid})")).unwrap_or_default();
            format!("{} statement {}{sid}", by.policy, by.statement)
        });
        match (&self.reason, by) {
            (None, Some(by)) => sentence.push_str(&format!("{by} allows it")),
            (_, Some(by)) => sentence.push_str(&format!("{}: {by}", self.detail)),
            (_, None) => sentence.push_str(&self.detail),
        }
        sentence
    }

    pub(super) fn refused(reason: Reason) -> Self {
        Self {
            decision: "refused".to_owned(),
            reason: Some(reason.as_str().to_owned()),
            detail: reason.to_string(),
            decided_by: None,
        }
    }

    pub(super) fn of(authorization: &Authorization<'_>) -> Self {
        match *authorization {
            Authorization::Allowed(statement) => Self {
                decision: "allowed".to_owned(),
                reason: None,
                detail: "a statement allows it, and nothing denies it or sets a narrower limit".to_owned(),
                decided_by: Some(statement.into()),
            },
            Authorization::Denied(denial) => {
                let refused = Self::refused(denial.into());
                match denial {
                    Denial::Implicit(_) => refused,
                    Denial::Explicit(_, statement) => Self { decided_by: Some(statement.into()), ..refused },
                    Denial::Unreadable { policy, reason } => {
                        Self { detail: format!("{}: {policy}: {reason}", refused.detail), ..refused }
                    }
                }
            }
        }
    }
}

impl From<DecidedBy<'_>> for Decider {
    fn from(statement: DecidedBy<'_>) -> Self {
        Self {
            policy: statement.policy.to_owned(),
            statement: number(statement.statement),
            sid: statement.sid.map(str::to_owned),
        }
    }
}

/// Statements are counted from 1 where people read.
fn number(index: u16) -> u32 {
    u32::from(index) + 1
}

fn word(says: Says<'_>) -> &'static str {
    match says {
        Says::NoLimit => "no-limit",
        Says::Allows(_) => "allows",
        Says::Denies(_) => "denies",
        Says::Nothing => "nothing",
        Says::Unreadable(_) => "unreadable",
    }
}

impl PolicyShown {
    fn of(report: &PolicyReport<'_>, text: Option<&str>) -> Self {
        let problem = match report.says {
            Says::Unreadable(reason) => Some(reason.to_owned()),
            Says::NoLimit | Says::Allows(_) | Says::Denies(_) | Says::Nothing => None,
        };
        Self {
            name: report.consulted.name().to_owned(),
            managed: report.consulted.managed,
            attached_to: Attachment::of(report.consulted.source),
            says: word(report.says).to_owned(),
            problem,
            statements: report
                .statements
                .iter()
                .map(|statement| StatementShown::of(statement, text))
                .collect(),
        }
    }
}

impl Attachment {
    fn of(source: Source<'_>) -> Self {
        let last = |resource: &str| resource.rsplit('/').next().map(str::to_owned);
        let (kind, name) = match source {
            Source::User(user) => ("user", Some(user.name.to_string())),
            Source::Group(group) => ("group", last(group.arn.resource())),
            Source::Role(role) => ("role", last(role.arn.resource())),
            Source::Session => ("session", None),
            Source::Question => ("question", None),
            Source::Level(level) => ("level", Some(level.to_owned())),
        };
        Self { kind: kind.to_owned(), name }
    }
}

impl StatementShown {
    fn of(report: &StatementReport, text: Option<&str>) -> Self {
        // A text that was written since the snapshot is another one.
        let is_object = |text: &&str| {
            let statement = text.get(report.span.start..report.span.end);
            statement.is_some_and(|statement| statement.starts_with('{') && statement.ends_with('}'))
        };
        let place = text.filter(is_object).map(|text| Place::of(text, report.span.start));
        let (because, list) = match &report.verdict {
            policy::Verdict::Applies => (None, None),
            policy::Verdict::OtherAction(list) => (Some("action"), Some(List::of("Action", list))),
            policy::Verdict::OtherResource(list) => (Some("resource"), Some(List::of("Resource", list))),
            policy::Verdict::Condition => (Some("condition"), None),
        };
        Self {
            statement: number(report.index),
            sid: report.sid.clone(),
            effect: match report.effect {
                Effect::Allow => "Allow".to_owned(),
                Effect::Deny => "Deny".to_owned(),
            },
            line: place.map(|at| at.line),
            column: place.map(|at| at.column),
            applies: because.is_none(),
            because: because.map(str::to_owned),
            list,
            conditions: report.conditions.iter().map(TestShown::of).collect(),
        }
    }
}

impl List {
    fn of(element: &str, list: &ListReport) -> Self {
        Self {
            element: format!("{}{element}", if list.negated { "Not" } else { "" }),
            items: list.items.clone(),
            without_value: each_once(&list.without_value),
        }
    }
}

fn each_once(keys: &[String]) -> Vec<String> {
    let mut keys = keys.to_vec();
    keys.sort();
    keys.dedup();
    keys
}

impl TestShown {
    fn of(test: &TestReport) -> Self {
        let result = match test.truth {
            Truth::True => "holds",
            Truth::False => "does-not-hold",
            Truth::Error => "cannot-be-evaluated",
        };
        Self {
            operator: test.operator.clone(),
            key: test.key.clone(),
            expected: test.expected.clone(),
            found: test.found.clone(),
            without_value: each_once(&test.without_value),
            result: result.to_owned(),
        }
    }
}
