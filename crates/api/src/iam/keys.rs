//! Access keys of users.
//!
//! Making or deleting a key also writes its user: a user that is being deleted cannot get a key at the same moment, which
//! would belong to whoever is made under the name next.

use super::entity::{self, all, allow, permitted};
use super::page::Page;
use super::users;
use crate::call::Call;
use crate::query::{ApiError, Params};
use crate::secrets;
use axum::response::Response;
use iam::{AccessKeyId, KeyKind};
use store::records::{AccessKey, KeyStatus, LastUsed, User};
use store::{Change, Record, Versioned};

/// The most access keys that a user may have.
const KEYS_PER_USER: usize = 2;

/// The access keys of a user.
pub(super) async fn of_user(call: &Call<'_>, user: &User) -> Result<Vec<Versioned<AccessKey>>, ApiError> {
    let mut keys = all::<AccessKey>(call).await?;
    keys.retain(|key| key.user.folded() == user.name.folded());
    Ok(keys)
}

fn status_word(status: KeyStatus) -> &'static str {
    match status {
        KeyStatus::Active => "Active",
        KeyStatus::Inactive => "Inactive",
    }
}

fn take_id(params: &mut Params) -> Result<(String, Option<AccessKeyId>), ApiError> {
    let text = params.required("AccessKeyId")?;
    if text.len() < 16 {
        return Err(params.invalid("AccessKeyId", &text, "must have length greater than or equal to 16"));
    }
    if text.len() > 128 || !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(params.invalid("AccessKeyId", &text, r"must satisfy regular expression pattern: [\w]+"));
    }
    let id = text.parse().ok();
    Ok((text, id))
}

fn not_found(id: &str) -> ApiError {
    ApiError::no_such_entity(format!("The Access Key with id {id} cannot be found."))
}

/// CreateAccessKey
pub(super) async fn create(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let name = users::take_name_or_caller(call, &mut params)?;
    params.finish()?;
    let id = AccessKeyId::generate(KeyKind::LongTerm, &call.services.random()?);
    let secret = secrets::secret_access_key(call.services)?;
    let key = call
        .change(async || {
            let user = permitted::<User>(call, &name).await?;
            if of_user(call, &user).await?.len() >= KEYS_PER_USER {
                return Err(ApiError::limit_exceeded(format!(
                    "Cannot exceed quota for AccessKeysPerUser: {KEYS_PER_USER}"
                )));
            }
            let record = [AccessKey::PREFIX, id.as_str()].concat();
            let key = AccessKey {
                id,
                user: user.name.clone(),
                status: KeyStatus::Active,
                created: call.now,
                secret: call.services.master_key.seal(&record, secret.as_bytes())?,
            };
            Ok((Change::new().insert(&key)?.replace(&user, &user.record)?, key))
        })
        .await?;
    Ok(call.respond(|w| {
        w.element("AccessKey", |w| {
            w.text("UserName", key.user.as_str());
            w.text("AccessKeyId", key.id.as_str());
            w.text("Status", status_word(key.status));
            w.text("SecretAccessKey", &secret);
            w.timestamp("CreateDate", key.created);
        });
    }))
}

/// ListAccessKeys
pub(super) async fn list(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let name = users::take_name_or_caller(call, &mut params)?;
    let page = Page::read(&mut params)?;
    params.finish()?;
    let user = permitted::<User>(call, &name).await?;
    let part = page.cut(of_user(call, &user).await?, |key| key.id.to_string());
    Ok(call.respond(|w| {
        w.list("AccessKeyMetadata", "member", &part.items, |w, key| {
            w.text("UserName", key.user.as_str());
            w.text("AccessKeyId", key.id.as_str());
            w.text("Status", status_word(key.status));
            w.timestamp("CreateDate", key.created);
        });
        part.write(w);
    }))
}

/// The key of the user, and the user.
async fn owned(
    call: &Call<'_>,
    user: &iam::UserName,
    text: &str,
    id: Option<&AccessKeyId>,
) -> Result<(Versioned<User>, Versioned<AccessKey>), ApiError> {
    let user = permitted::<User>(call, user).await?;
    let key = match id {
        Some(id) => call.services.records.get::<AccessKey>(id.as_str()).await?,
        None => None,
    };
    let key = key.filter(|key| key.user.folded() == user.name.folded()).ok_or_else(|| not_found(text))?;
    Ok((user, key))
}

/// UpdateAccessKey
pub(super) async fn update(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let name = users::take_name_or_caller(call, &mut params)?;
    let (text, id) = take_id(&mut params)?;
    let status = match params.required("Status")?.as_str() {
        "Active" => KeyStatus::Active,
        "Inactive" => KeyStatus::Inactive,
        other => {
            return Err(params.invalid(
                "Status",
                other,
                "must satisfy enum value set: [Active, Inactive, Expired]",
            ));
        }
    };
    params.finish()?;
    call.change(async || {
        let (_, key) = owned(call, &name, &text, id.as_ref()).await?;
        Ok((Change::new().replace(&key, &AccessKey { status, ..key.record.clone() })?, ()))
    })
    .await?;
    Ok(call.done())
}

/// DeleteAccessKey
pub(super) async fn delete(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let name = users::take_name_or_caller(call, &mut params)?;
    let (text, id) = take_id(&mut params)?;
    params.finish()?;
    call.change(async || {
        let (user, key) = owned(call, &name, &text, id.as_ref()).await?;
        let mut change = Change::new().delete(&key).replace(&user, &user.record)?;
        if let Some(last_used) = call.services.records.get::<LastUsed>(key.id.as_str()).await? {
            change = change.delete(&last_used);
        }
        Ok((change, ()))
    })
    .await?;
    Ok(call.done())
}

/// GetAccessKeyLastUsed
pub(super) async fn last_used(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let (text, id) = take_id(&mut params)?;
    params.finish()?;
    let key = match &id {
        Some(id) => call.services.records.get::<AccessKey>(id.as_str()).await?,
        None => None,
    };
    let Some(key) = key else {
        allow(call, &entity::list_arn(call, "user"))?;
        return Err(not_found(&text));
    };
    let user = permitted::<User>(call, &key.user).await?;
    let last_used = call.services.records.get::<LastUsed>(key.id.as_str()).await?;
    Ok(call.respond(|w| {
        w.text("UserName", user.name.as_str());
        w.element("AccessKeyLastUsed", |w| match &last_used {
            Some(used) => {
                w.timestamp("LastUsedDate", used.at);
                w.text("ServiceName", &used.service);
                w.text("Region", &used.region);
            }
            None => {
                w.text("ServiceName", "N/A");
                w.text("Region", "N/A");
            }
        });
    }))
}
