//! A folder that nobody else can look into, with what a client program reads: the token, and the authorities. It is gone when
//! it is dropped.

use anyhow::Context;
use std::fs::{OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The folder.
#[derive(Debug)]
pub(super) struct Private(TempDir);

impl Private {
    /// A new one: in the user's runtime directory, which is in memory and nobody else's, or else where temporary files are.
    pub(super) fn new() -> anyhow::Result<Self> {
        let base = runtime_directory().unwrap_or_else(std::env::temp_dir);
        let mut builder = tempfile::Builder::new();
        builder.prefix("countersign-").permissions(Permissions::from_mode(0o700));
        let folder = builder.tempdir_in(&base);
        folder
            .map(Self)
            .with_context(|| format!("cannot make a folder for the token in `{}`", base.display()))
    }

    /// Removes it, and tells where it cannot be; when it is dropped, that is not told.
    pub(super) fn remove(self) -> anyhow::Result<()> {
        let path = self.0.path().to_owned();
        self.0.close().with_context(|| format!("cannot remove `{}`, which has a token in it", path.display()))
    }

    /// The folder itself.
    pub(super) fn root(&self) -> &Path {
        self.0.path()
    }

    /// Where a file of this name is, or would be.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Puts a file there, in the place of the one before: whoever reads it sees one or the other, whole.
    pub(super) fn put(&self, name: &str, content: &str) -> anyhow::Result<PathBuf> {
        let (path, new) = (self.path(name), self.path(&format!("{name}.new")));
        write(&new, content)
            .and_then(|()| std::fs::rename(&new, &path))
            .with_context(|| format!("cannot write `{}`", path.display()))?;
        Ok(path)
    }
}

fn write(path: &Path, content: &str) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content.as_bytes())
}

/// `XDG_RUNTIME_DIR`, if it is what it should be.
fn runtime_directory() -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os("XDG_RUNTIME_DIR")?);
    let metadata = path.metadata().ok()?;
    let own = metadata.uid() == rustix::process::geteuid().as_raw();
    (path.is_absolute() && metadata.is_dir() && own && metadata.mode() & 0o077 == 0).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_can_read_it_and_it_is_gone_in_the_end() {
        let folder = Private::new().unwrap();
        let file = folder.put("token", "one").unwrap();
        assert_eq!(folder.put("token", "two").unwrap(), file);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "two");
        let mode = |path: &Path| path.metadata().unwrap().mode() & 0o7777;
        let parent = file.parent().unwrap().to_owned();
        assert_eq!((mode(&file), mode(&parent)), (0o600, 0o700));
        assert_eq!(std::fs::read_dir(&parent).unwrap().count(), 1);
        drop(folder);
        assert!(!parent.exists());
    }
}
