//! A database session that is kept open while other things happen.

use crate::program::missing;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A `psql`, `mysql` or `mariadb` that waits for statements.
pub struct OpenSession {
    client: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// The query for the number that the server gives the session, and the number.
    number: (&'static str, String),
}

impl OpenSession {
    pub(crate) fn psql(mut psql: Command) -> Self {
        psql.args(["--no-psqlrc", "--tuples-only", "--no-align", "--quiet"]);
        Self::start(psql, "select pg_backend_pid()")
    }

    /// A session of `psql` without a password; `conninfo` as libpq takes it.
    pub fn psql_through(server: &crate::Server, conninfo: &str) -> Self {
        let mut psql = server.command("psql");
        psql.arg(conninfo);
        Self::psql(psql)
    }

    pub(crate) fn mysql(mut mysql: Command) -> Self {
        // It would keep its output to itself until there is much of it.
        mysql.arg("--unbuffered");
        Self::start(mysql, "select connection_id()")
    }

    fn start(mut client: Command, query: &'static str) -> Self {
        let mut child = client
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| missing(client.get_program(), &error));
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut session = Self { client: child, input, output, number: (query, String::new()) };
        session.number.1 = session.query(query);
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
        assert_eq!(self.query(self.number.0), self.number.1);
    }
}

impl Drop for OpenSession {
    fn drop(&mut self) {
        // Either may fail where the server has gone first.
        let ended = self.client.kill().and_then(|()| self.client.wait());
        if let Err(error) = ended {
            eprintln!("the client did not end: {error}");
        }
    }
}
