//! What a caller passes for a session: policies that limit it, and tags that mark it.

use crate::about::About;
use crate::call::Call;
use crate::iam::{REQUEST_TAG, TagFault, policy_exists, take_tags};
use crate::query::{ApiError, Params, Writer};
use iam::Arn;
use policy::{Kind, Policy};
use std::collections::BTreeSet;
use store::records::{Session, SessionPolicies, Tags};

/// The most characters of all session policies together: the document and the ARNs.
const POLICY_CHARACTERS: usize = 2048;

/// The most managed policies.
const MANAGED: usize = 10;

/// The most bytes of policies and tags together. AWS packs them in a way of its own, and does not say how much fits.
const PACKED_BYTES: usize = 4096;

/// Policies and tags as they were passed.
#[derive(Default)]
pub(super) struct Passed {
    policies: Option<SessionPolicies>,
    tags: Tags,
    /// The keys of the tags that go on to a role assumed from the session; spelled as in the tags.
    transitive: BTreeSet<String>,
}

/// The tags that a session inherits from the one that it was made from.
#[derive(Default)]
pub(super) struct Inherited(Tags);

impl Passed {
    /// Takes `Policy`, `PolicyArns`, `Tags` and `TransitiveTagKeys`; `longest` is the service model's bound for a document.
    pub(super) fn take(params: &mut Params, longest: Option<usize>) -> Result<Self, ApiError> {
        let inline = params.contains("Policy").then(|| take_document(params, longest)).transpose()?;
        let managed = take_arns(params)?;
        let tags = take_tags(params, |fault| match fault {
            TagFault::TooMany(most) => ApiError::validation(format!(
                "1 validation error detected: Value at 'tags' failed to satisfy constraint: Member must have length less \
                 than or equal to {most}"
            )),
            TagFault::Reserved(text) | TagFault::Duplicate(text) => invalid_value(text),
        })?;
        let transitive = take_transitive(params, &tags)?;
        let any = inline.is_some() || !managed.is_empty();
        Ok(Self { policies: any.then_some(SessionPolicies { inline, managed }), tags, transitive })
    }

    /// Adds what conditions see of it.
    pub(super) fn about<'a>(&'a self, about: About<'a>) -> About<'a> {
        about.requesting(&self.tags, REQUEST_TAG).with_all("sts:TransitiveTagKeys", &self.transitive)
    }

    /// Whether the session is tagged, by what is passed or inherited: the caller must be allowed to.
    pub(super) fn tags_session(&self, inherited: &Inherited) -> bool {
        !self.tags.is_empty() || !inherited.0.is_empty()
    }

    /// Checks what the form does not show: that the managed policies exist, that no inherited tag is passed anew, and that all
    /// of it fits. Gives how much of the space it takes, in percent; none where there is nothing.
    pub(super) async fn check(
        &self,
        call: &Call<'_>,
        inherited: &Inherited,
    ) -> Result<Option<PackedSize>, ApiError> {
        if self.tags.keys().any(|key| find(&inherited.0, key).is_some()) {
            return Err(invalid_value(
                "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from \
                 the calling session.",
            ));
        }
        for arn in self.policies.iter().flat_map(|policies| &policies.managed) {
            if !policy_exists(call, arn).await? {
                return Err(invalid_value(format!("Policy {arn} does not exist or is not attachable.")));
            }
        }
        self.packed(inherited)
    }

    fn packed(&self, inherited: &Inherited) -> Result<Option<PackedSize>, ApiError> {
        let (mut characters, mut bytes) = (0, 0);
        if let Some(policies) = &self.policies {
            for text in
                policies.inline.iter().map(String::as_str).chain(policies.managed.iter().map(Arn::as_str))
            {
                characters += text.chars().count();
                bytes += text.len();
            }
        }
        for (key, value) in self.tags.iter().chain(&inherited.0) {
            bytes += key.len() + value.len();
        }
        if bytes == 0 {
            return Ok(None);
        }
        let percent =
            (characters * 100).div_ceil(POLICY_CHARACTERS).max((bytes * 100).div_ceil(PACKED_BYTES));
        match u8::try_from(percent) {
            Ok(fits) if fits <= 100 => Ok(Some(PackedSize(fits))),
            _ => Err(ApiError::new(
                "PackedPolicyTooLarge",
                format!(
                    "Packed size of session policies and tags consumes {percent}% of the allotted space."
                ),
            )),
        }
    }

    /// Gives it to a session.
    pub(super) fn give(&self, inherited: &Inherited, session: &mut Session) {
        session.policies.clone_from(&self.policies);
        session.tags.extend(self.tags.clone());
        session.tags.extend(inherited.0.clone());
        session.transitive_tags.extend(self.transitive.clone());
        session.transitive_tags.extend(inherited.0.keys().cloned());
    }
}

impl Inherited {
    /// What a role that the caller assumes inherits from the caller's own session.
    pub(super) async fn of_caller(call: &Call<'_>) -> Result<Self, ApiError> {
        if call.caller.session.is_none() {
            return Ok(Self::default());
        }
        let session = call.services.records.get::<Session>(call.credential.id.as_str()).await?;
        let session = session.ok_or_else(crate::signed::invalid_client_token)?.record;
        let transitive = session.transitive_tags;
        Ok(Self(session.tags.into_iter().filter(|(key, _)| transitive.contains(key)).collect()))
    }
}

/// How much of the space for policies and tags is taken, in percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PackedSize(u8);

impl PackedSize {
    /// Writes `PackedPolicySize`.
    pub(super) fn write(self, w: &mut Writer) {
        w.number("PackedPolicySize", self.0);
    }
}

fn invalid_value(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidParameterValue", message)
}

/// The tag whose key is the same but for its case.
fn find<'t>(tags: &'t Tags, key: &str) -> Option<&'t String> {
    tags.keys().find(|known| known.to_lowercase() == key.to_lowercase())
}

fn take_document(params: &mut Params, longest: Option<usize>) -> Result<String, ApiError> {
    let text = params.required("Policy")?;
    if let Some(longest) = longest.filter(|longest| text.chars().count() > *longest) {
        let constraint = format!("must have length less than or equal to {longest}");
        return Err(params.invalid("Policy", &text, &constraint));
    }
    if !text.chars().all(|c| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{ff}')) {
        let constraint = r"must satisfy regular expression pattern: [\u0009\u000A\u000D\u0020-\u00FF]+";
        return Err(params.invalid("Policy", &text, constraint));
    }
    Policy::parse(&text, Kind::Session).map_err(|error| ApiError::malformed_policy(error.to_string()))?;
    Ok(text)
}

fn take_arns(params: &mut Params) -> Result<BTreeSet<Arn>, ApiError> {
    let given = params.structures("PolicyArns", "member")?;
    if given.len() > MANAGED {
        return Err(ApiError::validation(format!(
            "1 validation error detected: Value at 'policyArns' failed to satisfy constraint: Member must have length less \
             than or equal to {MANAGED}"
        )));
    }
    let mut arns = BTreeSet::new();
    for mut member in given {
        let text = member.required("arn")?;
        if !(20..=2048).contains(&text.len()) {
            return Err(member.invalid("arn", &text, "must have length between 20 and 2048"));
        }
        let arn = text.parse::<Arn>().ok().filter(|arn| {
            arn.service() == "iam" && arn.region().is_empty() && arn.resource().starts_with("policy/")
        });
        arns.insert(arn.ok_or_else(|| ApiError::validation(format!("ARN {text} is not valid.")))?);
        member.finish()?;
    }
    Ok(arns)
}

fn take_transitive(params: &mut Params, tags: &Tags) -> Result<BTreeSet<String>, ApiError> {
    let keys = params.list("TransitiveTagKeys", "member")?;
    let as_tagged = |key: &String| {
        find(tags, key).cloned().ok_or_else(|| {
            invalid_value("The specified transitive tag key must be included in the requested tags.")
        })
    };
    keys.iter().map(as_tagged).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Service;

    fn taken(form: &str, longest: Option<usize>) -> Result<Passed, ApiError> {
        let mut params = Params::from_form(Service::Sts, form).unwrap();
        let passed = Passed::take(&mut params, longest)?;
        params.finish()?;
        Ok(passed)
    }

    fn code(form: &str) -> String {
        taken(form, Some(2048)).err().map_or_else(String::new, |error| error.code.into_owned())
    }

    const POLICY: &str =
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;

    #[test]
    fn nothing_passed_is_nothing() {
        let passed = taken("", None).unwrap();
        assert!(passed.policies.is_none() && !passed.tags_session(&Inherited::default()));
        assert_eq!(passed.packed(&Inherited::default()).unwrap(), None);
        // An empty document is no document.
        assert_eq!(code("Policy="), "ValidationError");
    }

    #[test]
    fn forms_are_checked() {
        for (form, expected) in [
            (format!("Policy={POLICY}"), ""),
            (format!("Policy={POLICY}{}", "+".repeat(2048)), "ValidationError"),
            ("Policy=%E2%82%AC".to_owned(), "ValidationError"),
            ("Policy={}".to_owned(), "MalformedPolicyDocument"),
            ("PolicyArns.member.1.arn=arn:aws:iam::aws:policy/ReadOnlyAccess".to_owned(), ""),
            ("PolicyArns.member.1.arn=arn:aws:iam::aws:role/ReadOnlyAccess".to_owned(), "ValidationError"),
            ("PolicyArns.member.1=arn:aws:iam::aws:policy/ReadOnlyAccess".to_owned(), "MalformedQueryString"),
            (
                "Tags.member.1.Key=a&Tags.member.1.Value=&Tags.member.2.Key=A&Tags.member.2.Value="
                    .to_owned(),
                "InvalidParameterValue",
            ),
            ("Tags.member.1.Key=AWS:a&Tags.member.1.Value=".to_owned(), "InvalidParameterValue"),
            ("Tags.member.1.Key=a&Tags.member.1.Value=&TransitiveTagKeys.member.1=A".to_owned(), ""),
            ("TransitiveTagKeys.member.1=A".to_owned(), "InvalidParameterValue"),
        ] {
            assert_eq!(code(&form), expected, "{form}");
        }
    }

    #[test]
    fn what_is_passed_must_fit() {
        let packed = |form: &str| taken(form, None).unwrap().packed(&Inherited::default());
        let tag = |n: usize| format!("Tags.member.{n}.Key=k{n:02}&Tags.member.{n}.Value={}", "v".repeat(200));
        let tags = |most: usize| (1..=most).map(tag).collect::<Vec<_>>().join("&");
        assert_eq!(packed(&tags(1)).unwrap(), Some(PackedSize(5)));
        assert_eq!(packed(&tags(20)).unwrap(), Some(PackedSize(100)));
        assert_eq!(packed(&tags(21)).unwrap_err().code, "PackedPolicyTooLarge");
        let policy = |spaces: usize| format!("Policy={POLICY}{}", "+".repeat(spaces));
        assert_eq!(packed(&policy(2048 - POLICY.len())).unwrap(), Some(PackedSize(100)));
        let over = packed(&policy(2049 - POLICY.len())).unwrap_err();
        assert!(over.message.contains("consumes 101%"), "{over}");
        let inherited = Inherited([("k".to_owned(), "v".repeat(4096))].into());
        assert_eq!(taken("", None).unwrap().packed(&inherited).unwrap_err().code, "PackedPolicyTooLarge");
    }
}
