//! The trust store: bundles of the regions' certificate authorities, where AWS has them, and the one object of the S3
//! bucket `rds-downloads` that scripts still fetch.
//!
//! Authorities are public; no signature is asked for, and one that is there is not looked at.

use crate::call::Services;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use iam::Region;
use pki::{CaIdentifier, bundle, bundle_p7b};
use std::collections::BTreeSet;
use std::sync::Arc;
use store::authorities;
use store::records::AuthorityRecord;
use time::OffsetDateTime;
use time::macros::format_description;
use tokio::sync::Mutex;

/// The region whose authorities are made when a global bundle is asked for before anything ran anywhere.
const HOME: &str = "us-east-1";

/// The bucket and the key of the one object.
const BUCKET: &str = "rds-downloads";
const OBJECT: &str = "rds-combined-ca-bundle.pem";

/// `GET /<region>/<region>-bundle.pem`, `.p7b`, `/global/global-bundle.pem`, and path-style S3.
pub(crate) async fn get(
    State(services): State<Arc<Services>>,
    Path((folder, file)): Path<(String, String)>,
) -> Response {
    if folder == BUCKET {
        return if file == OBJECT { object(&services).await } else { no_such_key(&file) };
    }
    let (stem, kind) = match file.rsplit_once('.') {
        Some((stem, kind @ ("pem" | "p7b"))) => (stem, kind),
        _ => return not_found_here(&folder),
    };
    if stem.strip_suffix("-bundle") != Some(folder.as_str()) {
        return not_found_here(&folder);
    }
    let certificates = match folder.as_str() {
        "global" => everywhere(&services).await,
        name => match name.parse::<Region>() {
            Ok(region) if region.is_known() || in_use(&services, &region).await => {
                of_region(&services, &region).await
            }
            _ => return unknown_region(name),
        },
    };
    let content = certificates.and_then(|certificates| match kind {
        "pem" => {
            Ok((bundle(certificates.iter().map(String::as_str))?.into_bytes(), "application/x-pem-file"))
        }
        _ => Ok((bundle_p7b(certificates.iter().map(String::as_str))?, "application/x-pkcs7-certificates")),
    });
    match content {
        Ok((bytes, media)) => ([(header::CONTENT_TYPE, media)], bytes).into_response(),
        Err(error) => failed(&*error),
    }
}

/// `GET /<bucket>` and anything deeper than an object's key goes: there is one bucket, and it is not listed.
pub(crate) async fn other(uri: http::Uri) -> Response {
    let bucket = uri.path().trim_start_matches('/').split('/').next().unwrap_or_default();
    match bucket {
        BUCKET => {
            let key = uri.path().trim_start_matches('/').split_once('/').map_or("", |(_, key)| key);
            if key.is_empty() {
                s3_error(StatusCode::FORBIDDEN, "AccessDenied", "Access Denied")
            } else {
                no_such_key(key)
            }
        }
        _ => no_such_bucket(),
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The certificates of a region; they are made if they are not there yet.
async fn of_region(services: &Services, region: &Region) -> Result<Vec<String>, Failure> {
    // Whoever asks is anonymous and a key takes a while to make: one is made at a time.
    static MAKING: Mutex<()> = Mutex::const_new(());
    if let Some(kept) = kept(services, region).await? {
        return Ok(kept);
    }
    let _turn = MAKING.lock().await;
    if let Some(kept) = kept(services, region).await? {
        return Ok(kept);
    }
    let authorities =
        authorities::get_or_create(&services.records, &services.master_key, region, services.now()).await?;
    Ok(authorities.iter().map(|authority| authority.cert_pem().to_owned()).collect())
}

/// The certificates of a region, in the order of [`CaIdentifier::ALL`], if all are there.
async fn kept(services: &Services, region: &Region) -> Result<Option<Vec<String>>, Failure> {
    let records = services.records.list::<AuthorityRecord>(&format!("{region}/")).await?;
    let certificate = |identifier: &CaIdentifier| {
        let found = records.iter().find(|record| record.identifier == identifier.to_string());
        found.map(|record| record.certificate.clone())
    };
    Ok(CaIdentifier::ALL.iter().map(certificate).collect())
}

/// The certificates of every region in which there is anything; of one region at least.
async fn everywhere(services: &Services) -> Result<Vec<String>, Failure> {
    let records = services.records.list::<AuthorityRecord>("").await?;
    let mut regions: BTreeSet<Region> = records.iter().map(|record| record.region.clone()).collect();
    if regions.is_empty() {
        regions.insert(HOME.parse()?);
    }
    let mut certificates = Vec::new();
    for region in &regions {
        certificates.extend(of_region(services, region).await?);
    }
    Ok(certificates)
}

/// Whether a region that AWS does not have is one here: something was made in it.
async fn in_use(services: &Services, region: &Region) -> bool {
    let records = services.records.list::<AuthorityRecord>(&format!("{region}/")).await;
    records.is_ok_and(|records| !records.is_empty())
}

/// The object: the global bundle, with the headers that S3's clients ask for.
async fn object(services: &Services) -> Response {
    let content = everywhere(services)
        .await
        .and_then(|certificates| Ok(bundle(certificates.iter().map(String::as_str))?));
    let text = match content {
        Ok(text) => text,
        Err(error) => return failed(&*error),
    };
    let modified = newest(services).await.unwrap_or_else(|| services.now());
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    let tag: String = digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("binary/octet-stream"));
    for (name, value) in [(header::ETAG, format!("\"{tag}\"")), (header::LAST_MODIFIED, http_date(modified))]
    {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    (headers, text).into_response()
}

/// When the youngest authority began to be valid.
async fn newest(services: &Services) -> Option<OffsetDateTime> {
    let records = services.records.list::<AuthorityRecord>("").await.ok()?;
    let regions: BTreeSet<Region> = records.iter().map(|record| record.region.clone()).collect();
    let mut newest = None;
    for region in &regions {
        let authorities =
            authorities::get_or_create(&services.records, &services.master_key, region, services.now())
                .await
                .ok()?;
        newest = newest.max(authorities.iter().map(pki::Authority::valid_from).max());
    }
    newest
}

fn http_date(at: OffsetDateTime) -> String {
    let format = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    at.to_offset(time::UtcOffset::UTC).format(format).unwrap_or_default()
}

fn unknown_region(name: &str) -> Response {
    let shown: String = name.chars().take(64).filter(|c| c.is_ascii_graphic()).collect();
    let text = format!(
        "`{shown}` is not a region: expected one of Amazon RDS such as `us-east-1`, or one in which a database was made; \
         all that are in use are in /global/global-bundle.pem\n"
    );
    (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

/// A folder that is no region may be meant as a bucket.
fn not_found_here(folder: &str) -> Response {
    match folder.parse::<Region>() {
        Ok(region) => {
            let text = format!("expected /{region}/{region}-bundle.pem or /{region}/{region}-bundle.p7b\n");
            (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text)
                .into_response()
        }
        Err(_) => no_such_bucket(),
    }
}

fn no_such_key(_key: &str) -> Response {
    s3_error(StatusCode::NOT_FOUND, "NoSuchKey", "The specified key does not exist.")
}

fn no_such_bucket() -> Response {
    s3_error(StatusCode::NOT_FOUND, "NoSuchBucket", "The specified bucket does not exist")
}

fn s3_error(status: StatusCode, code: &str, message: &str) -> Response {
    let id = uuid::Uuid::new_v4().simple().to_string();
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>\
         <RequestId>{id}</RequestId></Error>"
    );
    let headers = [(header::CONTENT_TYPE.as_str(), "application/xml"), ("x-amz-request-id", id.as_str())];
    (status, headers, body).into_response()
}

fn failed(error: &(dyn std::error::Error + Send + Sync)) -> Response {
    tracing::error!(%error, "the trust store cannot be served");
    s3_error(
        StatusCode::INTERNAL_SERVER_ERROR,
        "InternalError",
        "We encountered an internal error. Please try again.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn dates_of_http() {
        assert_eq!(http_date(datetime!(2026-01-02 03:04:05 UTC)), "Fri, 02 Jan 2026 03:04:05 GMT");
    }
}
