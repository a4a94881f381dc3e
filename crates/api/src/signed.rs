//! Who calls: Signature Version 4, checked on every call, in the order and with the texts of AWS.
//!
//! An unknown key is checked against a secret that nobody has, so that it costs what a known one costs.

use crate::Service;
use crate::query::ApiError;
use http::{HeaderMap, StatusCode};
use iam::{AccessKeyId, Credential, Principal, Region, Snapshot};
use sigv4::request::{RequestError, Rules, SignedRequest};
use sigv4::{KeyCache, SecretKey, Timestamp};

/// The signer of a call, proven.
pub(crate) struct Signed<'s> {
    pub(crate) credential: &'s Credential,
    pub(crate) caller: Principal<'s>,
    pub(crate) service: Service,
    pub(crate) region: Region,
}

/// What stands in for the secret of a key that does not exist.
pub(crate) struct Stranger {
    secret: SecretKey,
    keys: KeyCache,
}

impl Default for Stranger {
    fn default() -> Self {
        Self { secret: SecretKey::from_bytes(&[0; 40]), keys: KeyCache::default() }
    }
}

/// The headers of a request as its signature is checked over them.
pub(crate) fn headers(headers: &HeaderMap) -> Vec<(&str, &[u8])> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
}

/// The service that the request says it was signed for.
pub(crate) fn scoped_service(request: &SignedRequest<'_>) -> Option<Service> {
    Service::named(request.credential().scope.service)
}

/// Proves who signed the request, for the service whose API's version it asks for.
pub(crate) fn verify<'s>(
    request: &SignedRequest<'_>,
    snapshot: &'s Snapshot,
    stranger: &Stranger,
    asked: Option<Service>,
    now: Timestamp,
) -> Result<Signed<'s>, ApiError> {
    request.check_time(now).map_err(|error| refused(&error))?;

    let found = request.access_key_id().parse::<AccessKeyId>().ok().and_then(|id| snapshot.credential(&id));
    let (secret, keys) =
        found.map_or((&stranger.secret, &stranger.keys), |found| (&found.secret, &found.keys));
    let signature = request.verify(secret, keys, &Rules::DEFAULT);

    let usable =
        found.filter(|credential| credential.active && token_fits(credential, request.security_token()));
    let signer = usable.and_then(|credential| Some((credential, snapshot.principal(credential)?)));
    let (credential, caller) = signer.ok_or_else(invalid_client_token)?;
    if credential.session.as_ref().is_some_and(|session| session.expires <= now) {
        return Err(ApiError::new("ExpiredToken", "The security token included in the request is expired")
            .with_status(StatusCode::FORBIDDEN));
    }
    signature.map_err(|error| refused(&error))?;

    let Some(service) = asked.or_else(|| scoped_service(request)) else {
        return Err(mismatch("Credential should be scoped to correct service: 'rds', 'iam' or 'sts'."));
    };
    request.check_service(service.name()).map_err(|error| refused(&error))?;
    let region = request
        .credential()
        .scope
        .region
        .parse()
        .map_err(|_| mismatch("Credential should be scoped to a valid region."))?;
    Ok(Signed { credential, caller, service, region })
}

/// Temporary credentials come with their token, long-term ones with none.
fn token_fits(credential: &Credential, token: Option<&str>) -> bool {
    match (&credential.session, token) {
        (Some(session), Some(token)) => session.token.matches(token.as_bytes()),
        (None, None) => true,
        _ => false,
    }
}

/// A refusal of the signature as an answer.
pub(crate) fn refused(error: &RequestError) -> ApiError {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::FORBIDDEN);
    ApiError::new(error.code(), error.to_string()).with_status(status)
}

fn mismatch(message: &str) -> ApiError {
    ApiError::new("SignatureDoesNotMatch", message).with_status(StatusCode::FORBIDDEN)
}

/// The error for a key, or a token, that stands for nobody.
pub(crate) fn invalid_client_token() -> ApiError {
    ApiError::new("InvalidClientTokenId", "The security token included in the request is invalid.")
        .with_status(StatusCode::FORBIDDEN)
}
