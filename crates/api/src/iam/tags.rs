//! Tags of users, roles and managed policies.

use super::entity::{REQUEST_TAG, Tagged};
use super::page::Page;
use crate::about::About;
use crate::call::Call;
use crate::query::{ApiError, Params, Writer};
use axum::response::Response;
use store::Change;
use store::records::Tags;

/// The most tags that one thing may have.
const MOST: usize = 50;

/// What is wrong with the tags of a request; services word it differently.
pub(crate) enum TagFault {
    /// There are more than this.
    TooMany(usize),
    /// One is AWS's own.
    Reserved(&'static str),
    /// Two are the same but for their case.
    Duplicate(&'static str),
}

/// Takes the tags of a request: `Tags.member.N.Key` and `.Value`.
pub(super) fn take(params: &mut Params) -> Result<Tags, ApiError> {
    take_tags(params, |fault| match fault {
        TagFault::TooMany(_) => too_many(),
        TagFault::Reserved(text) | TagFault::Duplicate(text) => ApiError::invalid_input(text),
    })
}

/// The same, for any service.
pub(crate) fn take_tags(
    params: &mut Params,
    refuse: impl Fn(TagFault) -> ApiError,
) -> Result<Tags, ApiError> {
    let mut tags = Tags::new();
    let given = params.structures("Tags", "member")?;
    if given.len() > MOST {
        return Err(refuse(TagFault::TooMany(MOST)));
    }
    for mut tag in given {
        let key = tag.required("Key")?;
        // A value may be blank, but must be there.
        let value = if tag.contains("Value") {
            tag.optional("Value").unwrap_or_default()
        } else {
            tag.required("Value")?
        };
        check(&tag, "Key", &key, 128)?;
        check(&tag, "Value", &value, 256)?;
        if key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:")) {
            return Err(refuse(TagFault::Reserved(
                "Tag keys that begin with aws: are reserved for AWS use.",
            )));
        }
        if tags.keys().any(|known: &String| known.to_lowercase() == key.to_lowercase()) {
            return Err(refuse(TagFault::Duplicate(
                "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
            )));
        }
        tag.finish()?;
        tags.insert(key, value);
    }
    Ok(tags)
}

fn too_many() -> ApiError {
    ApiError::limit_exceeded(format!("The number of tags has reached the maximum limit of {MOST}."))
}

fn within_limit(count: usize) -> Result<(), ApiError> {
    if count > MOST { Err(too_many()) } else { Ok(()) }
}

fn check(tag: &Params, parameter: &str, text: &str, most: usize) -> Result<(), ApiError> {
    if text.chars().count() > most {
        return Err(tag.invalid(parameter, text, &format!("must have length less than or equal to {most}")));
    }
    if !text.chars().all(|c| c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c)) {
        let constraint = r"must satisfy regular expression pattern: [\p{L}\p{Z}\p{N}_.:/=+\-@]*";
        return Err(tag.invalid(parameter, text, constraint));
    }
    Ok(())
}

/// TagUser, TagRole, TagPolicy
pub(super) async fn tag<T: Tagged>(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let key = T::take_key(&mut params)?;
    let given = take(&mut params)?;
    params.finish()?;
    call.change(async || {
        let old = T::find(call, &key, &About::nothing().requesting(&given, REQUEST_TAG)).await?;
        let mut new = old.record.clone();
        for (key, value) in &given {
            new.tags_mut().retain(|known, _| known.to_lowercase() != key.to_lowercase());
            new.tags_mut().insert(key.clone(), value.clone());
        }
        within_limit(new.tags().len())?;
        Ok((Change::new().replace(&old, &new)?, ()))
    })
    .await?;
    Ok(call.done())
}

/// UntagUser, UntagRole, UntagPolicy
pub(super) async fn untag<T: Tagged>(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let key = T::take_key(&mut params)?;
    let keys = params.list("TagKeys", "member")?;
    params.finish()?;
    call.change(async || {
        let old = T::find(call, &key, &About::nothing().naming_tags(&keys)).await?;
        let mut new = old.record.clone();
        new.tags_mut().retain(|known, _| !keys.iter().any(|key| key.to_lowercase() == known.to_lowercase()));
        Ok((Change::new().replace(&old, &new)?, ()))
    })
    .await?;
    Ok(call.done())
}

/// ListUserTags, ListRoleTags, ListPolicyTags
pub(super) async fn list<T: Tagged>(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let key = T::take_key(&mut params)?;
    let page = Page::read(&mut params)?;
    params.finish()?;
    let found = T::find(call, &key, &About::nothing()).await?;
    let part = page.cut(found.tags().iter().collect(), |(key, _)| (*key).clone());
    Ok(call.respond(|w| {
        w.list("Tags", "member", &part.items, |w, (key, value)| {
            w.text("Key", key);
            w.text("Value", value);
        });
        part.write(w);
    }))
}

/// Writes `Tags`, where there are any.
pub(super) fn write(tags: &Tags, w: &mut Writer) {
    if !tags.is_empty() {
        w.list("Tags", "member", tags, |w, (key, value)| {
            w.text("Key", key);
            w.text("Value", value);
        });
    }
}
