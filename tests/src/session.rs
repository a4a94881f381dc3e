//! A database session that is kept open while other things happen.

use crate::program::missing;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A `psql` that waits for statements.
pub struct OpenSession {
    psql: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    backend: String,
}

impl OpenSession {
    pub(crate) fn start(mut psql: Command) -> Self {
        let mut psql = psql
            .args(["--no-psqlrc", "--tuples-only", "--no-align", "--quiet"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| missing("psql".as_ref(), &error));
        let input = psql.stdin.take().unwrap();
        let output = BufReader::new(psql.stdout.take().unwrap());
        let mut session = Self { psql, input, output, backend: String::new() };
        session.backend = session.query("select pg_backend_pid()");
        session
    }

    /// The one value that a query gives.
    #[track_caller]
    pub fn query(&mut self, sql: &str) -> String {
        let written = writeln!(self.input, "{sql};").and_then(|()| self.input.flush());
        let mut line = String::new();
        let read = written.and_then(|()| self.output.read_line(&mut line));
        assert!(read.is_ok_and(|bytes| bytes > 0), "the open session is gone");
        line.trim_end().to_owned()
    }

    /// The session must still be the one that was opened.
    #[track_caller]
    pub fn check(&mut self) {
        assert_eq!(self.query("select pg_backend_pid()"), self.backend);
    }
}

impl Drop for OpenSession {
    fn drop(&mut self) {
        // Either may fail where the server has gone first.
        let ended = self.psql.kill().and_then(|()| self.psql.wait());
        if let Err(error) = ended {
            eprintln!("psql did not end: {error}");
        }
    }
}
