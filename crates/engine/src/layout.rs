//! Where things are under the data directory, and how files are made there.
//!
//! Of a database's folder only `data`, `run` and `log` belong to the servers' OS user; everything that a server is told
//! (its configuration, hba rules, certificate) stands in folders that user cannot write. So nothing that we write can
//! be led astray by a symbolic link, and a server cannot change its own rules.

use iam::ResourceId;
use rustix::fs::{Gid, Mode, OFlags, Uid};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// A file operation that failed, and on which path.
#[derive(Debug, thiserror::Error)]
#[error("`{path}`: {source}")]
pub struct FileError {
    path: PathBuf,
    source: std::io::Error,
}

impl FileError {
    pub(crate) fn of<E: Into<std::io::Error>>(path: &Path) -> impl Fn(E) -> Self + '_ {
        |source| Self { path: path.to_owned(), source: source.into() }
    }
}

/// A uid and a gid.
pub(crate) type Owner = (u32, u32);

/// The data directory of Countersign.
#[derive(Clone, Debug)]
pub(crate) struct DataDir(PathBuf);

impl DataDir {
    /// The data directory at an absolute path without symbolic links.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Prepared data directories, one per installation.
    pub(crate) fn templates(&self) -> PathBuf {
        self.0.join("templates")
    }

    /// A folder per database.
    pub(crate) fn databases(&self) -> PathBuf {
        self.0.join("databases")
    }

    pub(crate) fn database(&self, id: &ResourceId) -> Layout {
        Layout { root: self.databases().join(id.as_str()), door_certificate: self.0.join(DOOR_CERTIFICATE) }
    }
}

/// The file in the data directory with the certificate of the LDAP door: the one that servers trust there. It must be
/// readable for the servers' OS user.
pub const DOOR_CERTIFICATE: &str = "ldap-door.pem";

/// The folder of one database.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    door_certificate: PathBuf,
    root: PathBuf,
}

impl Layout {
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// What is being deleted.
    pub(crate) fn doomed(&self) -> PathBuf {
        self.root.with_extension("deleted")
    }

    /// There from before the data directory is made until the database can be used. A data directory beside it is
    /// worth nothing.
    pub(crate) fn unfinished(&self) -> PathBuf {
        self.root.join("unfinished")
    }

    /// The certificate that the server trusts at the LDAP door.
    pub(crate) fn door_certificate(&self) -> &Path {
        &self.door_certificate
    }

    /// PGDATA.
    pub(crate) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// The server's Unix socket.
    pub(crate) fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    /// The server's log files.
    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// What the server says before it has opened its log.
    pub(crate) fn startup_log(&self) -> PathBuf {
        self.root.join("startup.log")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.root.join("config")
    }

    /// The server's certificate and key, in one file so that they change at one moment.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.config().join("server.pem")
    }

    /// The certificate of the authority that has issued it.
    pub(crate) fn authority(&self) -> PathBuf {
        self.config().join("authority.pem")
    }

    /// The door's socket: in the working directory of the server's processes.
    pub(crate) fn door(&self) -> PathBuf {
        self.data().join("countersign.sock")
    }
}

/// Makes a folder, or takes it as it is; sets its mode, and its owner if one is given.
pub(crate) fn make_folder(path: &Path, mode: u32, owner: Option<Owner>) -> Result<(), FileError> {
    let failed = FileError::of(path);
    match std::fs::create_dir(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::open(path, flags, Mode::empty()).map_err(FileError::of(path))?;
    give(&folder, mode, owner).map_err(failed)
}

/// Writes a whole file so that a crash at any moment leaves the old text or the new; in a folder that is ours alone.
pub(crate) fn write_file(path: &Path, text: &[u8], mode: u32, owner: Option<Owner>) -> Result<(), FileError> {
    let temporary = path.with_extension("new");
    let failed = FileError::of(path);
    remove_file(&temporary)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file =
        rustix::fs::open(&temporary, flags, Mode::from_raw_mode(0o600)).map_err(FileError::of(path))?;
    let mut file = File::from(file);
    give(&file, mode, owner).map_err(&failed)?;
    file.write_all(text).and_then(|()| file.sync_all()).map_err(&failed)?;
    std::fs::rename(&temporary, path).map_err(&failed)?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// [`write_file`], unless the file says just that already. Returns whether it was written.
pub(crate) fn update_file(
    path: &Path,
    text: &str,
    mode: u32,
    owner: Option<Owner>,
) -> Result<bool, FileError> {
    match std::fs::read(path) {
        Ok(found) if found == text.as_bytes() => return Ok(false),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(FileError::of(path)(error)),
    }
    write_file(path, text.as_bytes(), mode, owner).map(|()| true)
}

/// Removes a file; it need not be there.
pub(crate) fn remove_file(path: &Path) -> Result<(), FileError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(FileError::of(path)(error)),
        _ => Ok(()),
    }
}

/// Removes a folder and what is in it, following no symbolic link; it need not be there.
pub(crate) fn remove_folder(path: &Path) -> Result<(), FileError> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(FileError::of(path)(error)),
        _ => Ok(()),
    }
}

/// Makes what was made, renamed or removed in a folder survive a crash of the machine.
pub(crate) fn sync_folder(path: &Path) -> Result<(), FileError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(FileError::of(path))
}

/// The end of a file, at most `limit` bytes, in a folder that another user writes: no symbolic link is followed and
/// nothing but a plain file read.
pub(crate) fn read_end(path: &Path, limit: u64) -> std::io::Result<String> {
    use std::io::{Seek, SeekFrom};
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(std::io::Error::other("not a plain file"));
    }
    file.seek(SeekFrom::Start(metadata.len().saturating_sub(limit)))?;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Sets mode and owner of what is open.
pub(crate) fn give<F: AsFd>(file: F, mode: u32, owner: Option<Owner>) -> std::io::Result<()> {
    if let Some((uid, gid)) = owner {
        rustix::fs::fchown(&file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    }
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_replaced_whole_and_only_when_they_differ() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pg_hba.conf");
        assert!(update_file(&path, "one", 0o640, None).unwrap());
        assert!(!update_file(&path, "one", 0o640, None).unwrap());
        assert!(update_file(&path, "two", 0o640, None).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn no_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        std::fs::write(&target, "secret").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert_eq!(read_end(&target, 3).unwrap(), "ret");
        assert!(read_end(&link, 3).is_err());
        std::os::unix::fs::symlink(folder.path(), folder.path().join("folder")).unwrap();
        assert!(make_folder(&folder.path().join("folder"), 0o700, None).is_err());
    }
}
