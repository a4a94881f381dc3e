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

use iam::{ConnectRequest, Decision, Engine, Product, may_connect};
use sigv4::Timestamp;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use store::records::{Cluster, ClusterStatus, EngineVersion, Instance, InstanceStatus, State, Wanted};
use store::{Change, Outcome, Records, Versioned};
use support::Server;
use time::OffsetDateTime;

fn installed() -> Vec<EngineVersion> {
    let of = |engine: Engine, version: String| {
        let family = format!("{engine}{}", engine.product().series(&version));
        EngineVersion { engine, version, family }
    };
    let mut versions = Vec::new();
    for version in ["15.18", "17.12"] {
        versions.extend(Product::PostgreSql.engines().iter().map(|engine| of(*engine, version.to_owned())));
    }
    for version in ["9.7.4", "8.4.7"] {
        let aurora = format!("{}.mysql_aurora.{version}", Product::MySql.series(version));
        versions.push(of(Engine::AuroraMysql, aurora));
        versions.push(of(Engine::Mysql, version.to_owned()));
    }
    versions.extend(["10.11.19", "10.6.21"].map(|version| of(Engine::Mariadb, version.to_owned())));
    versions
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_clusters_groups_and_tags() {
    converse("rds.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engines_of_mysql_and_mariadb() {
    converse("rds_mysql.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_conditions_see_of_calls_and_what_limits_logins() {
    converse("rds_conditions.py").await;
}

/// Runs a script that asks for what no call does: `settle`, and `login` with a database, a user and a token.
async fn converse(script: &str) {
    let server = Server::start(installed()).await;
    let mut command = server.script(script);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut to, from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    for line in from.lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let answer = match words[..] {
            ["settle"] => {
                settle(&server.records).await;
                "settled".to_owned()
            }
            ["login", database, user, token] => {
                let request = ConnectRequest { database, user, token, source_ip: None };
                let now = Timestamp::from_unix(OffsetDateTime::now_utc().unix_timestamp());
                match may_connect(&server.published.current(), now, &request) {
                    Decision::Allowed(_) => "allowed".to_owned(),
                    Decision::Refused(refused) => format!("{:?}", refused.reason),
                }
            }
            _ => {
                println!("{line}");
                continue;
            }
        };
        to.write_all(format!("{answer}\n").as_bytes()).unwrap();
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
