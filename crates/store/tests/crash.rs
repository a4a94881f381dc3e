//! What was acknowledged survives SIGKILL, and transactions stay whole. The process that is killed is this test again,
//! told by an environment variable to write.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says so by panicking")]

use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use store::{EmbeddedStore, Operation, Outcome, Store as _, Transaction};

const WRITE_TO: &str = "COUNTERSIGN_TEST_CRASH_WRITE_TO";
const ROUNDS: u32 = 20;

#[test]
fn what_was_acknowledged_survives_a_kill() {
    if let Some(path) = std::env::var_os(WRITE_TO) {
        write_until_killed(path.as_ref());
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        let mut child = writer("what_was_acknowledged_survives_a_kill", &path);
        let reports = BufReader::new(child.stderr.take().unwrap());
        let killer = std::thread::spawn(move || {
            // Opening takes a debug build some 10 ms; then the delays spread over several commits.
            std::thread::sleep(Duration::from_millis(20) + Duration::from_micros(1_700) * round);
            kill(child);
        });
        for report in reports.lines().map(Result::unwrap) {
            match report.split_once(' ') {
                Some(("acknowledged", number)) => acknowledged.push(number.parse::<u64>().unwrap()),
                _ => assert_eq!(report, "opening"),
            }
        }
        killer.join().unwrap();
        check(&path, &acknowledged);
    }
    assert!(acknowledged.len() > 100, "only {} commits were put to the test", acknowledged.len());
}

#[test]
fn a_store_that_was_killed_while_it_was_made_opens() {
    if let Some(path) = std::env::var_os(WRITE_TO) {
        write_until_killed(path.as_ref());
    }
    let folder = tempfile::tempdir().unwrap();
    for round in 0..ROUNDS {
        let path = folder.path().join(format!("{round}.redb"));
        let mut child = writer("a_store_that_was_killed_while_it_was_made_opens", &path);
        let mut line = String::new();
        BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "opening\n");
        std::thread::sleep(Duration::from_micros(500) * round);
        kill(child);
        check(&path, &[]);
    }
}

fn writer(test: &str, path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(WRITE_TO, path)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Commits `/left/N` and `/right/N` together, and reports each N that was acknowledged, from several tasks at once.
fn write_until_killed(path: &Path) -> ! {
    let report = |text: String| std::io::stderr().write_all(text.as_bytes()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    report("opening\n".to_owned());
    let store = EmbeddedStore::open(path).unwrap();
    runtime.block_on(async {
        let next = AtomicU64::new(store.range("").await.unwrap().revision * 1_000);
        join_all((0..8).map(async |_| {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let side = |side: &str| Operation::Put(format!("/{side}/{number}"), vec![7; 300]);
                let both = Transaction { compare: Vec::new(), then: vec![side("left"), side("right")] };
                assert!(matches!(store.transact(both).await.unwrap(), Outcome::Committed(_)));
                report(format!("acknowledged {number}\n"));
            }
        }))
        .await;
    });
    unreachable!("it writes until it is killed");
}

fn check(path: &Path, acknowledged: &[u64]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let store = EmbeddedStore::open(path).unwrap();
    let side = |prefix: &str| -> BTreeMap<u64, u64> {
        let entries = runtime.block_on(store.range(prefix)).unwrap().entries;
        entries.into_iter().map(|e| (e.key[prefix.len()..].parse().unwrap(), e.modified)).collect()
    };
    let (left, right) = (side("/left/"), side("/right/"));
    assert_eq!(left, right, "a transaction is there as a whole or not at all");
    let revision = runtime.block_on(store.range("")).unwrap().revision;
    assert_eq!(revision, left.len() as u64, "each commit raised the revision by one");
    for number in acknowledged {
        assert!(left.contains_key(number), "{number} was acknowledged and is gone");
    }
}
