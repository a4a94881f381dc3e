//! Logs in to a MySQL or MariaDB server over verified TLS, again and again, and says how many times a second: what
//! `pgbench --connect` is for PostgreSQL. Used by `bench/mysql.sh`.
//!
//! A login is a new TCP connection, the handshake with TLS, the authentication, and the connection's orderly end. No
//! statement is run.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use countersign_tests::Login;
use mysql_async::{Conn, Opts};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const USAGE: &str = "\
usage: mysql-logins HOST PORT USER CA-FILE CLIENTS SECONDS|Nx
The password is MYSQL_PWD. With Nx each client logs in N times. Prints: logins, failures, seconds, logins a second.";

/// When a client has done enough.
#[derive(Clone, Copy)]
enum Until {
    Time(Duration),
    Logins(u64),
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((options, clients, until)) = read(&arguments) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let (done, failed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..clients {
        let (options, done, failed) = (options.clone(), Arc::clone(&done), Arc::clone(&failed));
        tasks.spawn(async move {
            let mut mine = 0;
            while match until {
                Until::Time(limit) => started.elapsed() < limit,
                Until::Logins(limit) => mine < limit,
            } {
                mine += 1;
                match log_in(&options).await {
                    Ok(()) => {
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(error) => {
                        if failed.fetch_add(1, Ordering::Relaxed) == 0 {
                            eprintln!("mysql-logins: {error}");
                        }
                    }
                }
            }
        });
    }
    while tasks.join_next().await.is_some() {}
    let (done, failed) = (done.load(Ordering::Relaxed), failed.load(Ordering::Relaxed));
    let seconds = started.elapsed().as_secs_f64();
    println!("{done} {failed} {seconds:.3} {:.1}", done as f64 / seconds);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn log_in(options: &Opts) -> Result<(), mysql_async::Error> {
    Conn::new(options.clone()).await?.disconnect().await
}

fn read(arguments: &[String]) -> Option<(Opts, u32, Until)> {
    let [host, port, user, ca, clients, until] = arguments else { return None };
    let until = match until.strip_suffix('x') {
        Some(logins) => Until::Logins(logins.parse().ok()?),
        None => Until::Time(Duration::from_secs(until.parse().ok()?)),
    };
    let login = Login {
        host: host.clone(),
        port: port.parse().ok()?,
        user: user.clone(),
        password: std::env::var("MYSQL_PWD").ok()?,
        ca: ca.into(),
        database: String::new(),
    };
    Some((login.options().into(), clients.parse().ok()?, until))
}
