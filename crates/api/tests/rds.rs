//! RDS as boto3 sees it. No server runs here: what is wanted stays wanted until the script asks for it to be settled, and
//! then the test writes the status that the reconciler would.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test says so by panicking"
)]
#![allow(dead_code, reason = "each test takes what it needs of `support`")]

mod support;

use iam::Engine;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use store::records::{Cluster, ClusterStatus, EngineVersion, Instance, InstanceStatus, State, Wanted};
use store::{Change, Outcome, Records, Versioned};
use support::Server;
use time::OffsetDateTime;

fn installed() -> Vec<EngineVersion> {
    [("15.18", 15), ("17.12", 17)]
        .into_iter()
        .flat_map(|(version, major)| {
            [Engine::Postgres, Engine::AuroraPostgresql].map(|engine| EngineVersion {
                engine,
                version: version.to_owned(),
                family: format!("{engine}{major}"),
            })
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_clusters_groups_and_tags() {
    let server = Server::start(installed()).await;
    let mut command = server.script("rds.py");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut to, from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    for line in from.lines() {
        match line.unwrap().as_str() {
            "settle" => {
                settle(&server.records).await;
                to.write_all(b"settled\n").unwrap();
            }
            said => println!("{said}"),
        }
    }
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Does what the reconciler does, but for the servers.
async fn settle(records: &Records) {
    let clusters: Vec<Versioned<Cluster>> = records.list("").await.unwrap();
    for instance in records.list::<Instance>("").await.unwrap() {
        let status: Versioned<InstanceStatus> =
            records.get(&format!("{}/{}", instance.region, instance.identifier)).await.unwrap().unwrap();
        let home = clusters.iter().find(|c| Some(&c.identifier) == instance.cluster.as_ref());
        let mut change = Change::new();
        if instance.wanted == Wanted::Deleted {
            change = change.delete(&instance).delete(&status);
            if let Some(home) = home {
                let mut left = home.record.clone();
                left.members.remove(&instance.identifier);
                change = change.replace(home, &left).unwrap();
            }
        } else {
            let mut done = status.record.clone();
            done.state = reached(instance.wanted);
            done.generation = instance.generation + home.map_or(0, |home| home.generation);
            done.password_generation = instance.master.as_ref().map_or(0, |master| master.generation);
            done.reboots = instance.reboots;
            done.certificate_valid_till = Some(OffsetDateTime::now_utc() + time::Duration::days(365));
            change = change.replace(&status, &done).unwrap();
        }
        assert!(matches!(records.commit(change).await.unwrap(), Outcome::Committed(_)));
    }
    for cluster in records.list::<Cluster>("").await.unwrap() {
        let status: Versioned<ClusterStatus> =
            records.get(&format!("{}/{}", cluster.region, cluster.identifier)).await.unwrap().unwrap();
        let change = if cluster.wanted == Wanted::Deleted {
            Change::new().delete(&cluster).delete(&status)
        } else {
            let mut done = status.record.clone();
            done.state = reached(cluster.wanted);
            done.generation = cluster.generation;
            Change::new().replace(&status, &done).unwrap()
        };
        assert!(matches!(records.commit(change).await.unwrap(), Outcome::Committed(_)));
    }
}

fn reached(wanted: Wanted) -> State {
    if wanted == Wanted::Stopped { State::Stopped } else { State::Available }
}
