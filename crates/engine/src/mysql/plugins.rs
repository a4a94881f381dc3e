//! A plugin directory per database: links to the stock plugins, and a copy of ours. The stock installation is not
//! written to, and the servers' OS user cannot write here.

use super::admin::MysqlError;
use crate::database::Problem;
use crate::layout::{FileError, make_folder, remove_file, write_file};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Our library, as servers are told of it.
pub(crate) const LIBRARY: &str = "auth_countersign.so";

/// Which library was put in place last.
#[derive(Debug, Default)]
pub(crate) struct Plugins {
    copied: Option<(PathBuf, u64, SystemTime)>,
}

impl Plugins {
    /// Makes the folder be as it should. A server that runs goes on with the library that it has loaded.
    pub(crate) fn make(
        &mut self,
        folder: &Path,
        stock: Option<&Path>,
        library: Option<&Path>,
    ) -> Result<(), Problem> {
        make_folder(folder, 0o755, None)?;
        let ours = folder.join(LIBRARY);
        match library {
            Some(library) => self.copy(library, &ours)?,
            // One that was put there before goes on being used.
            None if ours.is_file() => {}
            None => return Err(MysqlError::NoLibrary.into()),
        }
        Ok(link(folder, stock)?)
    }

    fn copy(&mut self, library: &Path, ours: &Path) -> Result<(), FileError> {
        let found = std::fs::metadata(library).map_err(FileError::of(library))?;
        let written = found.modified().map_err(FileError::of(library))?;
        let seen = Some((library.to_owned(), found.len(), written));
        if self.copied == seen && ours.is_file() {
            return Ok(());
        }
        let bytes = std::fs::read(library).map_err(FileError::of(library))?;
        if std::fs::read(ours).ok().as_deref() != Some(bytes.as_slice()) {
            write_file(ours, &bytes, 0o755, None)?;
        }
        self.copied = seen;
        Ok(())
    }
}

/// Makes the other files be links to the stock plugins, and nothing else.
fn link(folder: &Path, stock: Option<&Path>) -> Result<(), FileError> {
    let names = |folder: &Path| -> BTreeSet<OsString> {
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect()
    };
    let mut wanted = stock.map(names).unwrap_or_default();
    wanted.remove(&OsString::from(LIBRARY));
    for name in names(folder).difference(&wanted).filter(|name| *name != LIBRARY) {
        remove_file(&folder.join(name))?;
    }
    let Some(stock) = stock else { return Ok(()) };
    for name in &wanted {
        let (link, target) = (folder.join(name), stock.join(name));
        if std::fs::read_link(&link).is_ok_and(|found| found == target) {
            continue;
        }
        remove_file(&link)?;
        symlink(&target, &link).map_err(FileError::of(&link))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stock_plugins_and_ours() {
        let folder = tempfile::tempdir().unwrap();
        let (stock, library, plugins) =
            (folder.path().join("stock"), folder.path().join("libauth.so"), folder.path().join("plugins"));
        std::fs::create_dir(&stock).unwrap();
        std::fs::write(stock.join("a.so"), "a").unwrap();
        std::fs::write(stock.join(LIBRARY), "not ours").unwrap();
        std::fs::write(&library, "one").unwrap();
        let mut made = Plugins::default();
        made.make(&plugins, Some(&stock), Some(&library)).unwrap();
        let read = |name: &str| std::fs::read_to_string(plugins.join(name)).unwrap();
        assert_eq!((read("a.so"), read(LIBRARY)), ("a".into(), "one".into()));

        std::fs::remove_file(stock.join("a.so")).unwrap();
        std::fs::write(stock.join("b.so"), "b").unwrap();
        std::fs::write(&library, "another").unwrap();
        made.make(&plugins, Some(&stock), Some(&library)).unwrap();
        assert_eq!((read("b.so"), read(LIBRARY)), ("b".into(), "another".into()));
        assert_eq!(std::fs::read_dir(&plugins).unwrap().count(), 2);
        assert_eq!(std::fs::read_to_string(stock.join(LIBRARY)).unwrap(), "not ours");
    }

    #[test]
    fn without_a_library_it_is_said_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let error = Plugins::default().make(&folder.path().join("p"), None, None).unwrap_err().to_string();
        assert!(error.contains("--mysql-plugin"), "{error}");
    }
}
