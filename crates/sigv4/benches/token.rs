//! What checking one token costs, beside what `aws-sigv4` needs to sign the same one.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]
#![allow(missing_docs)]

use std::{hint::black_box, time::SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign as aws_sign,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sigv4::{
    Decoy, KeyCache, SecretKey, Timestamp,
    rds_token::{Token, TokenRequest, sign},
};

const HOST: &str = "mydb.123456789012.us-east-1.rds.amazonaws.com";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const SPELLINGS: &[&str] = &["mydb.123456789012.us-east-1.rds.amazonaws.com:5432"];

fn token(c: &mut Criterion, kind: &str, session_token: Option<&str>) {
    let secret = SecretKey::from(SECRET);
    let issued_at = Timestamp::from_unix(1_767_225_600);
    let access_key_id = if session_token.is_some() { "ASIAIOSFODNN7EXAMPLE" } else { "AKIAIOSFODNN7EXAMPLE" };
    let text = sign(&TokenRequest {
        host: HOST,
        port: 5432,
        user: "jane_doe",
        region: "us-east-1",
        access_key_id,
        secret: &secret,
        session_token,
        issued_at,
        expires: 900,
    })
    .unwrap();
    let (cache, decoy) = (KeyCache::new(), Decoy::new());
    let check = |text: &str| {
        let token = Token::parse(text).unwrap();
        token.check_time(issued_at).unwrap();
        assert!(token.user_eq("jane_doe"));
        assert!(session_token.is_none_or(|session| token.security_token_eq(session.as_bytes())));
        token.verify(&secret, &cache, SPELLINGS).unwrap();
    };
    let wrong = format!("{}{}", &text[..text.len() - 64], "0".repeat(64));

    let mut group = c.benchmark_group(format!("token/{kind} ({} bytes)", text.len()));
    group.throughput(Throughput::Elements(1));
    group.bench_function("parse", |b| b.iter(|| Token::parse(black_box(&text)).unwrap()));
    let parsed = Token::parse(&text).unwrap();
    group.bench_function("verify", |b| b.iter(|| black_box(&parsed).verify(&secret, &cache, SPELLINGS)));
    group.bench_function("parse, time, user, session token, verify", |b| b.iter(|| check(black_box(&text))));
    let refused = Token::parse(&wrong).unwrap();
    group.bench_function("verify, wrong signature", |b| {
        b.iter(|| black_box(&refused).verify(&secret, &cache, SPELLINGS).unwrap_err());
    });
    group.bench_function("verify, unknown key", |b| {
        b.iter(|| black_box(&refused).verify_decoy(&decoy, SPELLINGS));
    });
    group.bench_function("sign", |b| {
        b.iter(|| {
            sign(&TokenRequest {
                host: HOST,
                port: 5432,
                user: black_box("jane_doe"),
                region: "us-east-1",
                access_key_id,
                secret: &secret,
                session_token,
                issued_at,
                expires: 900,
            })
        });
    });
    let identity =
        Credentials::new(access_key_id, SECRET, session_token.map(str::to_owned), None, "bench").into();
    let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_767_225_600);
    let url = format!("https://{HOST}:5432/?Action=connect&DBUser=jane_doe");
    group.bench_function("sign by aws-sigv4", |b| {
        b.iter(|| {
            let mut settings = SigningSettings::default();
            settings.signature_location = SignatureLocation::QueryParams;
            settings.expires_in = Some(std::time::Duration::from_secs(900));
            let params = aws_sigv4::sign::v4::SigningParams::builder()
                .identity(&identity)
                .region("us-east-1")
                .name("rds-db")
                .time(time)
                .settings(settings)
                .build()
                .unwrap();
            let request =
                SignableRequest::new("GET", black_box(&url), std::iter::empty(), SignableBody::Bytes(&[]))
                    .unwrap();
            aws_sign(request, &params.into()).unwrap()
        });
    });
    group.finish();
}

fn tokens(c: &mut Criterion) {
    token(c, "long-term key", None);
    // Base64 like the session tokens of STS, a few characters of which need escaping.
    let session = "IQoJb3JpZ2luX2VjEJf8wEaCXVzLWVhc3QtMSJHMEUCIQDk+Zm9vYmFyL3R/".repeat(20);
    token(c, "session", Some(&session[..1150]));
}

criterion_group!(benches, tokens);
criterion_main!(benches);
