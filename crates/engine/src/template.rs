//! Data directories: prepared once per installation by its own program, then copied for every new database.
//!
//! What that made belongs to the servers' OS user, who may do with it what it likes: it is copied without following
//! a symbolic link or taking anything but its own plain files and folders.

use crate::layout::Layout;
use crate::layout::{
    DataDir, FileError, Owner, give, make_folder, remove_file, remove_folder, sync_folder, write_file,
};
use crate::{Installation, OsUser};
use crate::{mysql, postgres};
use iam::Product;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use std::collections::HashMap;
use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::Mutex;

/// How deep a data directory may be.
const DEPTH: u32 = 16;

/// Why a data directory could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The program could not be run.
    #[error("`{program}` cannot be run: {source}")]
    Run {
        /// The program.
        program: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The program failed.
    #[error("`{program}` failed: {said}")]
    Failed {
        /// The program.
        program: PathBuf,
        /// What it said.
        said: String,
    },
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The work was given up.
    #[error("copying a data directory was interrupted")]
    Interrupted,
}

/// The prepared data directories.
pub(crate) struct Templates {
    folder: PathBuf,
    user: OsUser,
    /// One lock per installation: who comes while it is being prepared waits for it.
    locks: Mutex<HashMap<PathBuf, Arc<Mutex<()>>>>,
}

impl Templates {
    pub(crate) fn new(data_dir: &DataDir, user: OsUser) -> Self {
        Self { folder: data_dir.templates(), user, locks: Mutex::default() }
    }

    /// The prepared data directory of an installation; made now if it is missing.
    pub(crate) async fn of(&self, installation: &Installation) -> Result<PathBuf, TemplateError> {
        let path = self.folder.join(name(installation));
        let lock = self.locks.lock().await.entry(path.clone()).or_default().clone();
        let _alone = lock.lock().await;
        if path.is_dir() {
            return Ok(path);
        }
        let started = std::time::Instant::now();
        make_folder(&self.folder, 0o755, None)?;
        let unfinished = path.with_extension("new");
        remove_folder(&unfinished)?;
        make_folder(&unfinished, 0o700, self.user.owner())?;
        self.initialise(installation, &unfinished).await?;
        let made = unfinished.clone();
        blocking(move || sync_file_system(&made)).await?;
        std::fs::rename(&unfinished, &path).map_err(FileError::of(&path))?;
        sync_folder(&self.folder)?;
        let took = started.elapsed();
        tracing::debug!(product = %installation.product, version = installation.version, ?took, "prepared a data directory");
        Ok(path)
    }

    /// Removes what was prepared for installations that are no longer there, and what was cut short.
    pub(crate) fn drop_others(&self, installations: &[Installation]) {
        let wanted: Vec<String> = installations.iter().map(name).collect();
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if wanted.iter().any(|name| entry.file_name() == name.as_str()) {
                continue;
            }
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let removed = if is_folder { remove_folder(&entry.path()) } else { remove_file(&entry.path()) };
            if let Err(error) = removed {
                tracing::warn!(%error, "an old prepared data directory cannot be removed");
            }
        }
    }

    /// Makes a data directory in an empty folder of the user's.
    async fn initialise(&self, installation: &Installation, data: &Path) -> Result<(), TemplateError> {
        match installation.product {
            Product::PostgreSql => postgres::initdb(&self.user, installation, data).await,
            Product::MySql | Product::MariaDb => mysql::initialise(&self.user, installation, data).await,
        }
    }

    /// Gives a database a data directory of its own, a copy, in place of what may be there from an attempt that was cut
    /// short. Until [`finish`] the database counts as unfinished.
    pub(crate) async fn copy(
        &self,
        installation: &Installation,
        layout: &Layout,
    ) -> Result<(), TemplateError> {
        let template = self.of(installation).await?;
        let (layout, owner) = (layout.clone(), self.user.owner());
        let uid = self.user.uid;
        blocking(move || {
            write_file(&layout.unfinished(), b"", 0o600, None)?;
            let (data, copy) = (layout.data(), layout.root().join("data.new"));
            remove_folder(&data)?;
            remove_folder(&copy)?;
            // Ours alone until it is whole.
            make_folder(&copy, 0o700, None)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let open =
                |path: &Path| rustix::fs::open(path, flags, Mode::empty()).map_err(FileError::of(path));
            let (from, to) = (open(&template)?, open(&copy)?);
            copy_folder(&from, &to, uid, owner, DEPTH).map_err(FileError::of(&copy))?;
            give(&to, 0o700, owner).map_err(FileError::of(&copy))?;
            std::fs::rename(&copy, &data).map_err(FileError::of(&data))?;
            Ok(())
        })
        .await
    }
}

/// Makes a copy durable. One flush of the file system in place of a thousand of files; it runs while the server
/// starts, and the database is not said to be available before.
pub(crate) async fn flush(layout: Layout) -> Result<(), TemplateError> {
    blocking(move || sync_file_system(&layout.data())).await
}

/// Takes a database that is flushed and set up for finished.
pub(crate) fn finish(layout: &Layout) -> Result<(), FileError> {
    remove_file(&layout.unfinished())?;
    sync_folder(layout.root())
}

async fn blocking(
    work: impl FnOnce() -> Result<(), FileError> + Send + 'static,
) -> Result<(), TemplateError> {
    Ok(tokio::task::spawn_blocking(work).await.map_err(|_| TemplateError::Interrupted)??)
}

fn sync_file_system(path: &Path) -> Result<(), FileError> {
    let folder = File::open(path).map_err(FileError::of(path))?;
    rustix::fs::syncfs(&folder).map_err(FileError::of(path))
}

/// One template per version and place: builds of one version may differ in their options.
fn name(installation: &Installation) -> String {
    // FNV-1a: a name that stays the same from start to start.
    let place = installation.bin_dir.as_os_str().as_encoded_bytes();
    let hash = place.iter().fold(0x811c_9dc5_u32, |hash, b| (hash ^ u32::from(*b)).wrapping_mul(0x0100_0193));
    let product = installation.product.as_str().to_ascii_lowercase();
    format!("{product}-{}-{hash:08x}", installation.version.replace('.', "_"))
}

fn copy_folder(
    from: &OwnedFd,
    to: &OwnedFd,
    uid: u32,
    owner: Option<Owner>,
    depth: u32,
) -> std::io::Result<()> {
    if depth == 0 {
        return Err(std::io::Error::other("the data directory to copy is too deep"));
    }
    const FOLDER: OFlags =
        OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
    const FILE: OFlags =
        OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
    const NEW: OFlags = OFlags::WRONLY.union(OFlags::CREATE).union(OFlags::EXCL).union(OFlags::CLOEXEC);
    for entry in Dir::read_from(from)? {
        let entry = entry?;
        let name: &CStr = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let kind =
            FileType::from_raw_mode(rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode);
        match kind {
            FileType::Directory => {
                rustix::fs::mkdirat(to, name, Mode::RWXU)?;
                let inner = rustix::fs::openat(to, name, FOLDER, Mode::empty())?;
                copy_folder(
                    &rustix::fs::openat(from, name, FOLDER, Mode::empty())?,
                    &inner,
                    uid,
                    owner,
                    depth - 1,
                )?;
                give(&inner, 0o700, owner)?;
            }
            FileType::RegularFile => {
                let source = rustix::fs::openat(from, name, FILE, Mode::empty())?;
                let found = rustix::fs::fstat(&source)?;
                // A hard link to somebody else's file would be copied into the user's hands.
                if found.st_uid != uid || FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
                    return Err(foreign(name));
                }
                let target = rustix::fs::openat(to, name, NEW, Mode::RUSR | Mode::WUSR)?;
                give(target.as_fd(), 0o600, owner)?;
                // Within one file system that can do so, the copy shares its blocks with the template.
                std::io::copy(&mut File::from(source), &mut File::from(target))?;
            }
            _ => return Err(foreign(name)),
        }
    }
    Ok(())
}

fn foreign(name: &CStr) -> std::io::Error {
    std::io::Error::other(format!("`{}` is not a file that a new data directory has", name.to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn copied(prepare: impl FnOnce(&Path)) -> std::io::Result<tempfile::TempDir> {
        let folder = tempfile::tempdir().unwrap();
        for name in ["from", "to"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        prepare(&folder.path().join("from"));
        let open = |name| OwnedFd::from(File::open(folder.path().join(name)).unwrap());
        let uid = rustix::process::geteuid().as_raw();
        copy_folder(&open("from"), &open("to"), uid, None, 3).map(|()| folder)
    }

    #[test]
    fn a_tree_is_copied() {
        let folder = copied(|from| {
            std::fs::create_dir(from.join("base")).unwrap();
            std::fs::write(from.join("base/1"), [7; 100_000]).unwrap();
            std::fs::write(from.join("PG_VERSION"), "15\n").unwrap();
        })
        .unwrap();
        assert_eq!(std::fs::read(folder.path().join("to/base/1")).unwrap(), [7; 100_000]);
        assert_eq!(std::fs::read(folder.path().join("to/PG_VERSION")).unwrap(), b"15\n");
    }

    #[test]
    fn links_and_what_is_too_deep_are_refused() {
        assert!(copied(|from| symlink("/etc/passwd", from.join("x")).unwrap()).is_err());
        assert!(copied(|from| symlink("/etc", from.join("x")).unwrap()).is_err());
        assert!(copied(|from| std::fs::create_dir_all(from.join("1/2/3/4")).unwrap()).is_err());
    }
}
