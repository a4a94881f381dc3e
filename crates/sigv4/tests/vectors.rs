//! Recorded tokens and the AWS signing test suite: made and accepted to the letter.
//!
//! `COUNTERSIGN_VECTORS=/path/to/vectors` runs the same over a directory with the originals, a superset.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use sigv4::{
    KeyCache, SecretKey, Timestamp,
    rds_token::{self, Token, TokenRequest},
    request::{Body, Normalize, Request, Rules, SignedRequest, Signer, presign, sign},
};

#[derive(Deserialize)]
struct Tokens {
    tokens: Vec<TokenVector>,
}

#[derive(Deserialize)]
struct TokenVector {
    #[serde(default)]
    origin: String,
    access_key_id: String,
    secret: String,
    session_token: Option<String>,
    region: String,
    host: String,
    port: u16,
    user: String,
    signed_at: String,
    token: String,
}

impl TokenVector {
    fn check(&self) {
        let secret = SecretKey::from(self.secret.as_str());
        let signed_at = Timestamp::parse_amz(&self.signed_at.replace(['-', ':'], "")).unwrap();
        let token = Token::parse(&self.token).unwrap();
        assert!(token.is_for_endpoint(&self.host, self.port));
        assert_eq!(token.host(), self.host);
        assert_eq!(token.access_key_id(), self.access_key_id);
        assert_eq!(token.region(), self.region);
        assert_eq!(token.user(), self.user);
        assert!(token.user_eq(&self.user) && !token.user_eq("somebody else"));
        assert_eq!(token.issued_at(), signed_at);
        assert_eq!(token.security_token_encoded().is_some(), self.session_token.is_some());
        if let Some(session_token) = &self.session_token {
            assert!(token.security_token_eq(session_token.as_bytes()));
            assert!(!token.security_token_eq(b"another"));
        }
        token.check_time(signed_at).unwrap();
        token.verify(&secret, &KeyCache::new(), &[] as &[&str]).unwrap();

        // The published ones come from SDKs with another order of parameters.
        if self.origin != "published" {
            let request = TokenRequest {
                host: &self.host,
                port: self.port,
                user: &self.user,
                region: &self.region,
                access_key_id: &self.access_key_id,
                secret: &secret,
                session_token: self.session_token.as_deref(),
                issued_at: signed_at,
                expires: 900,
            };
            assert_eq!(rds_token::sign(&request).unwrap(), self.token);
        }
    }
}

#[derive(Deserialize)]
struct Suite {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: String,
    #[serde(default = "yes")]
    normalize: bool,
    #[serde(default)]
    sign_body: bool,
    session_token: Option<String>,
    #[serde(default)]
    omit_session_token: bool,
    header_signature: String,
    signed_target: String,
}

fn yes() -> bool {
    true
}

/// The canonical requests of the two forms, where the original files are there to tell.
struct Canonical {
    header: String,
    query: String,
}

impl Case {
    fn check(&self, canonical: Option<&Canonical>) {
        let secret = SecretKey::from("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        let now = Timestamp::parse_amz("20150830T123600Z").unwrap();
        let rules = Rules {
            normalize: if self.normalize { Normalize::Yes } else { Normalize::No },
            unsigned_security_token: self.omit_session_token,
            ..Rules::DEFAULT
        };
        let signer = Signer {
            access_key_id: "AKIDEXAMPLE",
            secret: &secret,
            session_token: self.session_token.as_deref().filter(|_| !self.omit_session_token),
            region: "us-east-1",
            service: "service",
            rules,
            content_sha256: self.sign_body,
        };
        let headers: Vec<(&str, &[u8])> =
            self.headers.iter().map(|(n, v)| (n.as_str(), v.as_bytes())).collect();
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let request = Request {
            method: &self.method,
            path,
            query,
            headers: &headers,
            body: Body::Bytes(self.body.as_bytes()),
        };

        let added = sign(&signer, &request, now).unwrap();
        let authorization = &added.last().unwrap().1;
        assert!(
            authorization.ends_with(&format!("Signature={}", self.header_signature)),
            "{}: header",
            self.name
        );
        let mut all = headers.clone();
        all.extend(added.iter().map(|(name, value)| (*name, value.as_bytes())));
        if let Some(token) = self.session_token.as_deref().filter(|_| self.omit_session_token) {
            all.push(("X-Amz-Security-Token", token.as_bytes()));
        }
        let signed = self.accept(&Request { headers: &all, ..request }, &secret, &rules);
        if let Some(canonical) = canonical {
            assert_eq!(signed, canonical.header, "{}: header", self.name);
        }

        let (_, signed_query) = self.signed_target.split_once('?').unwrap();
        let signed = self.accept(&Request { query: signed_query, ..request }, &secret, &rules);
        if !self.omit_session_token {
            assert_eq!(presign(&signer, &request, now, 3600).unwrap(), signed_query, "{}: query", self.name);
            if let Some(canonical) = canonical {
                assert_eq!(signed, canonical.query, "{}: query", self.name);
            }
        }
    }

    fn accept(&self, request: &Request<'_>, secret: &SecretKey, rules: &Rules) -> String {
        let signed = SignedRequest::parse(request).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        assert_eq!(signed.access_key_id(), "AKIDEXAMPLE");
        assert_eq!(signed.security_token(), self.session_token.as_deref());
        let cache = KeyCache::new();
        assert_eq!(signed.verify(secret, &cache, rules), Ok(()), "{}", self.name);
        signed.verify(&SecretKey::from("another"), &KeyCache::new(), rules).unwrap_err();
        signed.canonical_request(rules).unwrap()
    }
}

#[test]
fn recorded_tokens() {
    let tokens: Tokens = serde_json::from_str(include_str!("data/tokens.json")).unwrap();
    assert_eq!(tokens.tokens.len(), 11);
    tokens.tokens.iter().for_each(TokenVector::check);
}

#[test]
fn aws_signing_test_suite() {
    let suite: Suite = serde_json::from_str(include_str!("data/suite.json")).unwrap();
    assert_eq!(suite.cases.len(), 38);
    suite.cases.iter().for_each(|case| case.check(None));
}

#[test]
fn originals_when_their_directory_is_named() {
    let Some(directory) = std::env::var_os("COUNTERSIGN_VECTORS").map(PathBuf::from) else { return };
    for origin in ["published", "generated"] {
        let text = fs::read_to_string(directory.join("tokens").join(origin).with_extension("json")).unwrap();
        for vector in serde_json::from_str::<Vec<TokenVector>>(&text).unwrap() {
            TokenVector { origin: origin.to_owned(), ..vector }.check();
        }
    }
    let folders = fs::read_dir(directory.join("sigv4")).unwrap().map(|entry| entry.unwrap().path());
    let mut seen = 0;
    for folder in folders.filter(|path| path.is_dir()) {
        let (case, canonical) = original(&folder);
        case.check(Some(&canonical));
        seen += 1;
    }
    assert!(seen >= 38, "only {seen} cases in {}", directory.display());
}

fn original(folder: &Path) -> (Case, Canonical) {
    #[derive(Deserialize)]
    struct Context {
        credentials: Credentials,
        normalize: bool,
        sign_body: bool,
        #[serde(default)]
        omit_session_token: bool,
    }
    #[derive(Deserialize)]
    struct Credentials {
        token: Option<String>,
    }
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let context: Context = serde_json::from_str(&read("context.json")).unwrap();
    let (method, target, headers, body) = http(&read("request.txt"));
    let (_, signed_target, ..) = http(&read("query-signed-request.txt"));
    let case = Case {
        name: folder.file_name().unwrap().to_string_lossy().into_owned(),
        method,
        target,
        headers,
        body,
        normalize: context.normalize,
        sign_body: context.sign_body,
        session_token: context.credentials.token,
        omit_session_token: context.omit_session_token,
        header_signature: read("header-signature.txt").trim().to_owned(),
        signed_target,
    };
    (
        case,
        Canonical {
            header: read("header-canonical-request.txt"),
            query: read("query-canonical-request.txt"),
        },
    )
}

fn http(text: &str) -> (String, String, Vec<(String, String)>, String) {
    let (head, body) = text.split_once("\n\n").unwrap_or((text.trim_end(), ""));
    let mut lines = head.lines();
    let first = lines.next().unwrap().strip_suffix(" HTTP/1.1").unwrap();
    let (method, target) = first.split_once(' ').unwrap();
    let mut headers: Vec<(String, String)> = Vec::new();
    for line in lines {
        if line.starts_with(' ') {
            let folded = &mut headers.last_mut().unwrap().1;
            folded.push('\n');
            folded.push_str(line);
        } else {
            let (name, value) = line.split_once(':').unwrap();
            headers.push((name.to_owned(), value.to_owned()));
        }
    }
    (method.to_owned(), target.to_owned(), headers, body.to_owned())
}
