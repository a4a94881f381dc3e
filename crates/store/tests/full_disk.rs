//! A disk without room costs the writes that find none, not the store. The full disk is a limit on the size of files,
//! set by a shell that starts this test again.
#![allow(clippy::unwrap_used, reason = "a test says so by panicking")]

use futures_util::{StreamExt as _, TryStreamExt as _};
use std::process::Command;
use store::{EmbeddedStore, Operation, Outcome, Store as _, StoreError, Transaction};

const LIMITED: &str = "COUNTERSIGN_TEST_FILES_ARE_LIMITED";

#[test]
fn a_full_disk_fails_a_write_and_leaves_the_store_serving() {
    if std::env::var_os(LIMITED).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        return runtime.block_on(fill_and_go_on());
    }
    let child = Command::new("sh")
        .args(["-c", r#"trap '' XFSZ; ulimit -f 8192; exec "$0" "$@""#])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "a_full_disk_fails_a_write_and_leaves_the_store_serving", "--nocapture"])
        .env(LIMITED, "")
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
}

async fn fill_and_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(&folder.path().join("store.redb")).unwrap();
    let put = |key: String, length| Transaction {
        compare: Vec::new(),
        then: vec![Operation::Put(key, vec![7; length])],
    };
    let mut committed = 0;
    let error = loop {
        match store.transact(put(format!("/large/{committed:04}"), 64 << 10)).await {
            Ok(outcome) => {
                committed += 1;
                assert_eq!(outcome, Outcome::Committed(committed));
                assert!(committed < 1_000, "the limit is in force");
            }
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Storage(_)), "{error}");

    let range = store.range("/large/").await.unwrap();
    assert_eq!((range.entries.len() as u64, range.revision), (committed, committed));
    assert_eq!(store.transact(put("/small".to_owned(), 1)).await.unwrap(), Outcome::Committed(committed + 1));
    let seen: Vec<_> =
        store.watch("", 0).await.unwrap().take(range.entries.len() + 1).try_collect().await.unwrap();
    assert!(seen.iter().map(|event| event.revision).eq(1..=committed + 1));
}
