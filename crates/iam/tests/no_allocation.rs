//! A login is decided without touching the heap.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use iam::{
    AccessKeyId, Credential, Database, Decision, Holder, IdKind, KeyKind, NamedPolicy, Naming, Policies,
    ResourceId, ResourceKind, Snapshot, UniqueId, User, may_connect,
};
use sigv4::rds_token::{TokenRequest, sign};
use sigv4::{KeyCache, SecretKey, Timestamp};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

#[expect(unsafe_code, reason = "a global allocator cannot be had otherwise")]
// SAFETY: every call is passed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are handed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are handed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn neither_an_allowed_nor_a_refused_login_allocates() {
    const NOW: i64 = 1_767_225_600;
    let account = "123456789012".parse().unwrap();
    let region: iam::Region = "us-east-1".parse().unwrap();
    let id = ResourceId::generate(ResourceKind::Instance, [1; 16]);
    let key = AccessKeyId::generate(KeyKind::LongTerm, &[1; 16]);
    let secret = || SecretKey::from_bytes(b"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
    let document = format!(
        r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "Allow", "Action": "rds-db:connect",
            "Resource": "arn:aws:rds-db:us-east-1:123456789012:dbuser:{id}/${{aws:username}}",
            "Condition": {{"DateGreaterThan": {{"aws:CurrentTime": "2025"}}, "StringLike": {{"aws:CurrentTime": "202*"}},
                "StringEqualsIgnoreCase": {{"aws:PrincipalTag/team": "Blue"}}, "NotIpAddress": {{"aws:SourceIp": "10.0.0.0/8"}},
                "ArnLike": {{"aws:PrincipalArn": "arn:aws:iam::*:user/${{aws:username}}"}}}}}}}}"#
    );
    let mut editor = Snapshot::new(account).edit();
    let endpoints = Naming::new(account, None).endpoints(None, &["mydb"], &region, 5432);
    editor.put_database(Database::new(id.clone(), region, account, true, endpoints));
    editor.put_user(
        "jane",
        User {
            arn: "arn:aws:iam::123456789012:user/jane".parse().unwrap(),
            name: "jane".into(),
            id: UniqueId::generate(IdKind::User, &[1; 17]),
            policies: Policies {
                managed: Box::default(),
                inline: Box::new([NamedPolicy::compile("inline", &document, policy::Kind::Inline)]),
            },
            groups: Box::default(),
            boundary: None,
            tags: [("team", "BLUE")].into_iter().collect(),
        },
    );
    editor.put_credential(Credential {
        id: key,
        secret: secret(),
        keys: KeyCache::new(),
        active: true,
        session: None,
        holder: Holder::User { name: "jane".into(), id: None },
    });
    let snapshot = editor.finish(1);
    let token = sign(&TokenRequest {
        host: "localhost",
        port: 5432,
        user: "jane",
        region: "us-east-1",
        access_key_id: key.as_str(),
        secret: &secret(),
        session_token: None,
        issued_at: Timestamp::from_unix(NOW),
        expires: 900,
    })
    .unwrap();
    let decide = |user: &str| {
        let request = iam::ConnectRequest { database: id.as_str(), user, token: &token, source_ip: None };
        matches!(may_connect(&snapshot, Timestamp::from_unix(NOW), &request), Decision::Allowed(_))
    };
    assert!(decide("jane"), "the first one fills the memo of signing keys");
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    let (allowed, refused) = (decide("jane"), decide("john"));
    let after = ALLOCATIONS.load(Ordering::Relaxed);
    assert!(allowed && !refused);
    assert_eq!(after - before, 0);
}
