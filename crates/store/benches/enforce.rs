//! How long it takes until a changed policy is enforced, by how many principals have it: from the call that commits it to the
//! snapshot that refuses. With it, what a principal takes of memory, and what the whole snapshot took to be made.
//!
//! Beside it in the same run: the bare commit to the disk, which is part of each figure.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench that cannot write is no bench"
)]

use iam::{AccountId, Arn, IdKind, Naming, UniqueId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::records::{ManagedPolicy, PolicyVersion, User};
use store::{
    Change, EmbeddedStore, MasterKey, Operation, Outcome, Published, Record, Records, Store, Transaction,
    follow,
};
use time::OffsetDateTime;

const ARN: &str = "arn:aws:iam::123456789012:policy/connect";
const NOW: OffsetDateTime = time::macros::datetime!(2026-01-01 00:00 UTC);
/// How often the policy is changed.
const ROUNDS: usize = 31;

fn document(effect: &str) -> String {
    format!(
        r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "{effect}", "Action": "rds-db:connect",
            "Resource": "arn:aws:rds-db:us-east-1:123456789012:dbuser:*/${{aws:username}}",
            "Condition": {{"StringEquals": {{"aws:PrincipalTag/team": "blue"}}}}}}}}"#
    )
}

fn bytes<const N: usize>(number: usize) -> [u8; N] {
    std::array::from_fn(|index| (number >> ((index % 6) * 5)) as u8)
}

fn user(number: usize, inline: bool) -> User {
    let document = || ("own".parse().expect("a name"), document("Allow"));
    User {
        name: format!("user{number}").parse().expect("a name"),
        id: UniqueId::generate(IdKind::User, &bytes(number)),
        path: iam::Path::default(),
        created: NOW,
        tags: BTreeMap::from([("team".to_owned(), "blue".to_owned())]),
        attached: BTreeSet::from([ARN.parse().expect("an ARN")]),
        inline: inline.then(document).into_iter().collect(),
        groups: BTreeSet::new(),
        boundary: None,
    }
}

fn policy(effect: &str) -> ManagedPolicy {
    ManagedPolicy {
        arn: ARN.parse().expect("an ARN"),
        name: "connect".parse().expect("a name"),
        id: UniqueId::generate(IdKind::Policy, &bytes(1)),
        path: iam::Path::default(),
        created: NOW,
        updated: NOW,
        description: None,
        tags: BTreeMap::new(),
        versions: BTreeMap::from([(1, PolicyVersion { document: document(effect), created: NOW })]),
        default_version: 1,
        latest_version: 1,
        attachments: 1,
        boundary_uses: 0,
    }
}

/// Keeps the users, ten thousand to a transaction.
async fn keep(store: &dyn Store, principals: usize, inline: bool) {
    let encode = |number| {
        let user = user(number, inline);
        Operation::Put(user.full_key(), serde_json::to_vec(&user).expect("a record"))
    };
    for start in (0..principals).step_by(10_000) {
        let then = (start..principals.min(start + 10_000)).map(encode).collect();
        let outcome = store.transact(Transaction { compare: Vec::new(), then }).await.expect("a store");
        assert!(matches!(outcome, Outcome::Committed(_)));
    }
}

/// Resident memory, in bytes.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("procfs");
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("a number") * 4096
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Whether the first user may connect, as the snapshot in force has it.
fn allows(published: &Published) -> bool {
    let snapshot = published.peek();
    let arn: Arn = ARN.parse().expect("an ARN");
    let policy = snapshot.policy(&arn).expect("the policy").policy.as_ref().expect("it is readable").clone();
    let user = snapshot.user("user0").expect("the user");
    let principal = iam::Principal {
        arn: &user.arn,
        account: snapshot.account(),
        kind: iam::PrincipalKind::User { user },
        session: None,
    };
    let context = iam::RequestContext {
        principal: &principal,
        now: sigv4::Timestamp::from_unix(NOW.unix_timestamp()),
        region: "us-east-1",
        secure_transport: true,
        source_ip: None,
        resource_tags: None,
        more: &policy::NoContext,
    };
    let resource =
        policy::Resource::parse("arn:aws:rds-db:us-east-1:123456789012:dbuser:db-A/user0").expect("an ARN");
    matches!(
        policy.evaluate(&policy::Request::new("rds-db:connect", resource, &context)),
        policy::Outcome::Allow(_)
    )
}

async fn measure(principals: usize, inline: bool) {
    let folder = tempfile::tempdir().expect("a folder");
    let account: AccountId = "123456789012".parse().expect("an account");
    let store = Arc::new(EmbeddedStore::open(&folder.path().join("store.redb")).expect("a store"));
    let records = Records::new(store.clone());
    let first = Change::new().insert(&policy("Allow")).expect("a record");
    assert!(matches!(records.commit(first).await, Ok(Outcome::Committed(_))));
    keep(store.as_ref(), principals, inline).await;

    let before = resident();
    let started = Instant::now();
    let key = Arc::new(MasterKey::new(&[7; 32]).expect("a key"));
    let published =
        follow(records.clone(), key, Naming::new(account, None), account).await.expect("a snapshot");
    let loaded = started.elapsed();
    let memory = resident().saturating_sub(before);

    let (mut enforced, mut bare) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let effect = if round % 2 == 0 { "Deny" } else { "Allow" };
        let old = records.get::<ManagedPolicy>("connect").await.expect("a store").expect("the policy");
        let started = Instant::now();
        let change = Change::new().replace(&old, &policy(effect)).expect("a record");
        let Outcome::Committed(revision) = records.commit(change).await.expect("a store") else {
            unreachable!("nobody else writes");
        };
        published.wait_for(revision).await;
        assert_eq!(allows(&published), effect == "Allow", "what was waited for is in force");
        enforced.push(started.elapsed());

        let started = Instant::now();
        let then = vec![Operation::Put("/other".to_owned(), vec![7; 700])];
        assert!(matches!(
            store.transact(Transaction { compare: Vec::new(), then }).await,
            Ok(Outcome::Committed(_))
        ));
        bare.push(started.elapsed());
    }
    let (enforced, bare) = (median(enforced), median(bare));
    let kind = if inline { "managed + inline" } else { "managed" };
    let each = memory / principals.max(1);
    println!("{principals:>10} {kind:<17} {enforced:>12.2?} {bare:>12.2?} {loaded:>10.2?} {each:>12}");
}

fn main() {
    let short = std::env::args().any(|argument| argument == "--quick");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    println!("medians of {ROUNDS} changes of a policy that every principal has");
    println!(
        "{:>10} {:<17} {:>12} {:>12} {:>10} {:>12}",
        "principals", "policies", "enforced in", "bare commit", "load", "bytes each"
    );
    let sizes: &[usize] = if short { &[1_000, 50_000] } else { &[1_000, 1_000_000] };
    for &principals in sizes {
        for inline in [false, true] {
            runtime.block_on(measure(principals, inline));
        }
    }
}
