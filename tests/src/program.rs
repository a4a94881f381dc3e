//! Running other programs: found or named as missing, in an environment of their own, and what came of it.

use std::ffi::OsStr;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What a program did.
#[derive(Debug)]
pub struct Output {
    command: String,
    /// The exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// How long it ran.
    pub took: Duration,
}

impl Output {
    /// Whether it ended with 0.
    pub fn ok(&self) -> bool {
        self.code == Some(0)
    }

    /// Its output without white space around; it must have succeeded.
    #[track_caller]
    pub fn succeed(self) -> String {
        assert!(self.ok(), "this must succeed:\n{self}");
        self.stdout.trim().to_owned()
    }

    /// Its standard error; it must have failed.
    #[track_caller]
    pub fn fail(self) -> String {
        assert!(!self.ok(), "this must fail:\n{self}");
        self.stderr
    }

    /// It must have failed and have said this.
    #[track_caller]
    pub fn fail_with(self, text: &str) {
        assert!(!self.ok() && self.stderr.contains(text), "this must fail with `{text}`:\n{self}");
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { command, code, stdout, stderr, took } = self;
        write!(f, "$ {command}\n{stdout}{stderr}(exit code {code:?}, {} ms)", took.as_millis())
    }
}

/// Runs a command to its end.
#[track_caller]
pub fn run(command: &mut Command) -> Output {
    run_with(command, "")
}

/// The same with something on its standard input.
#[track_caller]
pub fn run_with(command: &mut Command, input: &str) -> Output {
    let shown = shown(command);
    let started = Instant::now();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| missing(command.get_program(), &error));
    // Whoever does not read it may have ended before.
    drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    Output {
        command: shown,
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        took: started.elapsed(),
    }
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Ends the test with what is to be done about a program that does not run.
pub(crate) fn missing(program: &OsStr, error: &std::io::Error) -> ! {
    let program = program.display();
    if error.kind() == ErrorKind::NotFound {
        panic!(
            "this test drives `{program}`, which is not on the PATH: `make test` installs what the tests need"
        );
    }
    panic!("`{program}` does not run: {error}")
}

/// A command that sees nothing of the tester's own AWS and PostgreSQL settings; `home` is its home.
pub(crate) fn isolated(program: impl AsRef<OsStr>, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    for name in ["PATH", "TMPDIR", "PYENV_ROOT", "PYENV_VERSION", "LD_LIBRARY_PATH"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
        .env("HOME", home)
        .env("LC_ALL", "C")
        .env("AWS_CONFIG_FILE", home.join("config"))
        .env("AWS_SHARED_CREDENTIALS_FILE", home.join("credentials"))
        .env("AWS_PAGER", "")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("PGCONNECT_TIMEOUT", "20");
    command
}

/// The `countersign` program that is tested: `COUNTERSIGN_BIN`, or the one built beside the tests.
pub fn countersign() -> PathBuf {
    let path = match std::env::var_os("COUNTERSIGN_BIN") {
        Some(path) => PathBuf::from(path),
        None => {
            let test = std::env::current_exe().expect("the path of the test");
            // target/debug/deps/test
            test.ancestors().nth(2).expect("a folder above the test's").join("countersign")
        }
    };
    assert!(path.exists(), "`{}` is not there: cargo build -p countersign", path.display());
    path
}
