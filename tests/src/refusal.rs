//! What the refusals of all kinds of databases have in common: the tokens that must not do, sessions past their end, and
//! something else that answers in Countersign's place.

use crate::{Key, Server, Token};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use store::records::Session;
use store::{Change, EmbeddedStore, Outcome, Records};
use time::OffsetDateTime;

/// A password that must be refused.
pub struct BadToken {
    /// What is wrong with it.
    pub what: &'static str,
    /// The password.
    pub text: String,
    /// The reason in the audit trail.
    pub reason: &'static str,
}

/// Tokens that are wrong in themselves, or for something else, made of a good one. `other_port` is another instance's.
pub fn bad_tokens(good: &Token, other_port: u16) -> Vec<BadToken> {
    let text = good.text();
    let token = |change: &dyn Fn(&mut Token)| {
        let mut token = good.clone();
        change(&mut token);
        token.text()
    };
    let unknown = Key { id: "AKIAIOSFODNN7EXAMPLE".to_owned(), ..good.key.clone() };
    let id = good.key.id.clone();
    let cases = [
        ("expired, by an hour", token(&|t| t.age = 3600), "expired"),
        ("expired, by seconds", token(&|t| t.age = 905), "expired"),
        ("expired, by its own shorter validity", token(&|t| (t.age, t.expires) = (65, 60)), "expired"),
        ("X-Amz-Expires of 901 s", token(&|t| t.expires = 901), "expires-out-of-range"),
        ("X-Amz-Expires of a week", token(&|t| t.expires = 604_800), "expires-out-of-range"),
        ("X-Amz-Expires of 0", token(&|t| t.expires = 0), "expires-out-of-range"),
        ("dated ahead, by ten minutes", token(&|t| t.age = -600), "not-yet-valid"),
        ("dated ahead, by a year", token(&|t| t.age = -31_536_000), "not-yet-valid"),
        ("wrong secret", token(&|t| t.key.secret = "x".repeat(40)), "signature-mismatch"),
        ("the key's id as secret", token(&|t| t.key.secret.clone_from(&id)), "signature-mismatch"),
        ("an unknown key", token(&|t| t.key = unknown.clone()), "unknown-access-key"),
        ("another user's token", token(&|t| t.user = "otheruser".to_owned()), "wrong-user"),
        ("the user in capitals", token(&|t| t.user = t.user.to_uppercase()), "wrong-user"),
        ("another instance's port", token(&|t| t.port = other_port), "wrong-endpoint"),
        ("another host", token(&|t| t.host = "otherdb.example.com".to_owned()), "wrong-endpoint"),
        ("another region", token(&|t| t.region = "eu-west-1".to_owned()), "wrong-region"),
        ("service rds", token(&|t| t.service = "rds".to_owned()), "wrong-service"),
        ("another action", token(&|t| t.action = "DbConnect".to_owned()), "wrong-action"),
        (
            "other signed headers",
            token(&|t| t.signed_headers = "action;dbuser;host".to_owned()),
            "signed-headers",
        ),
        (
            "a session token beside a long-term key",
            token(&|t| t.key.session = Some("x".repeat(100))),
            "security-token",
        ),
        ("cut short in the signature", text[..text.len() - 10].to_owned(), "truncated"),
        ("cut short before the signature", text[..text.len() - 100].to_owned(), "truncated"),
        ("cut short in the query", text[..60].to_owned(), "truncated"),
        ("a password", "Old-pass-1".to_owned(), "not-a-token"),
        ("an empty query", format!("{}:{}/?", good.host, good.port), "not-a-token"),
        ("a parameter twice", format!("{text}&Action=connect"), "duplicate-parameter"),
        ("a parameter more", format!("{text}&a=b"), "unknown-parameter"),
        ("too long", format!("{text}{}", "0".repeat(60_000)), "malformed-signature"),
    ];
    cases.map(|(what, text, reason)| BadToken { what, text, reason }).into()
}

/// Makes a temporary credential have ended a minute ago, in the store of a server that is stopped: the shortest lives for
/// 15 minutes.
pub fn end_session(server: &Server, key: &Key) {
    let store = server.data_dir().join("store.redb");
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let records = Records::new(Arc::new(EmbeddedStore::open(&store).unwrap()));
        let session = records.get::<Session>(&key.id).await.unwrap().expect("the session is kept");
        let ended =
            Session { expires: OffsetDateTime::now_utc() - time::Duration::MINUTE, ..session.record.clone() };
        let outcome = records.commit(Change::new().replace(&session, &ended).unwrap()).await.unwrap();
        assert!(matches!(outcome, Outcome::Committed(_)));
    });
}

/// Listens where Countersign would, and gives one caller an answer whatever is asked.
pub fn impostor(socket: &Path, answer: &'static [u8]) -> JoinHandle<()> {
    drop(std::fs::remove_file(socket));
    let listener = UnixListener::bind(socket).unwrap();
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o777)).unwrap();
    std::thread::spawn(move || answer_anything(listener.accept().unwrap().0, answer))
}

/// Gives the caller an answer.
pub fn answer_anything(mut stream: impl Read + Write, answer: &[u8]) {
    // The question first, and whatever becomes of the answer: the caller may have left.
    let asked = stream.read(&mut [0; 70_000]);
    drop(asked.and_then(|_| stream.write_all(answer)));
}
