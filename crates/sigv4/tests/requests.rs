//! What a signed API request is refused for, and in which of AWS's words.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

use sigv4::{
    KeyCache, SecretKey, Timestamp,
    request::{Body, CLOCK_SKEW, Request, RequestError, Rules, SignedRequest, Signer, presign, sign},
};

const BODY: &[u8] = b"Action=ListUsers&Version=2010-05-08";
const HEADERS: &[(&str, &[u8])] =
    &[("Host", b"localhost:4590"), ("Content-Type", b"application/x-www-form-urlencoded")];

fn now() -> Timestamp {
    Timestamp::parse_amz("20260101T120000Z").unwrap()
}

fn secret() -> SecretKey {
    SecretKey::from("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
}

const PLAIN: Request<'_> =
    Request { method: "POST", path: "/", query: "", headers: HEADERS, body: Body::Bytes(BODY) };

struct Signed(Vec<(String, Vec<u8>)>);

impl Signed {
    fn new(session_token: Option<&str>, rules: Rules, content_sha256: bool) -> Self {
        let secret = secret();
        let signer = signer(&secret, session_token, rules, content_sha256);
        let added = sign(&signer, &PLAIN, now()).unwrap();
        let mut all: Vec<_> =
            HEADERS.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect();
        all.extend(added.into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes())));
        Self(all)
    }

    /// The request with `from` replaced by `to` in the header `name`; an empty result drops the header.
    fn with<T>(&self, name: &str, from: &str, to: &str, check: impl FnOnce(&Request<'_>) -> T) -> T {
        let mut headers = self.0.clone();
        for (_, value) in headers.iter_mut().filter(|(header, _)| header == name) {
            *value = String::from_utf8(value.clone()).unwrap().replace(from, to).into_bytes();
        }
        let headers: Vec<(&str, &[u8])> = headers
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(n, v)| (n.as_str(), v.as_slice()))
            .collect();
        check(&Request { headers: &headers, ..PLAIN })
    }
}

fn signer<'a>(
    secret: &'a SecretKey,
    session_token: Option<&'a str>,
    rules: Rules,
    content_sha256: bool,
) -> Signer<'a> {
    Signer {
        access_key_id: "AKIDEXAMPLE",
        secret,
        session_token,
        region: "eu-west-1",
        service: "iam",
        rules,
        content_sha256,
    }
}

fn verify(request: &Request<'_>, rules: &Rules) -> Result<(), RequestError> {
    SignedRequest::parse(request)?.verify(&secret(), &KeyCache::new(), rules)
}

#[track_caller]
fn refused(request: &Request<'_>, code: &str, message: &str) {
    let error = verify(request, &Rules::DEFAULT).unwrap_err();
    assert_eq!((error.code(), error.to_string().as_str()), (code, message));
}

const MISMATCH: &str = "The request signature we calculated does not match the signature you provided. Check your \
    AWS Secret Access Key and signing method. Consult the service documentation for details.";

#[test]
fn no_signature_at_all() {
    let text = "Request is missing Authentication Token";
    refused(&PLAIN, "MissingAuthenticationToken", text);
    let headers: &[(&str, &[u8])] = &[("Authorization", b"Bearer abc")];
    refused(&Request { headers, ..PLAIN }, "MissingAuthenticationToken", text);
}

#[test]
fn an_incomplete_header() {
    let signed = Signed::new(None, Rules::DEFAULT, false);
    let incomplete = |header: &str, from: &str, to: &str, message: &str| {
        signed.with(header, from, to, |request| refused(request, "IncompleteSignature", message));
    };
    incomplete(
        "authorization",
        "Credential=AKIDEXAMPLE/20260101/eu-west-1/iam/aws4_request, ",
        "",
        "Authorization header requires 'Credential' parameter.",
    );
    incomplete(
        "x-amz-date",
        "20260101T120000Z",
        "",
        "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.",
    );
    incomplete(
        "authorization",
        "content-type;host;x-amz-date",
        "content-type;x-amz-date",
        "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
    );
    incomplete(
        "authorization",
        "content-type;host",
        "host;content-type",
        "SignedHeaders must be a sorted list of different lower-case header names, joined by ';'.",
    );
    incomplete(
        "authorization",
        "AWS4-HMAC-SHA256",
        "AWS4-ECDSA-P256-SHA256",
        "Unsupported AWS 'algorithm': 'AWS4-ECDSA-P256-SHA256' (only AWS4-HMAC-SHA256 for now).",
    );
    incomplete(
        "authorization",
        "aws4_request",
        "aws5_request",
        "Credential should be scoped with a valid terminator: 'aws4_request'.",
    );
    incomplete(
        "authorization",
        "/iam/aws4_request",
        "",
        "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got \
         'AKIDEXAMPLE/20260101/eu-west-1'",
    );
    incomplete(
        "x-amz-date",
        "20260101T120000Z",
        "yesterday",
        "Date must be in ISO-8601 'basic format'. Got 'yesterday'. See http://en.wikipedia.org/wiki/ISO_8601",
    );
}

#[test]
fn what_was_changed_after_signing() {
    let signed = Signed::new(Some("session"), Rules::DEFAULT, false);
    signed.with("", "", "", |request| {
        assert_eq!(verify(request, &Rules::DEFAULT), Ok(()));
        refused(
            &Request { body: Body::Bytes(b"Action=DeleteUser"), ..*request },
            "SignatureDoesNotMatch",
            MISMATCH,
        );
        refused(&Request { method: "GET", ..*request }, "SignatureDoesNotMatch", MISMATCH);
        refused(&Request { path: "/x", ..*request }, "SignatureDoesNotMatch", MISMATCH);
        refused(&Request { query: "a=b", ..*request }, "SignatureDoesNotMatch", MISMATCH);
    });
    for (header, from, to) in [
        ("Host", "localhost", "example.com"),
        ("x-amz-date", "T12", "T13"),
        ("x-amz-security-token", "session", "another"),
        ("authorization", "eu-west-1", "us-east-1"),
    ] {
        signed.with(header, from, to, |request| refused(request, "SignatureDoesNotMatch", MISMATCH));
    }
    signed.with("x-amz-date", "20260101", "20260102", |request| {
        refused(
            request,
            "SignatureDoesNotMatch",
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20260101' != \
             '20260102', from '20260102T120000Z'.",
        );
    });
    signed.with("authorization", ";x-amz-security-token", "", |request| {
        refused(
            request,
            "SignatureDoesNotMatch",
            "There were headers present in the request which were not signed: x-amz-security-token",
        );
    });
}

#[test]
fn the_body_is_left_unsigned_only_where_the_service_allows_it() {
    let signed = Signed::new(None, Rules::DEFAULT, true);
    signed.with("", "", "", |request| assert_eq!(verify(request, &Rules::DEFAULT), Ok(())));
    signed.with("", "", "", |request| {
        let other = Request { body: Body::Sha256([7; 32]), ..*request };
        assert_eq!(verify(&other, &Rules::DEFAULT), Err(RequestError::ContentSha256Mismatch));
    });

    let secret = secret();
    let unsigned = [HEADERS[0], ("x-amz-content-sha256", b"UNSIGNED-PAYLOAD".as_slice())];
    let query = presign(&signer(&secret, None, Rules::S3, false), &PLAIN, now(), 60).unwrap();
    let request = Request { query: &query, headers: &unsigned, ..PLAIN };
    let with_type = [unsigned[0], HEADERS[1]];
    assert_eq!(verify(&Request { headers: &with_type, ..request }, &Rules::S3), Ok(()));
    assert_eq!(
        verify(&Request { headers: &with_type, ..request }, &Rules::DEFAULT),
        Err(RequestError::SignatureDoesNotMatch)
    );
}

#[test]
fn the_clock() {
    let signed = Signed::new(None, Rules::DEFAULT, false);
    signed.with("", "", "", |request| {
        let signed = SignedRequest::parse(request).unwrap();
        let at = |seconds| signed.check_time(now().saturating_add(seconds)).map_err(|error| error.to_string());
        assert_eq!((at(CLOCK_SKEW), at(-CLOCK_SKEW)), (Ok(()), Ok(())));
        assert_eq!(
            at(CLOCK_SKEW + 1).unwrap_err(),
            "Signature expired: 20260101T120000Z is now earlier than 20260101T120001Z (20260101T121501Z - 15 min.)"
        );
        assert_eq!(
            at(-CLOCK_SKEW - 1).unwrap_err(),
            "Signature not yet current: 20260101T120000Z is still later than 20260101T115959Z (20260101T114459Z + 15 \
             min.)"
        );
    });
}

#[test]
fn presigned_requests_last_as_long_as_they_say() {
    let secret = secret();
    let query =
        presign(&signer(&secret, Some("a+b"), Rules::DEFAULT, false), &PLAIN, now(), 604_800).unwrap();
    let request = Request { query: &query, ..PLAIN };
    let signed = SignedRequest::parse(&request).unwrap();
    assert_eq!(signed.security_token(), Some("a+b"));
    assert_eq!(signed.check_time(now().saturating_add(604_800)), Ok(()));
    assert!(signed.check_time(now().saturating_add(604_801)).is_err());
    assert_eq!(signed.verify(&secret, &KeyCache::new(), &Rules::DEFAULT), Ok(()));
    assert_eq!(
        signed.check_service("rds").unwrap_err().to_string(),
        "Credential should be scoped to correct service: 'rds'."
    );
    let longer = query.replace("604800", "604801");
    refused(
        &Request { query: &longer, ..PLAIN },
        "IncompleteSignature",
        "X-Amz-Expires must be a number of seconds from 1 to 604800.",
    );
    let without = query.split("&X-Amz-Signature").next().unwrap();
    refused(
        &Request { query: without, ..PLAIN },
        "IncompleteSignature",
        "AWS query-string parameters must include 'X-Amz-Signature'. Re-examine the query-string parameters.",
    );
    let twice = format!("{query}&X-Amz-Date=20260101T120000Z");
    refused(&Request { query: &twice, ..PLAIN }, "IncompleteSignature", "'X-Amz-Date' must not be repeated.");
    Signed::new(None, Rules::DEFAULT, false).with("", "", "", |header| {
        let both = Request { query: &query, ..*header };
        assert!(
            verify(&both, &Rules::DEFAULT).unwrap_err().to_string().starts_with("Only one auth mechanism")
        );
    });
}
