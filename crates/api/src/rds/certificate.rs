//! DescribeCertificates: the authorities of the region.

use super::page::{Filters, Page};
use super::permit::authorize;
use super::{check, error};
use crate::call::Call;
use crate::query::{ApiError, Params};
use axum::response::Response;
use pki::CaIdentifier;
use store::authorities;

pub(super) async fn describe(call: &Call<'_>, mut params: Params) -> Result<Response, ApiError> {
    authorize(call, "*")?;
    let identifier = params.optional("CertificateIdentifier").filter(|given| !given.is_empty());
    identifier.as_deref().map(check::certificate_authority).transpose()?;
    Filters::take(&mut params, &[])?;
    let page = Page::take(&mut params)?;
    params.finish()?;

    let services = call.services;
    let authorities =
        authorities::get_or_create(&services.records, &services.master_key, &call.region, call.now)
            .await
            .map_err(|error| ApiError::internal("the certificate authorities cannot be had", &error))?;
    let asked = authorities.iter().filter(|authority| {
        identifier.as_deref().is_none_or(|asked| asked == authority.identifier().as_str())
    });
    let part = page.cut(asked, |authority| authority.identifier().to_string());
    if let Some(identifier) = identifier.filter(|_| part.items.is_empty()) {
        return Err(error::certificate_not_found(&identifier));
    }
    let region = &call.region;
    Ok(call.respond(|w| {
        w.text("DefaultCertificateForNewLaunches", CaIdentifier::default().as_str());
        part.write(w, "Certificates", "Certificate", |w, authority| {
            let identifier = authority.identifier();
            w.text("CertificateIdentifier", identifier.as_str());
            w.text("CertificateType", "CA");
            w.text("Thumbprint", authority.thumbprint());
            w.timestamp("ValidFrom", authority.valid_from());
            w.timestamp("ValidTill", authority.valid_till());
            w.text("CertificateArn", &format!("arn:{}:rds:{region}::cert:{identifier}", region.partition()));
            w.flag("CustomerOverride", false);
        });
    }))
}
