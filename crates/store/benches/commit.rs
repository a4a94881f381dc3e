//! Durable commits a second, by how many writers there are at once: the writers of a moment share an fsync.
#![allow(missing_docs, clippy::expect_used, reason = "a bench that cannot write is no bench")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::join_all;
use std::time::Instant;
use store::{EmbeddedStore, Operation, Outcome, Store as _, Transaction};

fn commits(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let store = &EmbeddedStore::open(&folder.path().join("store.redb")).expect("a store");
    let mut group = criterion.benchmark_group("commit");
    group.throughput(Throughput::Elements(1));
    for writers in [1_u64, 64] {
        group.bench_function(BenchmarkId::new("writers", writers), |bencher| {
            bencher.iter_custom(|commits| {
                let write = async |writer: u64| {
                    for nth in (writer..commits).step_by(writers as usize) {
                        let key = format!("/iam/user/{:06}", nth % 10_000);
                        let then = vec![Operation::Put(key, vec![7; 700])];
                        let outcome = store.transact(Transaction { compare: Vec::new(), then }).await;
                        assert!(matches!(outcome, Ok(Outcome::Committed(_))));
                    }
                };
                let start = Instant::now();
                runtime.block_on(join_all((0..writers).map(write)));
                start.elapsed()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, commits);
criterion_main!(benches);
