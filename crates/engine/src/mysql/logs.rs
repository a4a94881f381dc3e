//! The server's log files: turned once a day, and what the last run complained of. The folder is the server's to write.

use super::config::{ERROR_LOG, GENERAL_LOG, SLOW_LOG};
use crate::layout::{FileError, Layout, read_end};
use time::OffsetDateTime;

/// How much of a log is shown with a failure.
const LOG_SHOWN: u64 = 8_000;

/// What each run's log begins with.
const BEGINNINGS: [&str; 4] =
    ["MySQL Server - start.", "Starting MariaDB", "starting as process", "as process "];

/// Renames the log files of an earlier day to `<name>.<day on which it was begun>`, as RDS keeps its own; whether any was.
pub(crate) fn turn(layout: &Layout, now: OffsetDateTime) -> Result<bool, FileError> {
    let mut turned = false;
    for name in [ERROR_LOG, SLOW_LOG, GENERAL_LOG] {
        let path = layout.log().join(name);
        let Ok(metadata) = std::fs::symlink_metadata(&path) else { continue };
        // Not every file system knows when a file was made.
        let Ok(begun) = metadata.created().or_else(|_| metadata.modified()) else { continue };
        let begun = OffsetDateTime::from(begun).date();
        if metadata.is_file() && begun < now.date() {
            let old = layout.log().join(format!("{name}.{begun}"));
            std::fs::rename(&path, &old).map_err(FileError::of(&path))?;
            turned = true;
        }
    }
    Ok(turned)
}

/// What a server said last: in its log, or before it had one.
pub(crate) fn said(layout: &Layout) -> String {
    let early = read_end(&layout.startup_log(), LOG_SHOWN).unwrap_or_default();
    let late = read_end(&layout.log().join(ERROR_LOG), LOG_SHOWN).unwrap_or_default();
    let said = complaints(&early).into_iter().chain(complaints(last_run(&late)));
    let said: Vec<&str> = said.collect();
    let last = said.split_at(said.len().saturating_sub(4)).1.join("; ");
    if last.is_empty() { format!("see `{}`", layout.log().join(ERROR_LOG).display()) } else { last }
}

/// The log goes on from run to run.
fn last_run(log: &str) -> &str {
    let beginning = BEGINNINGS.iter().find_map(|beginning| log.rfind(beginning));
    beginning.and_then(|at| log.get(at..)).unwrap_or(log)
}

/// The errors, without when and by whom they were said.
fn complaints(log: &str) -> Vec<&str> {
    let errors = log.lines().filter_map(|line| Some(line.split_once("[ERROR] ")?.1));
    let bare = errors.map(|mut error| {
        while let Some((_, rest)) = error.strip_prefix('[').and_then(|error| error.split_once("] ")) {
            error = rest;
        }
        error.trim()
    });
    bare.filter(|error| !error.is_empty() && *error != "Aborting").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MYSQL: &str = "\
2026-11-24T10:00:00.7Z 0 [System] [MY-015015] [Server] MySQL Server - start.
2026-11-24T10:00:00.9Z 0 [ERROR] [MY-000001] [Server] of the run before
2026-11-24T10:06:44.7Z 0 [System] [MY-015015] [Server] MySQL Server - start.
2026-11-24T10:06:44.9Z 0 [System] [MY-010116] [Server] mysqld (mysqld 9.7.4-2) starting as process 18229
2026-11-24T10:06:45.5Z 0 [ERROR] [MY-010262] [Server] Can't start server: Bind on TCP/IP port: Address already in use
2026-11-24T10:06:45.6Z 0 [ERROR] [MY-010119] [Server] Aborting
";
    const MARIADB: &str = "\
2026-11-24 10:00:00 0 [ERROR] of the run before
2026-11-24 10:07:06 0 [Note] Starting MariaDB 10.11.19-MariaDB-0+deb12u1 source revision 58 server_uid x= as process 1
2026-11-24 10:07:06 0 [ERROR] Couldn't load plugin 'x' from 'y.so'.
2026-11-24 10:07:06 0 [Note] InnoDB: Compressed tables use zlib 1.2.13
";

    #[test]
    fn a_log_of_an_earlier_day_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let id = iam::ResourceId::generate(iam::ResourceKind::Instance, [1; 16]);
        let layout = crate::layout::DataDir::new(folder.path().to_owned()).database(&id);
        std::fs::create_dir_all(layout.log()).unwrap();
        let now = OffsetDateTime::now_utc();
        assert!(!turn(&layout, now).unwrap(), "there is no log yet");
        std::fs::write(layout.log().join(ERROR_LOG), "a line").unwrap();
        assert!(!turn(&layout, now).unwrap(), "it is of today");
        assert!(turn(&layout, now + time::Duration::days(1)).unwrap());
        let old = layout.log().join(format!("{ERROR_LOG}.{}", now.date()));
        assert_eq!(std::fs::read_to_string(old).unwrap(), "a line");
        assert!(!turn(&layout, now + time::Duration::days(1)).unwrap());
    }

    #[test]
    fn the_last_runs_errors_are_shown() {
        let said = |log| complaints(last_run(log));
        assert_eq!(said(MYSQL), ["Can't start server: Bind on TCP/IP port: Address already in use"]);
        assert_eq!(said(MARIADB), ["Couldn't load plugin 'x' from 'y.so'."]);
        assert!(said("").is_empty());
    }
}
