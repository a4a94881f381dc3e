//! Makes PostgreSQL's data directories.

use super::ADMINISTRATOR;
use crate::template::TemplateError;
use crate::{Installation, OsUser};
use std::path::Path;

/// Locales to try, the better one first; both sort by code point, so that an update of the C library spoils no index.
const LOCALES: [&str; 2] = ["C.UTF-8", "C"];

/// Makes a data directory in an empty folder of the user's.
pub(crate) async fn initdb(
    user: &OsUser,
    installation: &Installation,
    data: &Path,
) -> Result<(), TemplateError> {
    let program = installation.program("initdb");
    let mut said = String::new();
    for locale in LOCALES {
        let output = user
            .command(&program)
            .args(["--username", ADMINISTRATOR, "--encoding", "UTF8", "--locale", locale])
            // Its own rules let nobody in from outside; ours stand elsewhere.
            .args(["--auth-local", "peer", "--auth-host", "reject"])
            .args(["--data-checksums", "--no-sync", "--no-instructions", "--pgdata"])
            .arg(data)
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|source| TemplateError::Run { program: program.clone(), source })?;
        if output.status.success() {
            return Ok(());
        }
        // It has emptied the folder again.
        said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    }
    Err(TemplateError::Failed { program, said })
}
