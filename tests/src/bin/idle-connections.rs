//! Opens connections through a proxy that asks for no password, says `open`, and keeps them until its standard input ends:
//! to see what an idle connection costs. Used by `bench/proxy.sh`.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::ExitCode;

const USAGE: &str = "usage: idle-connections mysql|postgres HOST:PORT USER DATABASE COUNT";

/// How many are opened at a time.
const AT_ONCE: usize = 16;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [engine, address, user, database, count] = arguments.as_slice() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let (open, Ok(count)) = (if engine == "mysql" { mysql } else { postgres }, count.parse::<usize>()) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    // Each connection takes a file descriptor.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let most = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = rustix::process::setrlimit(rustix::process::Resource::Nofile, most) {
        eprintln!("idle-connections: the limit of open files stays: {error}");
    }
    let share = |thread: usize| count / AT_ONCE + usize::from(thread < count % AT_ONCE);
    let opened: Result<Vec<Vec<TcpStream>>, _> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE)
            .map(|thread| {
                scope.spawn(move || {
                    (0..share(thread))
                        .map(|_| open(address, user, database))
                        .collect::<std::io::Result<Vec<_>>>()
                })
            })
            .collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined.map(|opened| opened.unwrap_or_else(|_| Err(std::io::Error::other("a thread ended")))).collect()
    });
    let connections = match opened {
        Ok(connections) => connections,
        Err(error) => {
            eprintln!("idle-connections: {error}");
            return ExitCode::FAILURE;
        }
    };
    println!("open");
    let ended = std::io::stdin().read_to_end(&mut Vec::new());
    drop(connections);
    if ended.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Sends a start-up message and reads until the server is ready.
fn postgres(address: &str, user: &str, database: &str) -> std::io::Result<TcpStream> {
    let mut body = 0x0003_0000_u32.to_be_bytes().to_vec();
    for word in ["user", user, "database", database, ""] {
        body.extend(word.bytes().chain([0]));
    }
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(&(body.len() as u32 + 4).to_be_bytes())?;
    stream.write_all(&body)?;
    loop {
        let mut header = [0; 5];
        stream.read_exact(&mut header)?;
        let [kind, length @ ..] = header;
        let mut message = vec![0; u32::from_be_bytes(length).saturating_sub(4) as usize];
        stream.read_exact(&mut message)?;
        match kind {
            b'Z' => return Ok(stream),
            b'E' => return Err(std::io::Error::other(String::from_utf8_lossy(&message).into_owned())),
            _ => {}
        }
    }
}

/// Answers the greeting without a password and reads OK.
fn mysql(address: &str, user: &str, database: &str) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    match countersign_tests::wire::log_in(&mut stream, user, database)? {
        countersign_tests::wire::Reply::Ok => Ok(stream),
        other => Err(std::io::Error::other(format!("{other:?}"))),
    }
}
