//! How long a login takes to decide, parse to policy: with a long-term key, with a session, and with many principals; by a
//! policy with a variable and a condition, and by one without.
//!
//! Beside it, in the same run, one SHA-256 over the token: what any check of it costs at least.

#![allow(missing_docs, clippy::unwrap_used)]

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use iam::{
    AccessKeyId, Credential, Database, Decision, Holder, IdKind, KeyKind, NamedPolicy, Naming, Policies,
    ResourceId, ResourceKind, Role, SecurityToken, SessionCredential, Snapshot, UniqueId, User, may_connect,
};
use sigv4::rds_token::{TokenRequest, sign};
use sigv4::{KeyCache, SecretKey, Timestamp};
use std::hint::black_box;
use zeroize::Zeroizing;

const NOW: i64 = 1_767_225_600;

fn secret() -> SecretKey {
    SecretKey::from_bytes(b"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
}

fn bytes<const N: usize>(number: u32) -> [u8; N] {
    let mut bytes = [0; N];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = (number >> ((index % 6) * 5)) as u8;
    }
    bytes
}

/// The policy that everybody has.
const POLICY: &str = "arn:aws:iam::123456789012:policy/connect";

fn put_policy(editor: &mut iam::Editor, id: &ResourceId, user: &str, condition: &str) {
    let document = format!(
        r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "Allow", "Action": "rds-db:connect",
            "Resource": "arn:aws:rds-db:us-east-1:123456789012:dbuser:{id}/{user}", "Condition": {condition}}}}}"#
    );
    editor
        .put_policy(POLICY.parse().unwrap(), NamedPolicy::compile(POLICY, &document, policy::Kind::Managed));
}

fn world(principals: u32) -> (Snapshot, ResourceId) {
    let account = "123456789012".parse().unwrap();
    let region: iam::Region = "us-east-1".parse().unwrap();
    let id = ResourceId::generate(ResourceKind::Instance, [1; 16]);
    let mut editor = Snapshot::new(account).edit();
    let endpoints = Naming::new(account, None).endpoints(None, &["mydb"], &region, 5432);
    editor.put_database(Database::new(id.clone(), region, account, true, endpoints));
    let arn: iam::Arn = POLICY.parse().unwrap();
    put_policy(
        &mut editor,
        &id,
        "${aws:PrincipalTag/dbuser}",
        r#"{"Bool": {"aws:SecureTransport": "true"}}"#,
    );
    let tags: iam::Tags = [("dbuser", "jane")].into_iter().collect();
    let policies = Policies { managed: Box::new([arn]), inline: Box::default() };
    for number in 0..principals {
        let name: std::sync::Arc<str> = format!("user{number}").into();
        editor.put_user(
            &name,
            User {
                arn: format!("arn:aws:iam::123456789012:user/{name}").parse().unwrap(),
                name: name.clone(),
                id: UniqueId::generate(IdKind::User, &bytes(number)),
                policies: policies.clone(),
                groups: Box::default(),
                boundary: None,
                tags: tags.clone(),
            },
        );
        editor.put_credential(Credential {
            id: AccessKeyId::generate(KeyKind::LongTerm, &bytes(number)),
            secret: secret(),
            keys: KeyCache::new(),
            active: true,
            session: None,
            holder: Holder::User { name, id: None },
        });
    }
    let role_id = UniqueId::generate(IdKind::Role, &[3; 17]);
    let role_arn = "arn:aws:iam::123456789012:role/reader".parse().unwrap();
    editor.put_role("reader", Role { arn: role_arn, id: role_id, policies, boundary: None, tags });
    editor.put_credential(Credential {
        id: AccessKeyId::generate(KeyKind::Temporary, &[2; 16]),
        secret: secret(),
        keys: KeyCache::new(),
        active: true,
        session: Some(SessionCredential {
            token: SecurityToken::new(Zeroizing::new(session_token().into_bytes())),
            issued: Timestamp::from_unix(NOW),
            expires: Timestamp::from_unix(NOW + 3600),
            policies: None,
            tags: iam::Tags::default(),
        }),
        holder: Holder::Role {
            name: "reader".into(),
            id: role_id,
            arn: "arn:aws:sts::123456789012:assumed-role/reader/job".parse().unwrap(),
            user_id: format!("{role_id}:job").into(),
        },
    });
    (editor.finish(1), id)
}

/// As long as those that AssumeRole gives out here.
fn session_token() -> String {
    "FwoGZXIvYXdz".to_owned() + &"Q0l8/+abcdef".repeat(12)
}

fn token(key: AccessKeyId, session_token: Option<&str>) -> String {
    sign(&TokenRequest {
        host: "localhost",
        port: 5432,
        user: "jane",
        region: "us-east-1",
        access_key_id: key.as_str(),
        secret: &secret(),
        session_token,
        issued_at: Timestamp::from_unix(NOW),
        expires: 900,
    })
    .unwrap()
}

fn decides(snapshot: &Snapshot, id: &ResourceId, token: &str) -> bool {
    let request = iam::ConnectRequest { database: id.as_str(), user: "jane", token, source_ip: None };
    matches!(may_connect(snapshot, Timestamp::from_unix(NOW), &request), Decision::Allowed(_))
}

fn connect(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("may_connect");
    for principals in [1_000, 1_000_000] {
        let (snapshot, id) = world(principals);
        let long_term = token(AccessKeyId::generate(KeyKind::LongTerm, &bytes(principals / 2)), None);
        let session = token(AccessKeyId::generate(KeyKind::Temporary, &[2; 16]), Some(&session_token()));
        for (name, token) in [("long-term key", &long_term), ("session", &session)] {
            assert!(decides(&snapshot, &id, token));
            group.bench_with_input(BenchmarkId::new(name, principals), token, |bencher, token| {
                bencher.iter(|| decides(&snapshot, &id, black_box(token)));
            });
        }
        if principals == 1_000 {
            let mut editor = snapshot.edit();
            put_policy(&mut editor, &id, "jane", "{}");
            let literal = editor.finish(2);
            assert!(decides(&literal, &id, &long_term));
            group.bench_function("long-term key, policy without variable and condition", |bencher| {
                bencher.iter(|| decides(&literal, &id, black_box(&long_term)));
            });
            for (name, token) in
                [("sha256 of a long-term token", &long_term), ("sha256 of a session token", &session)]
            {
                group.bench_function(name, |bencher| {
                    bencher.iter(|| <sha2::Sha256 as sha2::Digest>::digest(black_box(token.as_bytes())));
                });
            }
        }
    }
    group.finish();
}

criterion_group!(benches, connect);
criterion_main!(benches);
