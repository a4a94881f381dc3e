//! The client's side: signs a request in either form, with the canonicalisation that verifies it.

use sha2::{Digest, Sha256};

use crate::{
    Credential, Scope, SecretKey, SigningKey, Timestamp,
    encode::{hex, into_text, percent_encode},
    request::{ALGORITHM, Body, Incomplete, LONGEST_VALIDITY, Request, RequestError, Rules},
};

/// Who signs, and for what.
#[derive(Clone, Copy, Debug)]
pub struct Signer<'a> {
    /// The access key id.
    pub access_key_id: &'a str,
    /// The secret access key.
    pub secret: &'a SecretKey,
    /// The session token, with temporary credentials.
    pub session_token: Option<&'a str>,
    /// The region of the scope.
    pub region: &'a str,
    /// The service of the scope.
    pub service: &'a str,
    /// The service's rules.
    pub rules: Rules,
    /// Whether to send the body's hash as `x-amz-content-sha256`.
    pub content_sha256: bool,
}

/// Signs in the header form, all headers of `request` included. Returns the headers to add, `authorization`
/// last.
///
/// # Errors
/// [`Incomplete::Credential`] for a key id, region or service that no scope can hold, and
/// [`Incomplete::HostNotSigned`] for a request without a `host` header.
pub fn sign(
    signer: &Signer<'_>,
    request: &Request<'_>,
    now: Timestamp,
) -> Result<Vec<(&'static str, String)>, RequestError> {
    let credential = signer.credential(now)?;
    let payload = payload_hash(request);
    let mut added = vec![("x-amz-date", now.to_string())];
    if signer.content_sha256 {
        added.push(("x-amz-content-sha256", payload.clone()));
    }
    if let Some(token) = signer.session_token {
        added.push(("x-amz-security-token", token.to_owned()));
    }
    let mut headers = request.headers.to_vec();
    headers.extend(added.iter().map(|(name, value)| (*name, value.as_bytes())));
    let request = Request { headers: &headers, ..*request };
    let signed_headers = signed_headers(&request)?;
    let signature = signer.signature(&request, now, &signed_headers, &payload);
    let authorization =
        format!("{ALGORITHM} Credential={credential}, SignedHeaders={signed_headers}, Signature={signature}");
    added.push(("authorization", authorization));
    Ok(added)
}

/// Signs in the query form, all headers of `request` included. Returns the whole query.
///
/// # Errors
/// As [`sign`], and [`Incomplete::Expires`] for a validity outside 1 to [`LONGEST_VALIDITY`] seconds.
pub fn presign(
    signer: &Signer<'_>,
    request: &Request<'_>,
    now: Timestamp,
    expires: u32,
) -> Result<String, RequestError> {
    if !(1..=LONGEST_VALIDITY).contains(&expires) {
        return Err(Incomplete::Expires.into());
    }
    let credential = signer.credential(now)?;
    let signed_headers = signed_headers(request)?;
    let mut query = String::from(request.query);
    if !query.is_empty() {
        query.push('&');
    }
    query.push_str(&format!(
        "X-Amz-Algorithm={ALGORITHM}&X-Amz-Credential={credential}&X-Amz-Date={now}&X-Amz-SignedHeaders={headers}\
         &X-Amz-Expires={expires}",
        credential = percent_encode(credential.as_bytes()),
        headers = percent_encode(signed_headers.as_bytes()),
    ));
    if let Some(token) = signer.session_token {
        query.push_str("&X-Amz-Security-Token=");
        query.push_str(&percent_encode(token.as_bytes()));
    }
    let payload =
        if signer.rules.unsigned_payload { "UNSIGNED-PAYLOAD".to_owned() } else { payload_hash(request) };
    let request = Request { query: &query, ..*request };
    let signature = signer.signature(&request, now, &signed_headers, &payload);
    Ok(format!("{query}&X-Amz-Signature={signature}"))
}

/// The signature over a canonical request's hash.
pub(super) fn signature(
    key: &SigningKey,
    time: Timestamp,
    scope: Scope<'_>,
    canonical: &[u8; 32],
) -> [u8; 32] {
    let Scope { date, region, service } = scope;
    let mut text = format!("{ALGORITHM}\n{time}\n{date}/{region}/{service}/aws4_request\n").into_bytes();
    text.extend(hex(canonical));
    key.sign(&text)
}

impl Signer<'_> {
    fn credential(&self, now: Timestamp) -> Result<String, RequestError> {
        let Self { access_key_id, region, service, .. } = self;
        let text = format!("{access_key_id}/{}/{region}/{service}/aws4_request", now.date_stamp());
        if Credential::parse(&text).is_err() {
            return Err(Incomplete::Credential(text).into());
        }
        Ok(text)
    }

    fn signature(
        &self,
        request: &Request<'_>,
        now: Timestamp,
        signed_headers: &str,
        payload: &str,
    ) -> String {
        let mut canonical = Sha256::new();
        let unsigned = |_: &[u8]| false;
        request.write_canonical(&self.rules, unsigned, signed_headers, payload.as_bytes(), &mut canonical);
        let date = now.date_stamp();
        let scope = Scope { date: date.as_str(), region: self.region, service: self.service };
        let key = SigningKey::derive(self.secret, scope.date, scope.region, scope.service);
        into_text(hex(&signature(&key, now, scope, &canonical.finalize().into())).to_vec())
    }
}

fn payload_hash(request: &Request<'_>) -> String {
    let digest = match request.body {
        Body::Bytes(bytes) => Sha256::digest(bytes).into(),
        Body::Sha256(digest) => digest,
    };
    into_text(hex(&digest).to_vec())
}

fn signed_headers(request: &Request<'_>) -> Result<String, RequestError> {
    let mut names: Vec<String> = request.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.sort_unstable();
    names.dedup();
    if names.iter().any(|name| name == "host") {
        Ok(names.join(";"))
    } else {
        Err(Incomplete::HostNotSigned.into())
    }
}
