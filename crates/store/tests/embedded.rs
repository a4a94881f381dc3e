//! The embedded store keeps the contract of the store: against a model, under concurrency, and over restarts.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says so by panicking")]

use futures_util::future::{join_all, try_join_all};
use futures_util::{StreamExt as _, TryStreamExt as _};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;
use store::{
    Compare, EmbeddedStore, Entry, Event, Operation, Outcome, Store, StoreError, Transaction, Watch,
};
use tempfile::TempDir;
use tokio::time::timeout;

/// How long an event may take to come that has happened.
const PATIENCE: Duration = Duration::from_secs(20);

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    (folder, path)
}

fn put(key: &str, value: &[u8]) -> Transaction {
    Transaction { compare: Vec::new(), then: vec![Operation::Put(key.to_owned(), value.to_owned())] }
}

async fn take(watch: Watch, count: u64) -> Vec<Event> {
    let events = watch.take(usize::try_from(count).unwrap()).try_collect();
    timeout(PATIENCE, events).await.unwrap().unwrap()
}

/// What the store is to do, done on a map.
#[derive(Default)]
struct Model {
    entries: BTreeMap<String, Entry>,
    history: Vec<Event>,
}

impl Model {
    fn revision(&self) -> u64 {
        self.history.len() as u64
    }

    fn transact(&mut self, transaction: &Transaction) -> Outcome {
        let holds = |compare: &Compare| match compare {
            Compare::Absent(key) => !self.entries.contains_key(key),
            Compare::Unchanged(key, modified) => {
                self.entries.get(key).is_some_and(|e| e.modified == *modified)
            }
        };
        if !transaction.compare.iter().all(holds) {
            return Outcome::Conflict;
        }
        if !transaction.then.is_empty() {
            let event = Event { revision: self.revision() + 1, operations: transaction.then.clone() };
            replay(&mut self.entries, &event);
            self.history.push(event);
        }
        Outcome::Committed(self.revision())
    }

    fn under(&self, prefix: &str) -> Vec<Entry> {
        self.entries.values().filter(|e| e.key.starts_with(prefix)).cloned().collect()
    }

    fn events(&self, prefix: &str, after: u64) -> Vec<Event> {
        let under = |operation: &Operation| match operation {
            Operation::Put(key, _) | Operation::Delete(key) => key.starts_with(prefix),
        };
        let mut events = self.history[usize::try_from(after).unwrap()..].to_vec();
        events.iter_mut().for_each(|event| event.operations.retain(under));
        events
    }
}

fn replay(entries: &mut BTreeMap<String, Entry>, event: &Event) {
    for operation in &event.operations {
        match operation {
            Operation::Put(key, value) => {
                let created = entries.get(key).map_or(event.revision, |e| e.created);
                let entry =
                    Entry { key: key.clone(), value: value.clone(), created, modified: event.revision };
                entries.insert(key.clone(), entry);
            }
            Operation::Delete(key) => {
                entries.remove(key);
            }
        }
    }
}

/// A comparison whose revision is only known once the transactions before it are done.
#[derive(Clone, Debug)]
enum Condition {
    Absent(String),
    AsItIs(String),
    Stale(String, u64),
}

#[derive(Clone, Debug)]
enum Step {
    /// Transactions handed over together, so that they share a commit.
    Transact(Vec<(Vec<Condition>, Vec<Operation>)>),
    Reopen,
}

fn key() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["/a", "/a/1", "/a/2", "/a/é", "/ab", "/b/1", "/b/\u{10ffff}"])
        .prop_map(str::to_owned)
}

fn step() -> impl Strategy<Value = Step> {
    let condition = prop_oneof![
        key().prop_map(Condition::Absent),
        key().prop_map(Condition::AsItIs),
        (key(), 0..20_u64).prop_map(|(key, revision)| Condition::Stale(key, revision)),
    ];
    let operation = prop_oneof![
        3 => (key(), prop::collection::vec(any::<u8>(), 0..4)).prop_map(|(key, value)| Operation::Put(key, value)),
        1 => key().prop_map(Operation::Delete),
    ];
    let transaction =
        (prop::collection::vec(condition, 0..2), prop::collection::vec(operation, 0..4)).boxed();
    prop_oneof![
        9 => prop::collection::vec(transaction, 1..6).prop_map(Step::Transact),
        1 => Just(Step::Reopen),
    ]
}

async fn check_against_model(steps: Vec<Step>, prefix: &str, after: u64) {
    let (_folder, path) = folder();
    let mut store = EmbeddedStore::open(&path).unwrap();
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Reopen => {
                drop(store);
                store = EmbeddedStore::open(&path).unwrap();
            }
            Step::Transact(drafts) => {
                let mut wanted = Vec::new();
                let mut transactions = Vec::new();
                for (conditions, then) in drafts {
                    let compare = conditions.into_iter().map(|condition| match condition {
                        Condition::Absent(key) => Compare::Absent(key),
                        Condition::Stale(key, revision) => Compare::Unchanged(key, revision),
                        Condition::AsItIs(key) => match model.entries.get(&key) {
                            Some(entry) => Compare::Unchanged(key, entry.modified),
                            None => Compare::Absent(key),
                        },
                    });
                    let transaction = Transaction { compare: compare.collect(), then };
                    wanted.push(model.transact(&transaction));
                    transactions.push(transaction);
                }
                // The futures are first polled, and so hand over, in their order.
                let outcomes = join_all(transactions.into_iter().map(|t| store.transact(t))).await;
                assert_eq!(outcomes.into_iter().map(Result::unwrap).collect::<Vec<_>>(), wanted);
            }
        }
        let range = store.range(prefix).await.unwrap();
        assert_eq!((range.entries, range.revision), (model.under(prefix), model.revision()));
        assert_eq!(store.get("/a/1").await.unwrap().as_ref(), model.entries.get("/a/1"));
    }

    let after = after.min(model.revision());
    let seen = take(store.watch(prefix, after).await.unwrap(), model.revision() - after).await;
    assert_eq!(seen, model.events(prefix, after));

    let mut replayed = BTreeMap::new();
    let all = take(store.watch("", 0).await.unwrap(), model.revision()).await;
    all.iter().for_each(|event| replay(&mut replayed, event));
    assert_eq!(replayed, model.entries, "the whole history makes the state");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn it_does_what_a_map_does(
        steps in prop::collection::vec(step(), 1..16),
        prefix in prop::sample::select(vec!["", "/a", "/a/", "/b/", "/c"]),
        after in 0..30_u64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(check_against_model(steps, prefix, after));
    }
}

#[tokio::test]
async fn a_transaction_is_done_where_nothing_came_between() {
    let (_folder, path) = folder();
    let store = EmbeddedStore::open(&path).unwrap();
    let insert = |key: &str| Transaction { compare: vec![Compare::Absent(key.to_owned())], ..put(key, b"v") };
    assert_eq!(store.transact(insert("/k")).await.unwrap(), Outcome::Committed(1));
    assert_eq!(store.transact(insert("/k")).await.unwrap(), Outcome::Conflict);

    let at = |revision| Compare::Unchanged("/k".to_owned(), revision);
    let both = Transaction { compare: vec![Compare::Absent("/l".to_owned()), at(2)], ..put("/l", b"") };
    assert_eq!(store.transact(both).await.unwrap(), Outcome::Conflict, "every comparison is to hold");
    assert_eq!(store.get("/l").await.unwrap(), None);

    let check = Transaction { compare: vec![at(1)], then: Vec::new() };
    assert_eq!(store.transact(check).await.unwrap(), Outcome::Committed(1), "nothing to do, no revision");
    assert_eq!(store.transact(put("/k", b"w")).await.unwrap(), Outcome::Committed(2));
    let entry = store.get("/k").await.unwrap().unwrap();
    assert_eq!((entry.created, entry.modified, entry.value.as_slice()), (1, 2, b"w".as_slice()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_and_watchers_at_once_agree() {
    const WRITERS: u64 = 16;
    const EACH: u64 = 20;
    let (_folder, path) = folder();
    let store = &EmbeddedStore::open(&path).unwrap();

    let write = async |writer: u64| {
        let mut revisions = Vec::new();
        while (revisions.len() as u64) < EACH {
            let counter = store.get("/counter").await.unwrap();
            let (seen, count) = match &counter {
                Some(entry) => (
                    Compare::Unchanged(entry.key.clone(), entry.modified),
                    u64::from_be_bytes(entry.value.as_slice().try_into().unwrap()),
                ),
                None => (Compare::Absent("/counter".to_owned()), 0),
            };
            let mut transaction = put("/counter", &(count + 1).to_be_bytes());
            transaction.compare.push(seen);
            transaction.then.push(Operation::Put(format!("/writer/{writer}"), Vec::new()));
            if let Outcome::Committed(revision) = store.transact(transaction).await.unwrap() {
                revisions.push(revision);
            }
        }
        revisions
    };
    let follow = async |after: u64| {
        let mut watch = store.watch("/counter", after).await.unwrap();
        for expected in after + 1..=WRITERS * EACH {
            let event = timeout(PATIENCE, watch.next()).await.unwrap().unwrap().unwrap();
            let counted = Operation::Put("/counter".to_owned(), expected.to_be_bytes().to_vec());
            assert_eq!(event, Event { revision: expected, operations: vec![counted] });
        }
    };
    let (written, _) = tokio::join!(
        join_all((0..WRITERS).map(write)),
        // One that starts with the first commit, one that starts in the middle, one that waits for what is to come.
        join_all([0, WRITERS * EACH / 2, WRITERS * EACH - 1].map(follow)),
    );
    let mut revisions = written.concat();
    revisions.sort_unstable();
    assert!(
        revisions.into_iter().eq(1..=WRITERS * EACH),
        "each commit has a revision of its own, without a gap"
    );
}

#[tokio::test]
async fn history_goes_back_as_far_as_it_says() {
    const FORGOTTEN: u64 = 10;
    let (_folder, path) = folder();
    let store = EmbeddedStore::open(&path).unwrap();
    let last = EmbeddedStore::REMEMBERED + FORGOTTEN;
    let mut late = store.watch("", 0).await.unwrap();
    try_join_all((1..=last).map(|n| store.transact(put("/k", &n.to_be_bytes())))).await.unwrap();

    let compacted =
        |found: &StoreError| matches!(found, StoreError::Compacted { oldest, .. } if *oldest == FORGOTTEN);
    assert!(store.watch("", FORGOTTEN - 1).await.is_err_and(|error| compacted(&error)));
    let seen = take(store.watch("", FORGOTTEN).await.unwrap(), EmbeddedStore::REMEMBERED).await;
    assert!(seen.iter().map(|event| event.revision).eq(FORGOTTEN + 1..=last));
    assert!(
        late.next().await.unwrap().is_err_and(|error| compacted(&error)),
        "missed commits are no silence"
    );
    assert!(late.next().await.is_none());
}

#[tokio::test]
async fn a_closed_store_ends_its_watches_and_frees_its_file() {
    let (_folder, path) = folder();
    let store = EmbeddedStore::open(&path).unwrap();
    assert!(
        matches!(EmbeddedStore::open(&path), Err(StoreError::InUse(named)) if named == path.display().to_string())
    );

    let mut watch = store.watch("", 0).await.unwrap();
    assert_eq!(store.transact(put("/k", b"v")).await.unwrap(), Outcome::Committed(1));
    assert_eq!(watch.next().await.unwrap().unwrap().revision, 1);
    drop(store);
    assert!(watch.next().await.is_none());

    let store = EmbeddedStore::open(&path).unwrap();
    assert_eq!(store.range("").await.unwrap().revision, 1);
    assert_eq!(take(store.watch("", 0).await.unwrap(), 1).await[0].operations, put("/k", b"v").then);
}

#[tokio::test]
async fn the_file_is_private_and_nothing_else_is_taken_for_one() {
    let (_folder, path) = folder();
    let mode = || path.metadata().unwrap().permissions().mode() & 0o777;
    drop(EmbeddedStore::open(&path).unwrap());
    assert_eq!(mode(), 0o600);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    drop(EmbeddedStore::open(&path).unwrap());
    assert_eq!(mode(), 0o600);

    std::fs::write(&path, vec![0; 1 << 20]).unwrap();
    drop(EmbeddedStore::open(&path).expect("a file that was begun to be made is made anew"));
    std::fs::write(&path, "somebody's notes").unwrap();
    assert!(matches!(EmbeddedStore::open(&path), Err(StoreError::Storage(_))));
    assert_eq!(std::fs::read(&path).unwrap(), b"somebody's notes");
}
