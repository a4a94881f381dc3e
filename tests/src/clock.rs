//! A clock that a test moves, for the programs that are told to go by it: libfaketime's. What they measure time with
//! (CLOCK_MONOTONIC) goes on as it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// The time of day, as far ahead of the machine's as the test has moved it.
pub struct Clock {
    folder: TempDir,
    library: PathBuf,
    ahead: AtomicU64,
}

impl Default for Clock {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}

impl Clock {
    /// At the machine's time.
    #[track_caller]
    pub fn new() -> Self {
        let folder =
            tempfile::Builder::new().prefix("countersign-clock-").tempdir().expect("a temporary folder");
        // Database servers that inherit it run as another user.
        fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let clock = Self { folder, library: library(), ahead: AtomicU64::new(0) };
        clock.advance(Duration::ZERO);
        clock
    }

    /// Moves it ahead.
    pub fn advance(&self, by: Duration) {
        let ahead = self.ahead.fetch_add(by.as_secs(), Ordering::Relaxed) + by.as_secs();
        // Renamed: a program that reads it meanwhile finds the one or the other.
        let new = self.folder.path().join("new");
        fs::write(&new, format!("+{ahead}\n")).unwrap();
        fs::rename(new, self.file()).unwrap();
    }

    /// Has a program go by it.
    pub fn apply(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME_TIMESTAMP_FILE", self.file())
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("NO_FAKE_STAT", "1");
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("ahead")
    }
}

#[track_caller]
fn library() -> PathBuf {
    let name = "faketime/libfaketimeMT.so.1";
    let triplet = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let places = [triplet.as_str(), "/usr/lib64", "/usr/lib"].map(|folder| Path::new(folder).join(name));
    places
        .into_iter()
        .find(|path| path.exists())
        .expect("this test moves the clock, and libfaketime is not here: scripts/install-deps.sh clients")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{now, run};

    #[test]
    fn programs_go_by_it() {
        let clock = Clock::new();
        let shown = || {
            let mut date = Command::new("date");
            clock.apply(date.arg("+%s"));
            run(&mut date).succeed().parse::<i64>().unwrap()
        };
        assert!((shown() - now()).abs() <= 2);
        clock.advance(Duration::from_secs(900));
        clock.advance(Duration::from_secs(100));
        assert!((shown() - now() - 1000).abs() <= 2);
    }
}
