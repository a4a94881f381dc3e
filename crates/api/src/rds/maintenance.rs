//! DescribePendingMaintenanceActions: what waits for the maintenance window.

use super::arn;
use super::arn::Kind;
use super::fleet::Fleet;
use super::page::{Filters, Page, names};
use super::permit::{authorize, authorize_on};
use crate::about::About;
use crate::call::Call;
use crate::query::{ApiError, Params};
use axum::response::Response;
use store::records::MaintenanceWindow;
use time::OffsetDateTime;

/// What waits, of one instance or cluster.
struct Pending {
    kind: Kind,
    identifier: String,
    arn: String,
    actions: Vec<(&'static str, String)>,
    at: Option<OffsetDateTime>,
}

impl Pending {
    fn new(call: &Call<'_>, kind: Kind, identifier: &str, window: Option<MaintenanceWindow>) -> Self {
        Self {
            kind,
            identifier: identifier.to_owned(),
            arn: kind.arn(call, identifier),
            actions: Vec::new(),
            at: window.map(|window| window.next(call.now)),
        }
    }

    fn iam_auth(&mut self, pending: Option<bool>) {
        if let Some(flag) = pending {
            let to = if flag { "on" } else { "off" };
            self.actions.push((
                "iam-database-authentication",
                format!("IAM database authentication is switched {to}"),
            ));
        }
    }

    fn ca(&mut self, pending: Option<&String>) {
        if let Some(ca) = pending {
            self.actions.push(("ca-certificate-rotation", format!("The server certificate comes from {ca}")));
        }
    }
}

pub(super) async fn describe(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    let resource = params.optional("ResourceIdentifier");
    let asked = resource.as_deref().map(|resource| arn::read(call, resource)).transpose()?;
    match &asked {
        Some((kind, name)) => authorize_on(call, *kind, name, &About::nothing()).await?,
        None => authorize(call, &Kind::Instance.arn(call, "*"))?,
    }
    let filters = Filters::take(&mut params, &["db-cluster-id", "db-instance-id"])?;
    let page = Page::take(&mut params)?;
    params.finish()?;

    let fleet = Fleet::load(call).await?;
    let instances = fleet.instances.iter().map(|instance| {
        let mut pending =
            Pending::new(call, Kind::Instance, &instance.identifier, instance.maintenance_window());
        pending.iam_auth(instance.pending_iam_auth);
        pending.ca(instance.pending_ca.as_ref());
        pending
    });
    let clusters = fleet.clusters.iter().map(|cluster| {
        let mut pending =
            Pending::new(call, Kind::Cluster, &cluster.identifier, cluster.maintenance_window());
        pending.iam_auth(cluster.pending_iam_auth);
        pending
    });
    let shown = instances.chain(clusters).filter(|pending| {
        !pending.actions.is_empty()
            && asked.as_ref().is_none_or(|(kind, name)| (*kind, name) == (pending.kind, &pending.identifier))
            && filters.admit(|name, value| {
                let kind = if name == "db-cluster-id" { Kind::Cluster } else { Kind::Instance };
                kind == pending.kind && names(value, &pending.identifier, &pending.arn)
            })
    });
    let part = page.cut(shown, |pending| pending.arn.clone());
    Ok(call.respond(|w| {
        part.write(w, "PendingMaintenanceActions", "ResourcePendingMaintenanceActions", |w, pending| {
            w.text("ResourceIdentifier", &pending.arn);
            let actions = &pending.actions;
            w.list(
                "PendingMaintenanceActionDetails",
                "PendingMaintenanceAction",
                actions,
                |w, (action, text)| {
                    w.text("Action", action);
                    w.text("OptInStatus", "next-maintenance");
                    if let Some(at) = pending.at {
                        w.timestamp("CurrentApplyDate", at);
                    }
                    w.text("Description", text);
                },
            );
        });
    }))
}
