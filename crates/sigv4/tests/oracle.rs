//! `aws-sigv4`, the signer inside the AWS SDK for Rust, as the second opinion: what it signs we accept, and
//! what we sign is what it signs.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign as aws_sign},
    sign::v4::SigningParams,
};
use proptest::prelude::*;
use sigv4::{
    KeyCache, SecretKey, Timestamp,
    encode::percent_encode,
    rds_token::{self, Token, TokenRequest},
    request::{Body, Request, Rules, SignedRequest, Signer, sign},
};

const UNIX: i64 = 1_767_225_600;

struct Aws {
    headers: Vec<(String, String)>,
    query: Vec<(String, String)>,
    signature: String,
}

struct Who<'a> {
    key: &'a str,
    secret: &'a str,
    session: Option<&'a str>,
    service: &'static str,
}

impl Who<'_> {
    fn sign(&self, method: &str, url: &str, headers: &[(&str, &str)], body: &[u8], presign: bool) -> Aws {
        let session = self.session.map(str::to_owned);
        let identity = Credentials::new(self.key, self.secret, session, None, "test").into();
        let mut settings = SigningSettings::default();
        if presign {
            settings.signature_location = SignatureLocation::QueryParams;
            settings.expires_in = Some(Duration::from_secs(900));
        }
        let params = SigningParams::builder()
            .identity(&identity)
            .region("eu-west-1")
            .name(self.service)
            .time(SystemTime::UNIX_EPOCH + Duration::from_secs(UNIX.unsigned_abs()))
            .settings(settings)
            .build()
            .unwrap();
        let request =
            SignableRequest::new(method, url, headers.iter().copied(), SignableBody::Bytes(body)).unwrap();
        let (instructions, signature) = aws_sign(request, &params.into()).unwrap().into_parts();
        let (headers, query) = instructions.into_parts();
        Aws {
            headers: headers.iter().map(|h| (h.name().to_owned(), h.value().to_owned())).collect(),
            query: query.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect(),
            signature,
        }
    }
}

fn session() -> impl Strategy<Value = Option<String>> {
    proptest::option::of("[A-Za-z0-9+/]{20,400}={0,2}")
}

fn secret() -> impl Strategy<Value = String> {
    "[A-Za-z0-9+/]{1,90}"
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn tokens(
        user in "\\PC{1,40}",
        host in "[a-z][a-z0-9-]{0,20}(\\.[a-z0-9]{1,10}){0,3}",
        port in 1_u16..,
        secret in secret(),
        session in session(),
    ) {
        let who = Who { key: "AKIDEXAMPLE", secret: &secret, session: session.as_deref(), service: "rds-db" };
        let url = format!("https://{host}:{port}/?Action=connect&DBUser={}", percent_encode(user.as_bytes()));
        let theirs = who.sign("GET", &url, &[], b"", true);
        let secret = SecretKey::from(secret.as_str());
        let ours = rds_token::sign(&TokenRequest {
            host: &host,
            port,
            user: &user,
            region: "eu-west-1",
            access_key_id: who.key,
            secret: &secret,
            session_token: session.as_deref(),
            issued_at: Timestamp::from_unix(UNIX),
            expires: 900,
        }).unwrap();
        // Theirs signs the port of https only if the URL was not parsed: the crate drops it like botocore.
        prop_assert_eq!(ours.rsplit_once('=').unwrap().1, &theirs.signature);

        let mut text = url["https://".len()..].to_owned();
        for (name, value) in theirs.query {
            text.push_str(&format!("&{name}={}", percent_encode(value.as_bytes())));
        }
        for text in [&text, &ours] {
            let token = Token::parse(text).unwrap();
            prop_assert!(token.user_eq(&user));
            prop_assert_eq!(token.user(), user.as_str());
            prop_assert_eq!(token.verify(&secret, &KeyCache::new(), &[] as &[&str]), Ok(()));
            prop_assert!(session.as_deref().is_none_or(|session| token.security_token_eq(session.as_bytes())));
        }
    }

    #[test]
    fn requests(
        method in prop::sample::select(vec!["GET", "POST"]),
        path in "(/([A-Za-z0-9._~-]|%20|%2F|\\.\\.){0,8}){1,4}",
        query in "([a-zA-Z%]{0,5}=([a-z0-9+~]|%20|%2[fF]){0,5}&?){0,5}",
        value in "[!-~]([ -~]{0,30}[!-~])?",
        body: Vec<u8>,
        secret in secret(),
        session in session(),
        presigned: bool,
    ) {
        let query = query.replace('%', "%25").replace("%2520", "%20").replace("%252", "%2");
        let query = query.trim_end_matches('&');
        let who = Who { key: "AKIDEXAMPLE", secret: &secret, session: session.as_deref(), service: "iam" };
        let plain = [("content-type", "application/x-www-form-urlencoded"), ("host", "localhost:4590"), ("x-custom", &*value)];
        let url = format!("http://localhost:4590{path}?{query}");
        let theirs = who.sign(method, &url, &plain, &body, presigned);
        let secret = SecretKey::from(secret.as_str());
        let now = Timestamp::from_unix(UNIX);

        let headers = plain.map(|(name, value)| (name, value.as_bytes()));
        let request = Request { method, path: &path, query, headers: &headers, body: Body::Bytes(&body) };
        let mut signed_headers = headers.to_vec();
        signed_headers.extend(theirs.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())));
        let mut signed_query = query.to_owned();
        for (name, value) in &theirs.query {
            signed_query.push_str(&format!("&{name}={}", percent_encode(value.as_bytes())));
        }
        let received = Request { headers: &signed_headers, query: &signed_query, ..request };
        let signed = SignedRequest::parse(&received).unwrap();
        prop_assert_eq!(signed.check_time(now), Ok(()));
        prop_assert_eq!(signed.security_token(), session.as_deref());
        prop_assert_eq!(
            signed.verify(&secret, &KeyCache::new(), &Rules::DEFAULT), Ok(()),
            "{}", signed.canonical_request(&Rules::DEFAULT).unwrap()
        );

        if !presigned {
            let signer = Signer {
                access_key_id: who.key,
                secret: &secret,
                session_token: session.as_deref(),
                region: "eu-west-1",
                service: "iam",
                rules: Rules::DEFAULT,
                content_sha256: false,
            };
            let ours = sign(&signer, &request, now).unwrap();
            let authorization = &ours.last().unwrap().1;
            prop_assert_eq!(authorization.rsplit_once('=').unwrap().1, &theirs.signature);
        }
    }
}
