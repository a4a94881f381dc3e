//! Which operating system user the database servers run as, and how that user's programs are started.
//!
//! A PostgreSQL server refuses to run as root. Started by root, Countersign runs the servers as a user of their own;
//! else they run as the user that Countersign itself is.

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

/// The user that servers run as when Countersign is root and nothing else is configured.
const DEFAULT: &str = "postgres";

/// What a server's program sees of our environment: where programs and libraries are, and nothing that could be secret.
const KEPT_ENVIRONMENT: [&str; 3] = ["PATH", "LD_LIBRARY_PATH", "TZDIR"];

/// Why there is no user to run servers as.
#[derive(Debug, thiserror::Error)]
pub enum OsUserError {
    /// The configured user does not exist.
    #[error("there is no OS user `{0}` to run database servers as: create it, or configure another")]
    Unknown(String),
    /// The configured user is root.
    #[error("database servers do not run as root: configure another OS user than `{0}`")]
    Root(String),
    /// Another user was configured, and we are not root.
    #[error("only root can run database servers as `{wanted}`: this is `{ours}`")]
    NotRoot {
        /// The user that was configured.
        wanted: String,
        /// The user that we are.
        ours: String,
    },
    /// Our own user has no name, so that no server can know us by it.
    #[error("uid {0} has no name: add it to /etc/passwd, PostgreSQL needs one")]
    Nameless(u32),
    /// The servers' user cannot get at the data directory.
    #[error(
        "the OS user `{user}` cannot enter `{folder}`: run `chmod o+x` on it, or choose another data directory"
    )]
    Unreachable {
        /// The user.
        user: String,
        /// The first folder on the way that lacks the permission.
        folder: PathBuf,
    },
    /// The user database or a folder cannot be read.
    #[error("`{path}` cannot be read: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// The user that servers run as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OsUser {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: u32,
    /// Its primary group.
    pub gid: u32,
    /// The name of the user that Countersign is, which administers servers.
    pub administrator: String,
    /// Whether the two are different: programs are then started under `uid` and `gid`, without other groups.
    switch: bool,
}

impl OsUser {
    /// The user to run servers as: as root the configured one, `postgres` if none is, else ourselves.
    pub fn resolve(configured: Option<&str>) -> Result<Self, OsUserError> {
        let uid = rustix::process::geteuid().as_raw();
        let ours = look_up(&uid.to_string(), |entry| entry.uid == uid)?.ok_or(OsUserError::Nameless(uid))?;
        if uid != 0 {
            return match configured {
                Some(wanted) if wanted != ours.name => {
                    Err(OsUserError::NotRoot { wanted: wanted.to_owned(), ours: ours.name })
                }
                _ => {
                    let gid = rustix::process::getegid().as_raw();
                    Ok(Self { administrator: ours.name.clone(), name: ours.name, uid, gid, switch: false })
                }
            };
        }
        let name = configured.unwrap_or(DEFAULT);
        let user = look_up(name, |entry| entry.name == name)?
            .ok_or_else(|| OsUserError::Unknown(name.to_owned()))?;
        if user.uid == 0 {
            return Err(OsUserError::Root(user.name));
        }
        Ok(Self { name: user.name, uid: user.uid, gid: user.gid, administrator: ours.name, switch: true })
    }

    /// Whether what we make for the user must be given to it.
    pub(crate) fn owner(&self) -> Option<(u32, u32)> {
        self.switch.then_some((self.uid, self.gid))
    }

    /// A program to be run as the user, with an empty input and without our environment.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().stdin(Stdio::null()).current_dir("/");
        for name in KEPT_ENVIRONMENT {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        if self.switch {
            // The standard library drops root's other groups with the uid.
            command.gid(self.gid).uid(self.uid);
        }
        command
    }

    /// Checks that the user can enter a folder by its path, given absolute and without symbolic links.
    pub(crate) fn can_reach(&self, folder: &Path) -> Result<(), OsUserError> {
        if !self.switch {
            return Ok(());
        }
        let way: Vec<&Path> = folder.ancestors().collect();
        for folder in way.into_iter().rev() {
            let metadata = std::fs::metadata(folder)
                .map_err(|source| OsUserError::Io { path: folder.to_owned(), source })?;
            if !may_enter(metadata.mode(), metadata.uid(), metadata.gid(), self.uid, self.gid) {
                return Err(OsUserError::Unreachable { user: self.name.clone(), folder: folder.to_owned() });
            }
        }
        Ok(())
    }
}

fn may_enter(mode: u32, owner: u32, group: u32, uid: u32, gid: u32) -> bool {
    let bit = match (owner == uid, group == gid) {
        (true, _) => 0o100,
        (false, true) => 0o010,
        (false, false) => 0o001,
    };
    mode & bit != 0
}

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    name: String,
    uid: u32,
    gid: u32,
}

/// Looks in `/etc/passwd`, then asks `getent`, which knows of directories such as LDAP too.
fn look_up(key: &str, is_it: impl Fn(&Entry) -> bool) -> Result<Option<Entry>, OsUserError> {
    const PASSWD: &str = "/etc/passwd";
    let find = |text: &str| text.lines().filter_map(parse_entry).find(&is_it);
    let text =
        std::fs::read_to_string(PASSWD).map_err(|source| OsUserError::Io { path: PASSWD.into(), source })?;
    if let Some(entry) = find(&text) {
        return Ok(Some(entry));
    }
    let answer =
        std::process::Command::new("getent").args(["passwd", "--", key]).stdin(Stdio::null()).output();
    Ok(answer.ok().and_then(|answer| find(&String::from_utf8_lossy(&answer.stdout))))
}

fn parse_entry(line: &str) -> Option<Entry> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| !name.is_empty())?.to_owned();
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some(Entry { name, uid, gid })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwd_lines() {
        assert_eq!(
            parse_entry("postgres:x:101:104:PostgreSQL administrator,,,:/var/lib/postgresql:/bin/bash"),
            Some(Entry { name: "postgres".into(), uid: 101, gid: 104 })
        );
        for bad in ["", "# a comment", "+::::::", "name:x:uid:1::", ":x:1:1::"] {
            assert_eq!(parse_entry(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_closest_permission_decides() {
        assert!(may_enter(0o711, 0, 0, 101, 104));
        assert!(!may_enter(0o700, 0, 0, 101, 104));
        assert!(may_enter(0o710, 0, 104, 101, 104));
        assert!(!may_enter(0o701, 0, 104, 101, 104), "a group that may not is not an other that may");
        assert!(may_enter(0o700, 101, 0, 101, 104));
    }
}
