//! The texts of policies, which a snapshot does not keep.

use crate::records::{
    Group, InlinePolicies, ManagedPolicy, Records, RecordsError, Role, ServiceControlPolicy, Session, User,
};
use iam::{Consulted, PolicyType, Source};

/// The text of a policy that has a say; none where it is not to be had. `session` is the access key id of the session.
pub async fn policy_text(
    records: &Records,
    consulted: &Consulted<'_>,
    session: Option<&str>,
) -> Result<Option<String>, RecordsError> {
    let name = consulted.name();
    if consulted.managed {
        return managed(records, name).await;
    }
    let inline = |policies: &InlinePolicies| {
        policies.iter().find(|(known, _)| known.as_str() == name).map(|(_, document)| document.clone())
    };
    Ok(match consulted.source {
        Source::User(user) => {
            let user = records.get::<User>(&user.name.to_ascii_lowercase()).await?;
            user.and_then(|user| inline(&user.inline))
        }
        Source::Group(group) => {
            let group = records.get::<Group>(&last(group.arn.resource())).await?;
            group.and_then(|group| inline(&group.inline))
        }
        Source::Role(role) => {
            let role = records.get::<Role>(&last(role.arn.resource())).await?;
            role.and_then(|role| inline(&role.inline))
        }
        Source::Session => match session {
            Some(id) => {
                let session = records.get::<Session>(id).await?;
                session.and_then(|session| session.record.policies).and_then(|policies| policies.inline)
            }
            None => None,
        },
        Source::Question => None,
        Source::Level(level) => {
            debug_assert_eq!(consulted.kind, PolicyType::ServiceControl);
            let key = format!("{level}/{}", name.to_ascii_lowercase());
            records.get::<ServiceControlPolicy>(&key).await?.map(|policy| policy.record.document)
        }
    })
}

/// The version of a managed policy that is in force.
async fn managed(records: &Records, arn: &str) -> Result<Option<String>, RecordsError> {
    if let Some(aws) = iam::aws_managed().iter().find(|managed| managed.arn == arn) {
        return Ok(Some(aws.document.to_owned()));
    }
    let policy = records.get::<ManagedPolicy>(&last(arn)).await?;
    let policy = policy.map(|policy| policy.record).filter(|policy| policy.arn.as_str() == arn);
    Ok(policy.and_then(|mut policy| policy.versions.remove(&policy.default_version)).map(|v| v.document))
}

/// What an ARN ends in, in lower case, as keys of records are.
fn last(arn: &str) -> String {
    arn.rsplit('/').next().unwrap_or_default().to_ascii_lowercase()
}
