//! Whom a person means by an ARN: a user, a session that lives, or a role as a session of it would be.

use super::Control;
use super::refusal::{Refusal, instead};
use iam::{AccessKeyId, Arn, Principal, PrincipalKind, SecurityToken, SessionCredential, Snapshot, Tags};
use sigv4::Timestamp;
use store::records::{Role, Session, SessionPrincipal, User};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What a session of a role is called that nobody has made.
const STAND_IN: &str = "explained";

/// Who it is, with what a [`Principal`] points to and the snapshot does not have.
pub(super) struct Found {
    who: Who,
    /// What a person should know about it.
    pub(super) note: Option<String>,
}

enum Who {
    /// A user, by folded name.
    User(String),
    /// A session that lives.
    Session(AccessKeyId),
    /// A session of a role, by folded name, that nobody has made.
    Role { role: String, arn: Arn, user_id: String, session: SessionCredential },
}

impl Found {
    /// The principal; none where it is gone.
    pub(super) fn principal<'s>(&'s self, snapshot: &'s Snapshot) -> Option<Principal<'s>> {
        let account = snapshot.account();
        match &self.who {
            Who::User(name) => {
                let user = snapshot.user(name)?;
                Some(Principal { arn: &user.arn, account, kind: PrincipalKind::User { user }, session: None })
            }
            Who::Session(id) => snapshot.principal(snapshot.credential(id)?),
            Who::Role { role, arn, user_id, session } => {
                let kind = PrincipalKind::RoleSession { role: snapshot.role(role)?, user_id };
                Some(Principal { arn, account, kind, session: Some(session) })
            }
        }
    }

    /// The access key id of the session that lives.
    pub(super) fn session(&self) -> Option<AccessKeyId> {
        match self.who {
            Who::Session(id) => Some(id),
            Who::User(_) | Who::Role { .. } => None,
        }
    }
}

/// Finds whom the ARN stands for.
pub(super) async fn find(control: &Control, snapshot: &Snapshot, arn: &str) -> Result<Found, Refusal> {
    let parsed: Arn = arn.parse().map_err(|_| unlike(arn))?;
    if parsed.account() != control.account.as_str() {
        return Err(Refusal::not_found(format!(
            "`{arn}` is of account `{}`, and here is account `{}`: a principal of another account logs in by a role of this one",
            parsed.account(),
            control.account
        )));
    }
    let (kind, name) = parsed.resource().split_once('/').unwrap_or((parsed.resource(), ""));
    match (parsed.service(), kind) {
        ("iam", "user") => user(control, snapshot, &parsed, name).await,
        ("iam", "role") => {
            let role = last(name);
            if snapshot.role(&role).is_none_or(|role| role.arn != parsed) {
                return Err(no_role(control, snapshot, &parsed, &role).await?);
            }
            let note = format!(
                "as a session of the role called `{STAND_IN}`, without session policies and session tags"
            );
            stand_in(control, snapshot, role, STAND_IN, note)
        }
        ("sts", "assumed-role") => {
            let (role, session) = name.split_once('/').ok_or_else(|| unlike(arn))?;
            let folded = role.to_ascii_lowercase();
            if snapshot.role(&folded).is_none() {
                return Err(no_role(control, snapshot, &parsed, role).await?);
            }
            let (found, others) = live(control, snapshot, &parsed, &format!("assumed-role/{role}/")).await?;
            match found {
                Some(found) => Ok(found),
                None => {
                    let mut note = format!(
                        "no session called `{session}` lives: as if there were one, without session policies and session tags"
                    );
                    if !others.is_empty() {
                        note = format!("{note}; {}", instead(session, "sessions", others));
                    }
                    stand_in(control, snapshot, folded, session, note)
                }
            }
        }
        ("sts", "federated-user") => {
            let (found, others) = live(control, snapshot, &parsed, "federated-user/").await?;
            found.ok_or_else(|| {
                let instead = instead(name, "federated users", others);
                Refusal::not_found(format!("no session of a federated user called `{name}` lives; {instead}"))
            })
        }
        _ => Err(unlike(arn)),
    }
}

fn unlike(arn: &str) -> Refusal {
    Refusal::wrong(format!(
        "`{arn}` is not a principal that logs in: expected the ARN of a user, a role, `assumed-role/ROLE/SESSION` or \
         `federated-user/NAME`"
    ))
}

/// What stands behind the last slash, folded.
fn last(path_and_name: &str) -> String {
    path_and_name.rsplit('/').next().unwrap_or_default().to_ascii_lowercase()
}

async fn user(
    control: &Control,
    snapshot: &Snapshot,
    arn: &Arn,
    path_and_name: &str,
) -> Result<Found, Refusal> {
    let name = last(path_and_name);
    match snapshot.user(&name) {
        Some(user) if user.arn == *arn => Ok(Found { who: Who::User(name), note: None }),
        Some(user) => {
            Err(Refusal::not_found(format!("there is no `{arn}`; the user's ARN is `{}`", user.arn)))
        }
        None => {
            let users = control.records.list::<User>("").await?;
            let instead = instead(&name, "users", users.into_iter().map(|user| user.name.to_string()));
            Err(Refusal::not_found(format!("there is no `{arn}`; {instead}")))
        }
    }
}

async fn no_role(control: &Control, snapshot: &Snapshot, arn: &Arn, name: &str) -> Result<Refusal, Refusal> {
    if let Some(role) = snapshot.role(&name.to_ascii_lowercase()) {
        return Ok(Refusal::not_found(format!("there is no `{arn}`; the role's ARN is `{}`", role.arn)));
    }
    let roles = control.records.list::<Role>("").await?;
    let instead = instead(name, "roles", roles.into_iter().map(|role| role.name.to_string()));
    Ok(Refusal::not_found(format!("there is no `{arn}`; {instead}")))
}

/// The session with the ARN that ends last, if one lives, and the names of all that do under the prefix.
async fn live(
    control: &Control,
    snapshot: &Snapshot,
    arn: &Arn,
    prefix: &str,
) -> Result<(Option<Found>, Vec<String>), Refusal> {
    let now = (control.clock)();
    let mut others = Vec::new();
    let mut latest: Option<(OffsetDateTime, AccessKeyId)> = None;
    for session in control.records.list::<Session>("").await? {
        if session.expires <= now || matches!(session.principal, SessionPrincipal::User { .. }) {
            continue;
        }
        let Some(credential) = snapshot.credential(&session.id) else { continue };
        // None where its role or user was deleted, or made anew, since.
        let Some(principal) = snapshot.principal(credential) else { continue };
        let under = principal.arn.resource();
        let same_start = under.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        if same_start && let Some(name) = under.get(prefix.len()..) {
            others.push(name.to_owned());
        }
        if same_arn(principal.arn, arn) && latest.is_none_or(|(expires, _)| session.expires > expires) {
            latest = Some((session.expires, session.id));
        }
    }
    let found = latest.map(|(expires, id)| {
        let ends = expires.format(&Rfc3339).unwrap_or_default();
        let note = format!("the session `{id}`, which ends at {ends}");
        Found { who: Who::Session(id), note: Some(note) }
    });
    Ok((found, others))
}

/// The name of the role that a session's ARN has may be in any case, the session's own is as it was given.
fn same_arn(a: &Arn, b: &Arn) -> bool {
    let split = |arn: &Arn| {
        let (role, session) = arn.as_str().rsplit_once('/').unwrap_or((arn.as_str(), ""));
        (role.to_ascii_lowercase(), session.to_owned())
    };
    split(a) == split(b)
}

/// A session of the role that nobody has made, from now on for an hour.
fn stand_in(
    control: &Control,
    snapshot: &Snapshot,
    role: String,
    session: &str,
    note: String,
) -> Result<Found, Refusal> {
    let now = Timestamp::from_unix((control.clock)().unix_timestamp());
    let found = snapshot.role(&role).map(|found| (found.id, last_as_is(found.arn.resource()).to_owned()));
    let (id, name) = found.ok_or_else(|| Refusal::not_found(format!("there is no role `{role}`")))?;
    let arn = format!("arn:aws:sts::{}:assumed-role/{name}/{session}", control.account);
    let arn: Arn = arn.parse().map_err(|_| unlike(&arn))?;
    let credential = SessionCredential {
        token: SecurityToken::new(zeroize::Zeroizing::default()),
        issued: now,
        expires: Timestamp::from_unix(now.unix() + 3600),
        policies: None,
        tags: Tags::default(),
    };
    let who = Who::Role { role, arn, user_id: format!("{id}:{session}"), session: credential };
    Ok(Found { who, note: Some(note) })
}

fn last_as_is(path_and_name: &str) -> &str {
    path_and_name.rsplit('/').next().unwrap_or_default()
}
