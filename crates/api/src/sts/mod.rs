//! STS: who am I, and temporary credentials.

mod passed;
mod role;

use crate::about::About;
use crate::call::Call;
use crate::query::{ApiError, Params, Writer};
use crate::secrets;
use axum::response::Response;
use iam::{AccessKeyId, Arn, KeyKind, PrincipalKind, SessionName};
use passed::{Inherited, PackedSize, Passed};
use policy::Value;
use std::collections::{BTreeMap, BTreeSet};
use store::records::{Session, SessionPrincipal, User};
use store::{Change, Record, Versioned};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

/// The longest session of a role that was assumed by a session of a role, in seconds.
const CHAINED_SECONDS: i64 = 3600;

/// How long a session's record outlives the session: long enough that its holder is told that it expired.
const KEPT_AFTER_END: Duration = Duration::days(1);

/// Does the operation that the call names.
pub(crate) async fn dispatch(call: &Call<'_>, params: Params) -> Result<Response, ApiError> {
    if let PrincipalKind::FederatedUser { .. } = call.caller.kind
        && call.operation != "GetCallerIdentity"
    {
        return Err(ApiError::access_denied(format!(
            "Cannot call {} with the credentials of a federated user",
            call.operation
        )));
    }
    match call.operation {
        "GetCallerIdentity" => caller_identity(call, params),
        "AssumeRole" => assume_role(call, params).await,
        "GetFederationToken" => federation_token(call, params).await,
        "GetSessionToken" => session_token(call, params).await,
        "GetAccessKeyInfo" => access_key_info(call, params),
        _ => Err(call.unknown_operation()),
    }
}

/// GetCallerIdentity. Needs no permission, and no Deny stops it.
fn caller_identity(call: &Call<'_>, params: Params) -> Result<Response, ApiError> {
    params.finish()?;
    Ok(call.respond(|w| {
        w.text("UserId", call.caller.user_id());
        w.text("Account", call.caller.account.as_str());
        w.text("Arn", call.caller.arn.as_str());
    }))
}

/// GetAccessKeyInfo
fn access_key_info(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let text = params.required("AccessKeyId")?;
    if !(16..=128).contains(&text.len())
        || !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    {
        return Err(params.invalid(
            "AccessKeyId",
            &text,
            r"must satisfy regular expression pattern: [\w]{16,128}",
        ));
    }
    params.finish()?;
    call.authorize("sts:GetAccessKeyInfo", "*", &About::nothing())?;
    let known = text.parse::<AccessKeyId>().is_ok_and(|id| call.snapshot.credential(&id).is_some());
    if !known {
        return Err(ApiError::no_such_entity(format!("The Access Key with id {text} cannot be found.")));
    }
    Ok(call.respond(|w| w.text("Account", call.services.account.as_str())))
}

/// What marks a session and is not kept or checked: refused, for a session without it would not be what was asked for.
fn refuse_unsupported(params: &Params) -> Result<(), ApiError> {
    const NO_MFA: &str =
        "there are no multi-factor devices, and the session would not have been checked against one";
    const NO_IDENTITY: &str = "source identities are not kept, and the session could not be traced by it";
    params.refuse("SerialNumber", NO_MFA)?;
    params.refuse("TokenCode", NO_MFA)?;
    params.refuse("SourceIdentity", NO_IDENTITY)?;
    params.refuse("ProvidedContexts", NO_IDENTITY)
}

/// AssumeRole
async fn assume_role(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    refuse_unsupported(&params)?;
    let arn_text = params.required("RoleArn")?;
    if arn_text.len() < 20 {
        return Err(params.invalid("RoleArn", &arn_text, "must have length greater than or equal to 20"));
    }
    let arn: Arn = arn_text.parse().map_err(|_| ApiError::validation(format!("{arn_text} is invalid")))?;
    if arn.service() != "iam" || !arn.region().is_empty() || !arn.resource().starts_with("role/") {
        return Err(ApiError::validation(format!("{arn_text} is invalid")));
    }
    let session = take_session_name(&mut params)?;
    let seconds = params.integer("DurationSeconds", 900..=43200)?;
    let external_id = take_external_id(&mut params)?;
    // The service model bounds the policy of GetFederationToken only.
    let passed = Passed::take(&mut params, None)?;
    params.finish()?;

    let chained = matches!(call.caller.kind, PrincipalKind::RoleSession { .. });
    let inherited = Inherited::of_caller(call).await?;
    let about = About::nothing()
        .with("sts:RoleSessionName", Value::Text(session.as_str()))
        .with_text("sts:ExternalId", external_id.as_deref());
    let (about, tagged) = (passed.about(about), passed.tags_session(&inherited));
    let issued = Issued::new(call)?;
    let (role, record, size) = call
        .change(async || {
            let role = role::permitted(call, &arn, &about, tagged).await?;
            let size = passed.check(call, &inherited).await?;
            let seconds = seconds.unwrap_or(3600);
            if chained && seconds > CHAINED_SECONDS {
                return Err(ApiError::validation(
                    "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining",
                ));
            }
            if seconds > i64::from(role.max_session_seconds) {
                return Err(ApiError::validation(
                    "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
                ));
            }
            let principal =
                SessionPrincipal::Role { name: role.name.clone(), id: role.id, session: session.clone(), chained };
            let record = issued.session(call, principal, seconds, &passed, &inherited)?;
            // The role must still be the one that was asked.
            Ok((Change::new().unchanged(&role).insert(&record)?, (role, record, size)))
        })
        .await?;
    Ok(call.respond(|w| {
        issued.write(w, record.expires);
        w.element("AssumedRoleUser", |w| {
            w.text("AssumedRoleId", &format!("{}:{session}", role.id));
            let account = call.services.account;
            w.text("Arn", &format!("arn:aws:sts::{account}:assumed-role/{}/{session}", role.name));
        });
        write_size(size, w);
    }))
}

fn write_size(size: Option<PackedSize>, w: &mut Writer) {
    if let Some(size) = size {
        size.write(w);
    }
}

fn take_session_name(params: &mut Params) -> Result<SessionName, ApiError> {
    let value = params.required("RoleSessionName")?;
    value.parse().map_err(|error| match error {
        ::iam::NameError::Length { most, .. } if value.len() > most => params.invalid(
            "RoleSessionName",
            &value,
            &format!("must have length less than or equal to {most}"),
        ),
        ::iam::NameError::Length { least, .. } => params.invalid(
            "RoleSessionName",
            &value,
            &format!("must have length greater than or equal to {least}"),
        ),
        ::iam::NameError::Pattern { .. } => {
            params.invalid("RoleSessionName", &value, r"must satisfy regular expression pattern: [\w+=,.@-]*")
        }
    })
}

/// Takes an external id: what a third party says to prove for whom it acts. A trust policy asks for it, or nobody does.
fn take_external_id(params: &mut Params) -> Result<Option<String>, ApiError> {
    let Some(value) = params.optional("ExternalId") else { return Ok(None) };
    if !(2..=1224).contains(&value.len()) {
        return Err(params.invalid("ExternalId", &value, "must have length between 2 and 1224"));
    }
    if !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@:/\\-".contains(&byte)) {
        return Err(params.invalid(
            "ExternalId",
            &value,
            r"must satisfy regular expression pattern: [\w+=,.@:\/-]*",
        ));
    }
    Ok(Some(value))
}

/// GetSessionToken. Needs no permission.
async fn session_token(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    refuse_unsupported(&params)?;
    let seconds = params.integer("DurationSeconds", 900..=129_600)?.unwrap_or(43200);
    params.finish()?;
    let (PrincipalKind::User { user }, None) = (call.caller.kind, call.caller.session) else {
        return Err(ApiError::access_denied("Cannot call GetSessionToken with session credentials"));
    };
    let issued = Issued::new(call)?;
    let expires = call
        .change(async || {
            let user = current(call, user).await?;
            let principal = SessionPrincipal::User { name: user.name.clone(), id: user.id };
            let record =
                issued.session(call, principal, seconds, &Passed::default(), &Inherited::default())?;
            Ok((Change::new().unchanged(&user).insert(&record)?, record.expires))
        })
        .await?;
    Ok(call.respond(|w| issued.write(w, expires)))
}

/// GetFederationToken: credentials for somebody whom the calling user vouches for, and who may at most what both the user's
/// policies and those that are passed allow.
async fn federation_token(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let name = take_federated_name(&mut params)?;
    let seconds = params.integer("DurationSeconds", 900..=129_600)?.unwrap_or(43200);
    let passed = Passed::take(&mut params, Some(2048))?;
    params.finish()?;
    let (PrincipalKind::User { user }, None) = (call.caller.kind, call.caller.session) else {
        return Err(ApiError::access_denied("Cannot call GetFederationToken with session credentials"));
    };
    let account = call.services.account;
    let arn = format!("arn:aws:sts::{account}:federated-user/{name}");
    let (about, nothing) = (passed.about(About::nothing()), Inherited::default());
    call.authorize("sts:GetFederationToken", &arn, &about)?;
    if passed.tags_session(&nothing) {
        call.authorize(role::TAG_SESSION, &arn, &about)?;
    }
    let size = passed.check(call, &nothing).await?;
    let issued = Issued::new(call)?;
    let expires = call
        .change(async || {
            let user = current(call, user).await?;
            let principal =
                SessionPrincipal::FederatedUser { user: user.name.clone(), id: user.id, name: name.clone() };
            let record = issued.session(call, principal, seconds, &passed, &nothing)?;
            Ok((Change::new().unchanged(&user).insert(&record)?, record.expires))
        })
        .await?;
    Ok(call.respond(|w| {
        issued.write(w, expires);
        w.element("FederatedUser", |w| {
            w.text("FederatedUserId", &format!("{account}:{name}"));
            w.text("Arn", &arn);
        });
        write_size(size, w);
    }))
}

fn take_federated_name(params: &mut Params) -> Result<String, ApiError> {
    let name = params.required("Name")?;
    let constraint = if name.len() < 2 {
        "must have length greater than or equal to 2"
    } else if name.len() > 32 {
        "must have length less than or equal to 32"
    } else if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte)) {
        r"must satisfy regular expression pattern: [\w+=,.@-]*"
    } else {
        return Ok(name);
    };
    Err(params.invalid("Name", &name, constraint))
}

/// The caller's record. Whoever was made under the name since is somebody else.
async fn current(call: &Call<'_>, user: &::iam::User) -> Result<Versioned<User>, ApiError> {
    let found = call.services.records.get::<User>(&user.name.to_ascii_lowercase()).await?;
    found.filter(|found| found.id == user.id).ok_or_else(crate::signed::invalid_client_token)
}

/// Temporary credentials in the making; the secrets leave in the one answer.
struct Issued {
    id: AccessKeyId,
    secret: Zeroizing<String>,
    token: Zeroizing<String>,
}

impl Issued {
    fn new(call: &Call<'_>) -> Result<Self, ApiError> {
        Ok(Self {
            id: AccessKeyId::generate(KeyKind::Temporary, &call.services.random()?),
            secret: secrets::secret_access_key(call.services)?,
            token: secrets::security_token(call.services)?,
        })
    }

    fn session(
        &self,
        call: &Call<'_>,
        principal: SessionPrincipal,
        seconds: i64,
        passed: &Passed,
        inherited: &Inherited,
    ) -> Result<Session, ApiError> {
        let record = [Session::PREFIX, self.id.as_str()].concat();
        let seal = |secret: &str| call.services.master_key.seal(&record, secret.as_bytes());
        // Whole seconds, as the answer shows them.
        let created = call.now.truncate_to_second();
        let mut session = Session {
            id: self.id,
            principal,
            created,
            expires: created + Duration::seconds(seconds),
            secret: seal(&self.secret)?,
            token: seal(&self.token)?,
            policies: None,
            tags: BTreeMap::new(),
            transitive_tags: BTreeSet::new(),
        };
        passed.give(inherited, &mut session);
        Ok(session)
    }

    fn write(&self, w: &mut Writer, expires: OffsetDateTime) {
        w.element("Credentials", |w| {
            w.text("AccessKeyId", self.id.as_str());
            w.text("SecretAccessKey", &self.secret);
            w.text("SessionToken", &self.token);
            w.timestamp("Expiration", expires);
        });
    }
}

/// Deletes the records of sessions that ended a day ago or earlier, and gives how many there were. To be called now and
/// then; a session that ended is refused whether or not its record is still there.
pub async fn sweep_sessions(services: &crate::Services) -> Result<usize, ApiError> {
    let ended = services.now() - KEPT_AFTER_END;
    let mut swept = 0;
    for session in services.records.list::<Session>("").await? {
        if session.expires < ended {
            // A conflict means that it is gone or was renamed meanwhile; the next sweep sees.
            if let store::Outcome::Committed(_) =
                services.records.commit(Change::new().delete(&session)).await?
            {
                swept += 1;
            }
        }
    }
    Ok(swept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use store::{EmbeddedStore, MasterKey, Records};

    #[tokio::test]
    async fn sessions_are_swept_a_day_after_their_end() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::new(Arc::new(EmbeddedStore::open(&folder.path().join("store")).unwrap()));
        let account = "123456789012".parse().unwrap();
        let now = OffsetDateTime::now_utc();
        let services = crate::Services {
            records: records.clone(),
            master_key: Arc::new(MasterKey::new(&[7; 32]).unwrap()),
            published: Arc::new(store::Published::new(::iam::Snapshot::new(account))),
            naming: ::iam::Naming::new(account, None),
            account,
            engine_versions: Vec::new(),
            clock: Arc::new(move || now),
        };
        for hours in [-25, -23, 1] {
            let id = AccessKeyId::generate(KeyKind::Temporary, &services.random().unwrap());
            let sealed = services.master_key.seal("", b"").unwrap();
            let session = Session {
                id,
                principal: SessionPrincipal::User {
                    name: "jane".parse().unwrap(),
                    id: "AIDAJANEJANEJANEJANE2".parse().unwrap(),
                },
                created: now,
                expires: now + Duration::hours(hours),
                secret: sealed.clone(),
                token: sealed,
                policies: None,
                tags: BTreeMap::new(),
                transitive_tags: BTreeSet::new(),
            };
            assert!(matches!(
                records.commit(Change::new().insert(&session).unwrap()).await.unwrap(),
                store::Outcome::Committed(_)
            ));
        }
        assert_eq!(sweep_sessions(&services).await.unwrap(), 1);
        assert_eq!(sweep_sessions(&services).await.unwrap(), 0);
        assert_eq!(records.list::<Session>("").await.unwrap().len(), 2);
    }
}
