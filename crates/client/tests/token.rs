//! The tokens that are made here, beside those of botocore (recorded) and of `aws-sigv4` (asked).
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign as aws_sign,
};
use aws_sigv4::sign::v4::SigningParams;
use countersign_client::{Endpoint, Host, TokenError};
use proptest::prelude::*;
use sigv4::encode::percent_encode;
use sigv4::rds_token::Token;
use sigv4::{KeyCache, SecretKey, Timestamp};

const RECORDED: &str = include_str!("../../sigv4/tests/data/tokens.json");

fn at(unix: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(unix.unsigned_abs())
}

/// The text of the AWS CLI and boto3, byte by byte.
#[test]
fn botocores_spelling() {
    let recorded: serde_json::Value = serde_json::from_str(RECORDED).unwrap();
    let mut compared = 0;
    for vector in recorded["tokens"].as_array().unwrap().iter().filter(|v| v["origin"] == "generated") {
        let text = |name: &str| vector[name].as_str().map(str::to_owned);
        let (key, secret) = (text("access_key_id").unwrap(), text("secret").unwrap());
        let credentials = Credentials::new(key, secret, text("session_token"), None, "test");
        let host: Host = text("host").unwrap().parse().unwrap();
        let endpoint = Endpoint {
            host: host.to_string(),
            port: vector["port"].as_u64().unwrap().try_into().unwrap(),
            region: text("region").unwrap().parse().unwrap(),
        };
        let issued = Timestamp::parse_amz(&text("signed_at").unwrap()).unwrap();
        let token = endpoint.token(&text("user").unwrap(), &credentials, at(issued.unix())).unwrap();
        assert_eq!(*token, text("token").unwrap());
        compared += 1;
    }
    assert_eq!(compared, 8);
}

#[test]
fn what_no_token_can_hold_is_refused() {
    let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
    let endpoint = Endpoint { host: "localhost".to_owned(), port: 1, region: "us-east-1".parse().unwrap() };
    assert!(matches!(endpoint.token("", &credentials, at(0)), Err(TokenError::MissingParameter(_))));
    let odd = Credentials::new("a/b", "secret", None, None, "test");
    assert_eq!(endpoint.token("u", &odd, at(0)).unwrap_err(), TokenError::MalformedCredential);
    let long = Credentials::new("AKIDEXAMPLE", "secret", Some("x".repeat(70_000)), None, "test");
    assert_eq!(endpoint.token("u", &long, at(0)).unwrap_err(), TokenError::TooLong);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// `aws-sigv4` signs the same: any user, host, port, region, time and credentials.
    #[test]
    fn as_the_aws_sdk_signs(
        user in "\\PC{1,40}",
        host in prop_oneof![
            "[a-zA-Z][a-zA-Z0-9-]{0,20}(\\.[a-zA-Z][a-z0-9]{0,10}){0,3}",
            "[1-9][0-9]?\\.0\\.0\\.[1-9]",
            Just("::1".to_owned()),
        ],
        port in prop_oneof![1_u16.., Just(443)],
        region in prop::sample::select(vec!["eu-west-1", "cn-north-1", "us-gov-west-1", "us-isob-east-1"]),
        secret in "[A-Za-z0-9+/]{1,90}",
        session in proptest::option::of("[A-Za-z0-9+/]{20,4000}={0,2}"),
        unix in 0_i64..4_000_000_000,
    ) {
        let host: Host = match host.parse() {
            Ok(host) => host,
            // A label that ends with a hyphen.
            Err(_) => return Err(TestCaseError::reject("no host")),
        };
        let credentials = Credentials::new("ASIDEXAMPLE", &secret, session.clone(), None, "test");
        let endpoint = Endpoint { host: host.to_string(), port, region: region.parse().unwrap() };
        let ours = endpoint.token(&user, &credentials, at(unix)).unwrap();

        // botocore signs the host in lower case, and without the port of https.
        let authority = match port {
            443 => host.as_str().to_lowercase(),
            port => format!("{}:{port}", host.as_str().to_lowercase()),
        };
        let url = format!("https://{authority}/?Action=connect&DBUser={}", percent_encode(user.as_bytes()));
        let identity = credentials.into();
        let mut settings = SigningSettings::default();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(Duration::from_secs(900));
        let params = SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name("rds-db")
            .time(at(unix))
            .settings(settings)
            .build()
            .unwrap();
        let request = SignableRequest::new("GET", &url, [].into_iter(), SignableBody::Bytes(b"")).unwrap();
        let (_, theirs) = aws_sign(request, &params.into()).unwrap().into_parts();
        prop_assert_eq!(ours.rsplit_once('=').unwrap().1, &theirs);

        let token = Token::parse(&ours).unwrap();
        prop_assert!(token.user_eq(&user) && token.is_for_endpoint(host.as_str(), port));
        prop_assert_eq!((token.region(), token.issued_at().unix(), token.expires()), (region, unix, 900));
        prop_assert!(session.as_deref().is_none_or(|session| token.security_token_eq(session.as_bytes())));
        let secret = SecretKey::from(secret.as_str());
        prop_assert_eq!(token.verify(&secret, &KeyCache::new(), &[] as &[&str]), Ok(()));
    }
}
