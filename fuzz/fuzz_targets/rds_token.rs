//! Arbitrary bytes as a database token: never a panic, and what is read can be said again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sigv4::{
    KeyCache, SecretKey,
    rds_token::{Token, TokenError, TokenRequest, sign},
};

const NONE: &[&str] = &[];

fuzz_target!(|text: &str| {
    let Ok(token) = Token::parse(text) else { return };
    let user = token.user();
    assert!(token.user_eq(&user));
    let secret = SecretKey::from("no vector has this secret");
    let refused = token.verify(&secret, &KeyCache::new(), &["DB.example.com:443"]);
    assert!(matches!(refused, Err(TokenError::SignatureMismatch | TokenError::MalformedEncoding)));

    let spelled = token.security_token_encoded().map(sigv4::encode::percent_decode);
    let session_token = spelled.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok());
    let ours = sign(&TokenRequest {
        host: token.host(),
        port: token.port(),
        user: &user,
        region: token.region(),
        access_key_id: token.access_key_id(),
        secret: &secret,
        session_token,
        issued_at: token.issued_at(),
        expires: token.expires(),
    });
    // Canonical spelling can be up to three times as long, and then too long.
    let ours = match ours {
        Err(TokenError::TooLong) => return,
        ours => ours.unwrap(),
    };
    let again = Token::parse(&ours).unwrap();
    assert!(again.is_for_endpoint(token.host(), token.port()) && again.user_eq(&user));
    assert_eq!(
        (again.scope(), again.issued_at(), again.expires()),
        (token.scope(), token.issued_at(), token.expires())
    );
    assert_eq!(again.verify(&secret, &KeyCache::new(), NONE), Ok(()));
    assert!(session_token.is_none_or(|token| again.security_token_eq(token.as_bytes())));
});
