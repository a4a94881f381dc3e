//! Tags of any resource that has an ARN.

use super::arn::{self, Kind};
use super::page::Filters;
use super::permit::{authorize_on, requesting};
use super::{check, error, show};
use crate::about::About;
use crate::call::Call;
use crate::query::{ApiError, Params};
use axum::response::Response;
use store::records::{Cluster, Instance, ParameterGroup, SubnetGroup, Tags};
use store::{Change, Record, Versioned};

/// A tagged record: the two things that tagging needs of it.
trait Tagged: Record + Clone {
    fn tags(&self) -> &Tags;
    fn tags_mut(&mut self) -> &mut Tags;
}

macro_rules! tagged {
    ($($record:ty),*) => {$(
        impl Tagged for $record {
            fn tags(&self) -> &Tags {
                &self.tags
            }
            fn tags_mut(&mut self) -> &mut Tags {
                &mut self.tags
            }
        }
    )*};
}

tagged!(Instance, Cluster, SubnetGroup, ParameterGroup);

/// AddTagsToResource.
pub(super) async fn add(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let resource = named(call, &mut params)?;
    let added = check::tags(&mut params)?;
    resource.authorize(call, &requesting(&added)).await?;
    params.finish()?;
    if added.is_empty() {
        return Err(ApiError::missing("Tags"));
    }
    resource.change(call, |tags| tags.extend(added.clone())).await
}

/// RemoveTagsFromResource.
pub(super) async fn remove(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let resource = named(call, &mut params)?;
    let removed = params.list("TagKeys", "member")?;
    resource.authorize(call, &About::nothing().naming_tags(&removed)).await?;
    params.finish()?;
    resource.change(call, |tags| tags.retain(|key, _| !removed.contains(key))).await
}

/// ListTagsForResource.
pub(super) async fn list(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let resource = named(call, &mut params)?;
    resource.authorize(call, &About::nothing()).await?;
    Filters::take(&mut params, &[])?;
    params.finish()?;
    let tags = resource.tags(call).await?;
    Ok(call.respond(|w| show::tags(w, &tags)))
}

/// A resource that was named by its ARN.
struct Resource {
    kind: Kind,
    name: String,
}

/// Takes `ResourceName`.
fn named(call: &Call<'_>, params: &mut Params) -> Result<Resource, ApiError> {
    let (kind, name) = arn::read(call, &params.required("ResourceName")?)?;
    Ok(Resource { kind, name })
}

impl Resource {
    async fn authorize(&self, call: &Call<'_>, about: &About<'_>) -> Result<(), ApiError> {
        authorize_on(call, self.kind, &self.name, about).await
    }

    /// A default group is made by nobody and carries no tags.
    fn is_default_group(&self) -> bool {
        match self.kind {
            Kind::Instance | Kind::Cluster => false,
            Kind::SubnetGroup => self.name == "default",
            Kind::ParameterGroup | Kind::ClusterParameterGroup => self.name.starts_with("default."),
            Kind::OptionGroup => self.name.starts_with("default:"),
        }
    }

    fn not_found(&self) -> ApiError {
        match self.kind {
            Kind::Instance => error::instance_not_found(&self.name),
            Kind::Cluster => error::cluster_not_found(&self.name),
            Kind::SubnetGroup => error::subnet_group_not_found(&self.name),
            Kind::ParameterGroup => error::parameter_group_not_found(&self.name),
            Kind::ClusterParameterGroup => error::cluster_parameter_group_not_found(&self.name),
            Kind::OptionGroup => error::option_group_not_found(&self.name),
        }
    }

    async fn read<R: Tagged>(&self, call: &Call<'_>) -> Result<Versioned<R>, ApiError> {
        call.services.records.get(&self.kind.key(call, &self.name)).await?.ok_or_else(|| self.not_found())
    }

    async fn tags(&self, call: &Call<'_>) -> Result<Tags, ApiError> {
        if self.is_default_group() {
            return Ok(Tags::new());
        }
        Ok(match self.kind {
            Kind::Instance => self.read::<Instance>(call).await?.tags().clone(),
            Kind::Cluster => self.read::<Cluster>(call).await?.tags().clone(),
            Kind::SubnetGroup => self.read::<SubnetGroup>(call).await?.tags().clone(),
            Kind::ParameterGroup | Kind::ClusterParameterGroup => {
                self.read::<ParameterGroup>(call).await?.tags().clone()
            }
            Kind::OptionGroup => return Err(self.not_found()),
        })
    }

    async fn change(&self, call: &Call<'_>, how: impl Fn(&mut Tags)) -> Result<Response, ApiError> {
        if self.is_default_group() {
            return Err(ApiError::invalid_parameter_value(format!(
                "The default group {} cannot be tagged",
                self.name
            )));
        }
        match self.kind {
            Kind::Instance => self.change_record::<Instance>(call, &how).await,
            Kind::Cluster => self.change_record::<Cluster>(call, &how).await,
            Kind::SubnetGroup => self.change_record::<SubnetGroup>(call, &how).await,
            Kind::ParameterGroup | Kind::ClusterParameterGroup => {
                self.change_record::<ParameterGroup>(call, &how).await
            }
            Kind::OptionGroup => Err(self.not_found()),
        }
    }

    async fn change_record<R: Tagged>(
        &self,
        call: &Call<'_>,
        how: &impl Fn(&mut Tags),
    ) -> Result<Response, ApiError> {
        call.change(|| async {
            let old = self.read::<R>(call).await?;
            let mut new = old.record.clone();
            how(new.tags_mut());
            check::tag_count(new.tags())?;
            Ok((Change::new().replace(&old, &new)?, ()))
        })
        .await?;
        Ok(call.done())
    }
}
