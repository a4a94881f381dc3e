//! What a database token may look like and what it may not: one test for each SDK's spelling and one for each
//! reason to refuse.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use sigv4::{
    Decoy, KeyCache, SecretKey, SigningKey, Timestamp,
    rds_token::{Parameter, Token, TokenError, TokenErrorClass, TokenRequest, sign},
};

const NONE: &[&str] = &[];
const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const NOW: &str = "20260101T000000Z";
const CREDENTIAL: &str = "AKIAIOSFODNN7EXAMPLE%2F20260101%2Feu-west-1%2Frds-db%2Faws4_request";
const GOOD: &str = "db.example.com:5432/?Action=connect&DBUser=app&X-Amz-Algorithm=AWS4-HMAC-SHA256\
    &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20260101%2Feu-west-1%2Frds-db%2Faws4_request\
    &X-Amz-Date=20260101T000000Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host\
    &X-Amz-Signature=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Signs as the specification words it, apart from the crate under test. `canonical` holds the encoded user
/// and the validity, `host` is the signed spelling.
fn signature(host: &str, user: &str, expires: u32, session: Option<&str>) -> String {
    let session = session.map(|token| format!("&X-Amz-Security-Token={token}")).unwrap_or_default();
    let request = format!(
        "GET\n/\nAction=connect&DBUser={user}&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={CREDENTIAL}\
         &X-Amz-Date={NOW}&X-Amz-Expires={expires}{session}&X-Amz-SignedHeaders=host\nhost:{host}\n\nhost\n\
         e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
    let text = format!(
        "AWS4-HMAC-SHA256\n{NOW}\n20260101/eu-west-1/rds-db/aws4_request\n{}",
        hex(&Sha256::digest(request))
    );
    let mut key = format!("AWS4{SECRET}").into_bytes();
    for message in ["20260101", "eu-west-1", "rds-db", "aws4_request", &text] {
        key = Hmac::<Sha256>::new_from_slice(&key)
            .unwrap()
            .chain_update(message)
            .finalize()
            .into_bytes()
            .to_vec();
    }
    hex(&key)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[track_caller]
fn accept_with(text: &str, host: &str, port: u16, user: &str, spellings: &[&str]) {
    let token = Token::parse(text).unwrap();
    assert!(token.is_for_endpoint(host, port), "{token:?}");
    assert!(token.user_eq(user), "{token:?}");
    assert_eq!(token.verify(&SecretKey::from(SECRET), &KeyCache::new(), spellings), Ok(()));
    assert_eq!(
        token.verify(&SecretKey::from("another"), &KeyCache::new(), spellings),
        Err(TokenError::SignatureMismatch)
    );
}

#[track_caller]
fn accept(text: &str, host: &str, port: u16, user: &str) {
    accept_with(text, host, port, user, NONE);
}

#[track_caller]
fn refuse(text: &str, reason: TokenError) {
    assert_eq!(Token::parse(text).unwrap_err(), reason, "{text}");
}

mod sdk {
    use super::*;

    #[test]
    fn botocore_signs_the_host_lower_cased() {
        let text = format!(
            "MyDB.Example.COM:5432/?Action=connect&DBUser=app&X-Amz-Algorithm=AWS4-HMAC-SHA256\
             &X-Amz-Credential={CREDENTIAL}&X-Amz-Date={NOW}&X-Amz-Expires=900&X-Amz-SignedHeaders=host\
             &X-Amz-Signature={}",
            signature("mydb.example.com:5432", "app", 900, None)
        );
        accept(&text, "mydb.example.com", 5432, "app");
    }

    #[test]
    fn botocore_shows_443_and_signs_without_it() {
        let text = format!(
            "MyDB.example.com:443/?Action=connect&DBUser=app&X-Amz-Algorithm=AWS4-HMAC-SHA256\
             &X-Amz-Credential={CREDENTIAL}&X-Amz-Date={NOW}&X-Amz-Expires=900&X-Amz-SignedHeaders=host\
             &X-Amz-Security-Token=a%2Fb%2Bc%3D%3D&X-Amz-Signature={}",
            signature("mydb.example.com", "app", 900, Some("a%2Fb%2Bc%3D%3D"))
        );
        accept(&text, "mydb.example.com", 443, "app");
    }

    #[test]
    fn javascript_v3_keeps_case_and_port_and_sorts() {
        for (host, port) in [("MyDB.Example.COM", 5432), ("db.example.com", 443)] {
            let text = format!(
                "{host}:{port}/?Action=connect&DBUser=app&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={CREDENTIAL}\
                 &X-Amz-Date={NOW}&X-Amz-Expires=900&X-Amz-Security-Token=t%3D&X-Amz-Signature={}&X-Amz-SignedHeaders=host",
                signature(&format!("{host}:{port}"), "app", 900, Some("t%3D"))
            );
            accept(&text, host, port, "app");
        }
    }

    #[test]
    fn rust_leaves_the_user_raw_and_puts_the_session_token_last() {
        let text = format!(
            "db.example.com:5432/?Action=connect&DBUser=j*(a)~@x.com&X-Amz-Algorithm=AWS4-HMAC-SHA256\
             &X-Amz-Credential={CREDENTIAL}&X-Amz-Date={NOW}&X-Amz-Expires=900&X-Amz-SignedHeaders=host\
             &X-Amz-Signature={}&X-Amz-Security-Token=t%2F",
            signature("db.example.com:5432", "j%2A%28a%29~%40x.com", 900, Some("t%2F"))
        );
        accept(&text, "db.example.com", 5432, "j*(a)~@x.com");
    }

    #[test]
    fn rust_signs_a_raw_plus_as_a_space() {
        let text = format!(
            "db.example.com:5432/?Action=connect&DBUser=jane+test@x.com&X-Amz-Algorithm=AWS4-HMAC-SHA256\
             &X-Amz-Credential={CREDENTIAL}&X-Amz-Date={NOW}&X-Amz-Expires=900&X-Amz-SignedHeaders=host\
             &X-Amz-Signature={}",
            signature("db.example.com:5432", "jane%20test%40x.com", 900, None)
        );
        accept(&text, "db.example.com", 5432, "jane+test@x.com");
    }

    #[test]
    fn rust_lower_cases_the_text_but_signs_as_typed() {
        for (port_text, port) in [(":5432", 5432), ("", 443)] {
            let text = format!(
                "mydb.example.com{port_text}/?Action=connect&DBUser=app&X-Amz-Algorithm=AWS4-HMAC-SHA256\
                 &X-Amz-Credential={CREDENTIAL}&X-Amz-Date={NOW}&X-Amz-Expires=900&X-Amz-SignedHeaders=host\
                 &X-Amz-Signature={}",
                signature(&format!("MyDB.Example.COM{port_text}"), "app", 900, None)
            );
            accept_with(&text, "mydb.example.com", port, "app", &[&format!("MyDB.Example.COM:{port}")]);
            let token = Token::parse(&text).unwrap();
            let unregistered =
                token.verify(&SecretKey::from(SECRET), &KeyCache::new(), &["mydb.example.com:5432"]);
            assert_eq!(unregistered, Err(TokenError::SignatureMismatch));
        }
    }

    #[test]
    fn java_v2_begins_with_the_user() {
        let text = format!(
            "db.example.com:5432/?DBUser=app&Action=connect&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date={NOW}\
             &X-Amz-SignedHeaders=host&X-Amz-Expires=900&X-Amz-Credential={CREDENTIAL}&X-Amz-Signature={}",
            signature("db.example.com:5432", "app", 900, None)
        );
        accept(&text, "db.example.com", 5432, "app");
    }

    #[test]
    fn java_v1_is_valid_for_899_seconds() {
        let text = format!(
            "db.example.com:5432/?DBUser=app&Action=connect&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date={NOW}\
             &X-Amz-SignedHeaders=host&X-Amz-Expires=899&X-Amz-Credential={CREDENTIAL}&X-Amz-Signature={}",
            signature("db.example.com:5432", "app", 899, None)
        );
        accept(&text, "db.example.com", 5432, "app");
    }

    #[test]
    fn go_kotlin_and_cpp_have_no_slash() {
        let text = format!(
            "db.example.com:5432?Action=connect&DBUser=a%20b&X-Amz-Algorithm=AWS4-HMAC-SHA256\
             &X-Amz-Credential={CREDENTIAL}&X-Amz-Date={NOW}&X-Amz-Expires=900&X-Amz-SignedHeaders=host\
             &X-Amz-Signature={}",
            signature("db.example.com:5432", "a%20b", 900, None)
        );
        accept(&text, "db.example.com", 5432, "a b");
    }

    #[test]
    fn dotnet_drops_443_from_the_text_and_signs_it() {
        let text = format!(
            "db.example.com/?X-Amz-Expires=900&Action=connect&DBUser=app&X-Amz-Algorithm=AWS4-HMAC-SHA256\
             &X-Amz-Credential={CREDENTIAL}&X-Amz-Date={NOW}&X-Amz-SignedHeaders=host&X-Amz-Signature={}",
            signature("db.example.com:443", "app", 900, None)
        );
        accept(&text, "db.example.com", 443, "app");
    }

    #[test]
    fn php_leaves_the_user_raw_and_the_session_token_early() {
        let text = format!(
            "db.example.com:5432/?Action=connect&DBUser=jane é@x&X-Amz-Security-Token=t%2F%3D\
             &X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={CREDENTIAL}&X-Amz-Date={NOW}\
             &X-Amz-SignedHeaders=host&X-Amz-Expires=900&X-Amz-Signature={}",
            signature("db.example.com:5432", "jane%20%C3%A9%40x", 900, Some("t%2F%3D"))
        );
        accept(&text, "db.example.com", 5432, "jane é@x");
    }

    #[test]
    fn kong_begins_with_the_signature() {
        let text = format!(
            "db.example.com:443/?X-Amz-Signature={}&Action=connect&DBUser=app&X-Amz-Algorithm=AWS4-HMAC-SHA256\
             &X-Amz-Credential={CREDENTIAL}&X-Amz-Date={NOW}&X-Amz-Expires=900&X-Amz-SignedHeaders=host",
            signature("db.example.com:443", "app", 900, None)
        );
        accept(&text, "db.example.com", 443, "app");
    }

    #[test]
    fn the_scheme_and_lower_case_escapes_do_no_harm() {
        let text = format!(
            "https://db.example.com:5432/?Action=connect&DBUser=%61%2fb&X-Amz-Algorithm=AWS4-HMAC-SHA256\
             &X-Amz-Credential={}&X-Amz-Date={NOW}&X-Amz-Expires=900&X-Amz-SignedHeaders=host&X-Amz-Signature={}",
            CREDENTIAL.replace("%2F", "/"),
            signature("db.example.com:5432", "a%2Fb", 900, None).to_uppercase()
        );
        accept(&text, "db.example.com", 5432, "a/b");
    }
}

mod refused {
    use super::*;

    #[test]
    fn a_password() {
        for text in ["", "hunter2", "what?", "a?b=c", "p@ss?word&x", "db.example.com:5432/"] {
            refuse(text, TokenError::NotAToken);
        }
    }

    #[test]
    fn a_token_cut_anywhere_behind_its_first_parameter() {
        let after = GOOD.find("&DBUser").unwrap();
        for end in after + 1..GOOD.len() {
            refuse(&GOOD[..end], TokenError::Truncated);
        }
        assert!(Token::parse(GOOD).is_ok());
    }

    #[test]
    fn more_than_64_kib() {
        refuse(&format!("{GOOD}&X-Amz-Security-Token={}", "a".repeat(64 * 1024)), TokenError::TooLong);
    }

    #[test]
    fn a_host_that_is_none() {
        for host in [
            "",
            ":5432",
            "db.example.com:",
            "db:0",
            "db:65536",
            "db:05432",
            "db:+1",
            "u@db:5432",
            "::1:5432",
            "[::1:5432",
            "[]:5432",
            "[::1]5432",
            "db:5432/x",
            "d b:5432",
            "db\n:5432",
            "http://db:5432",
        ] {
            refuse(&GOOD.replace("db.example.com:5432", host), TokenError::MalformedHost);
        }
        let ipv6 = GOOD.replace("db.example.com", "[2001:db8::1]");
        assert_eq!(Token::parse(&ipv6).unwrap().host(), "[2001:db8::1]");
    }

    #[test]
    fn a_parameter_twice() {
        refuse(&format!("{GOOD}&DBUser=app"), TokenError::DuplicateParameter);
        refuse(&GOOD.replace("DBUser=app", "DBUser=app&DBUser=root"), TokenError::DuplicateParameter);
    }

    #[test]
    fn a_parameter_that_tokens_do_not_have() {
        refuse(&format!("{GOOD}&Extra=1"), TokenError::UnknownParameter);
        refuse(&GOOD.replace("DBUser", "dbuser"), TokenError::UnknownParameter);
        refuse(&GOOD.replace("DBUser=app", "DBUser=app&"), TokenError::UnknownParameter);
        refuse(&GOOD.replace("DBUser=", "DB%55ser="), TokenError::UnknownParameter);
    }

    #[test]
    fn a_parameter_missing_or_empty() {
        use Parameter::*;
        for (piece, parameter) in [
            ("Action=connect&", Action),
            ("DBUser=app&", DbUser),
            ("X-Amz-Algorithm=AWS4-HMAC-SHA256&", Algorithm),
            ("X-Amz-Date=20260101T000000Z&", Date),
            ("X-Amz-Expires=900&", Expires),
            ("X-Amz-SignedHeaders=host&", SignedHeaders),
        ] {
            refuse(&GOOD.replace(piece, ""), TokenError::MissingParameter(parameter));
        }
        refuse(
            &GOOD.replace(&format!("X-Amz-Credential={CREDENTIAL}&"), ""),
            TokenError::MissingParameter(Credential),
        );
        refuse(&GOOD.replace("DBUser=app", "DBUser="), TokenError::MissingParameter(DbUser));
    }

    #[test]
    fn text_that_is_not_percent_encoded_utf8() {
        for user in ["a%", "a%4", "a%zz", "%ff", "%c3", "%C3x", "%ED%A0%80", "%F4%90%80%80", "%C0%80"] {
            refuse(&GOOD.replace("DBUser=app", &format!("DBUser={user}")), TokenError::MalformedEncoding);
        }
    }

    #[test]
    fn another_algorithm() {
        for algorithm in ["AWS4-ECDSA-P256-SHA256", "aws4-hmac-sha256", "none"] {
            refuse(&GOOD.replace("AWS4-HMAC-SHA256", algorithm), TokenError::Algorithm);
        }
    }

    #[test]
    fn other_signed_headers() {
        for headers in ["action;dbuser;host", "action%3Bdbuser%3Bhost", "Host", "host;x-amz-date", "x"] {
            refuse(&GOOD.replace("Headers=host", &format!("Headers={headers}")), TokenError::SignedHeaders);
        }
    }

    #[test]
    fn a_malformed_credential() {
        for credential in [
            "x",
            "a/b/c/d/e",
            "AKIA/20260101/eu-west-1/rds-db/aws4_request/",
            "AKIA/20260101/eu-west-1/rds-db",
        ] {
            refuse(&GOOD.replace(CREDENTIAL, credential), TokenError::MalformedCredential);
        }
    }

    #[test]
    fn another_service() {
        for service in ["rds", "dsql", "sts"] {
            refuse(&GOOD.replace("rds-db", service), TokenError::WrongService);
        }
    }

    #[test]
    fn a_scope_of_another_day() {
        refuse(&GOOD.replace("%2F20260101%2F", "%2F20260102%2F"), TokenError::ScopeDateMismatch);
    }

    #[test]
    fn another_action() {
        for action in ["DbConnect", "Connect", "GetCallerIdentity"] {
            refuse(&GOOD.replace("Action=connect", &format!("Action={action}")), TokenError::WrongAction);
        }
    }

    #[test]
    fn a_malformed_signature() {
        refuse(&GOOD.replace("=0123", "=g123"), TokenError::MalformedSignature);
        refuse(&format!("{GOOD}0"), TokenError::MalformedSignature);
        refuse(&format!("{GOOD}\n"), TokenError::MalformedSignature);
    }

    #[test]
    fn a_malformed_date() {
        for date in ["2026-01-01T00:00:00Z", "20260101T250000Z", "20260101"] {
            refuse(&GOOD.replace(NOW, date), TokenError::MalformedDate);
        }
    }

    #[test]
    fn a_validity_that_is_no_number_or_out_of_range() {
        for text in ["abc", "-1", "+900", "9e2", "900.0"] {
            refuse(&GOOD.replace("Expires=900", &format!("Expires={text}")), TokenError::MalformedExpires);
        }
        for seconds in ["0", "901", "604800", "99999999999999999999"] {
            refuse(
                &GOOD.replace("Expires=900", &format!("Expires={seconds}")),
                TokenError::ExpiresOutOfRange,
            );
        }
    }

    #[test]
    fn outside_its_time() {
        let token = Token::parse(GOOD).unwrap();
        let at = |seconds| token.check_time(Timestamp::parse_amz(NOW).unwrap().saturating_add(seconds));
        assert_eq!(at(-301), Err(TokenError::NotYetValid));
        assert_eq!(at(-300), Ok(()));
        assert_eq!(at(900), Ok(()));
        assert_eq!(at(901), Err(TokenError::Expired));
        assert_eq!(at(-365 * 86_400), Err(TokenError::NotYetValid));
        assert_eq!(TokenError::Expired.class(), TokenErrorClass::Time);
    }

    #[test]
    fn signed_by_somebody_else_or_for_something_else() {
        let secret = SecretKey::from(SECRET);
        let request = TokenRequest {
            host: "db.example.com",
            port: 5432,
            user: "app",
            region: "eu-west-1",
            access_key_id: KEY,
            secret: &secret,
            session_token: Some("token"),
            issued_at: Timestamp::parse_amz(NOW).unwrap(),
            expires: 900,
        };
        let verify = |text: &str| Token::parse(text).unwrap().verify(&secret, &KeyCache::new(), NONE);
        let text = sign(&request).unwrap();
        assert_eq!(verify(&text), Ok(()));
        for (from, to) in [
            ("DBUser=app", "DBUser=root"),
            ("db.example", "dc.example"),
            (":5432", ":5433"),
            ("eu-west-1", "eu-west-2"),
            ("EXAMPLE", "EXAMPLF"),
            ("Expires=900", "Expires=899"),
            ("T000000Z", "T000001Z"),
            ("Token=token", "Token=tokem"),
            ("&X-Amz-Security-Token=token", ""),
        ] {
            assert_eq!(verify(&text.replace(from, to)), Err(TokenError::SignatureMismatch), "{from}");
        }
        let key_as_secret = SecretKey::from(KEY);
        let text = sign(&TokenRequest { secret: &key_as_secret, ..request }).unwrap();
        assert_eq!(verify(&text), Err(TokenError::SignatureMismatch));
    }

    #[test]
    fn an_unknown_key_even_when_the_decoy_s_secret_is_used() {
        let decoy_secret = SecretKey::from_bytes(&[0; 40]);
        let text = sign(&TokenRequest {
            host: "db",
            port: 1,
            user: "u",
            region: "r",
            access_key_id: "K",
            secret: &decoy_secret,
            session_token: None,
            issued_at: Timestamp::parse_amz(NOW).unwrap(),
            expires: 1,
        });
        let text = text.unwrap();
        let token = Token::parse(&text).unwrap();
        assert_eq!(token.verify(&decoy_secret, &KeyCache::new(), NONE), Ok(()));
        assert_eq!(token.verify_decoy(&Decoy::new(), NONE), TokenError::SignatureMismatch);
    }

    #[test]
    fn what_cannot_be_signed() {
        let secret = SecretKey::from(SECRET);
        let request = TokenRequest {
            host: "db",
            port: 5432,
            user: "u",
            region: "r",
            access_key_id: "K",
            secret: &secret,
            session_token: None,
            issued_at: Timestamp::parse_amz(NOW).unwrap(),
            expires: 900,
        };
        assert_eq!(sign(&TokenRequest { host: "d b", ..request }), Err(TokenError::MalformedHost));
        assert_eq!(sign(&TokenRequest { host: "db?x=y", ..request }), Err(TokenError::UnknownParameter));
        assert_eq!(sign(&TokenRequest { expires: 901, ..request }), Err(TokenError::ExpiresOutOfRange));
        assert_eq!(sign(&TokenRequest { region: "", ..request }), Err(TokenError::MalformedCredential));
        assert_eq!(
            sign(&TokenRequest { user: "", ..request }),
            Err(TokenError::MissingParameter(Parameter::DbUser))
        );
    }
}

#[test]
fn a_derived_key_verifies_without_the_secret() {
    let text = GOOD.replace(&GOOD[GOOD.len() - 64..], &signature("db.example.com:5432", "app", 900, None));
    let token = Token::parse(&text).unwrap();
    let key = SigningKey::derive(&SecretKey::from(SECRET), "20260101", "eu-west-1", "rds-db");
    assert_eq!(token.verify_with_key(&SigningKey::from_bytes(*key.expose()), NONE), Ok(()));
    let debug = format!("{token:?} {key:?}");
    assert!(debug.contains("app") && !debug.contains(&text[text.len() - 64..]), "{debug}");
}
