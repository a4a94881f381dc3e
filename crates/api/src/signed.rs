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

#[cfg(test)]
mod tests {
    use super::*;
    use iam::{Holder, SecurityToken, SessionCredential, User};
    use sigv4::request::{Body, Request, Signer, sign};

    const NOW: Timestamp = Timestamp::from_unix(1_767_225_600);
    const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
    const SESSION: &str = "ASIAIOSFODNN7EXAMPLE";
    const TOKEN: &str = "the+token/=";
    const BODY: &[u8] = b"Action=GetCallerIdentity&Version=2011-06-15";

    fn credential(id: &str, active: bool, session: Option<SessionCredential>) -> Credential {
        Credential {
            id: id.parse().unwrap(),
            secret: SecretKey::from("secret"),
            keys: KeyCache::default(),
            active,
            session,
            holder: Holder::User { name: "jane".into(), id: None },
        }
    }

    /// Jane, a key, and a session that ends a minute after [`NOW`].
    fn snapshot(active: bool, jane: bool) -> Snapshot {
        let mut editor = Snapshot::new("123456789012".parse().unwrap()).edit();
        if jane {
            let user = User {
                arn: "arn:aws:iam::123456789012:user/jane".parse().unwrap(),
                name: "jane".into(),
                id: "AIDAJANEJANEJANEJANE2".parse().unwrap(),
                policies: iam::Policies::default(),
                groups: Box::default(),
                boundary: None,
                tags: iam::Tags::default(),
            };
            editor.put_user("jane", user);
        }
        editor.put_credential(credential(KEY, active, None));
        let token = SecurityToken::new(TOKEN.as_bytes().to_vec().into());
        let session = SessionCredential {
            token,
            issued: NOW,
            expires: NOW.saturating_add(60),
            policies: None,
            tags: iam::Tags::default(),
        };
        editor.put_credential(credential(SESSION, true, Some(session)));
        editor.finish(1)
    }

    /// Signs, and verifies `later` seconds after.
    fn outcome(
        snapshot: &Snapshot,
        (key, secret, token): (&str, &str, Option<&str>),
        region: &str,
        later: i64,
    ) -> Result<String, String> {
        let secret = SecretKey::from(secret);
        let signer = Signer {
            access_key_id: key,
            secret: &secret,
            session_token: token,
            region,
            service: "sts",
            rules: Rules::DEFAULT,
            content_sha256: false,
        };
        let headers: Vec<(&str, &[u8])> = vec![("host", b"localhost:4590")];
        let request =
            Request { method: "POST", path: "/", query: "", headers: &headers, body: Body::Bytes(BODY) };
        let added = sign(&signer, &request, NOW).unwrap();
        let mut all = headers.clone();
        all.extend(added.iter().map(|(name, value)| (*name, value.as_bytes())));
        let request = Request { headers: &all, ..request };
        let request = SignedRequest::parse(&request).unwrap();
        verify(&request, snapshot, &Stranger::default(), Some(Service::Sts), NOW.saturating_add(later))
            .map(|signed| format!("{} in {}", signed.caller.arn, signed.region))
            .map_err(|error| error.code.into_owned())
    }

    #[test]
    fn a_good_signature_is_its_holders() {
        let here = snapshot(true, true);
        let jane = Ok("arn:aws:iam::123456789012:user/jane in eu-west-1".to_owned());
        assert_eq!(outcome(&here, (KEY, "secret", None), "eu-west-1", 0), jane);
        assert_eq!(outcome(&here, (KEY, "secret", None), "eu-west-1", 900), jane);
        assert_eq!(outcome(&here, (SESSION, "secret", Some(TOKEN)), "eu-west-1", 59), jane);
    }

    #[test]
    fn everything_else_is_refused_in_awss_order() {
        let here = snapshot(true, true);
        let refusal = |signer, later| outcome(&here, signer, "us-east-1", later).unwrap_err();
        // The time comes before anything about the key.
        assert_eq!(refusal(("AKIANOBODYNOBODYNOBO", "x", None), 901), "SignatureDoesNotMatch");
        assert_eq!(refusal(("AKIANOBODYNOBODYNOBO", "x", None), 0), "InvalidClientTokenId");
        // Whether a token fits comes before whether it has expired, and that before the signature.
        assert_eq!(refusal((SESSION, "secret", None), 60), "InvalidClientTokenId");
        assert_eq!(refusal((SESSION, "secret", Some("another")), 60), "InvalidClientTokenId");
        assert_eq!(refusal((KEY, "secret", Some(TOKEN)), 0), "InvalidClientTokenId");
        assert_eq!(refusal((SESSION, "secret", Some(TOKEN)), 60), "ExpiredToken");
        assert_eq!(refusal((SESSION, "wrong", Some(TOKEN)), 60), "ExpiredToken");
        assert_eq!(refusal((SESSION, "wrong", Some(TOKEN)), 0), "SignatureDoesNotMatch");
        assert_eq!(refusal((KEY, "wrong", None), 0), "SignatureDoesNotMatch");
        assert_eq!(outcome(&here, (KEY, "secret", None), "nowhere", 0).unwrap_err(), "SignatureDoesNotMatch");
    }

    #[test]
    fn an_inactive_key_and_a_key_of_nobody_are_no_keys() {
        let signer = (KEY, "secret", None);
        assert_eq!(
            outcome(&snapshot(false, true), signer, "us-east-1", 0).unwrap_err(),
            "InvalidClientTokenId"
        );
        assert_eq!(
            outcome(&snapshot(true, false), signer, "us-east-1", 0).unwrap_err(),
            "InvalidClientTokenId"
        );
    }
}
