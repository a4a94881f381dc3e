//! `countersign pam`: puts the PAM module and its service file where PostgreSQL finds them, and says whether they are.

use crate::config::UsageError;
use anyhow::{Context, bail};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Flags of `pam`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Installs the module and the service file; needs root
    Install(Install),
    /// Says whether both are installed
    Check(Check),
}

#[derive(Debug, clap::Args)]
struct Install {
    /// The module [default: libpam_countersign.so beside this program, or in ../lib]
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
    /// Where PAM modules lie [default: the directory of pam_unix.so]
    #[arg(long, value_name = "DIR")]
    security_dir: Option<PathBuf>,
    /// The name of the PAM service file
    #[arg(long, value_name = "NAME", default_value = "countersign")]
    service: String,
}

#[derive(Debug, clap::Args)]
struct Check {
    /// The name of the PAM service file
    #[arg(long, value_name = "NAME", default_value = "countersign")]
    service: String,
}

const MODULE: &str = "pam_countersign.so";
const BUILT_MODULE: &str = "libpam_countersign.so";
const SERVICES: &str = "/etc/pam.d";

const SERVICE_FILE: &str = include_str!("../../../scripts/countersign.pam");

/// Carries the command out.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.command {
        Command::Install(install) => install.run(),
        Command::Check(check) => match installed(&check.service) {
            Ok(()) => say(&format!("PAM module and service `{}` are installed", check.service)),
            Err(missing) => bail!("{missing}; run `countersign pam install` as root"),
        },
    }
}

/// Whether PostgreSQL can ask through PAM; else what is missing.
pub(crate) fn installed(service: &str) -> Result<(), String> {
    let file = Path::new(SERVICES).join(service);
    let text = std::fs::read_to_string(&file).map_err(|error| format!("`{}`: {error}", file.display()))?;
    let module = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(str::split_whitespace)
        .find(|word| word.ends_with(MODULE))
        .ok_or_else(|| format!("`{}` does not name {MODULE}", file.display()))?;
    let found = match security_dir() {
        _ if module.starts_with('/') => Path::new(module).exists(),
        Some(folder) => folder.join(module).exists(),
        None => false,
    };
    if found {
        Ok(())
    } else {
        Err(format!("the module `{module}` that `{}` names does not exist", file.display()))
    }
}

/// The directory where PAM looks for modules: where its own lie.
fn security_dir() -> Option<PathBuf> {
    let arch = std::env::consts::ARCH;
    [
        format!("/lib/{arch}-linux-gnu/security"),
        format!("/usr/lib/{arch}-linux-gnu/security"),
        "/lib64/security".to_owned(),
        "/usr/lib64/security".to_owned(),
        "/lib/security".to_owned(),
        "/usr/lib/security".to_owned(),
    ]
    .into_iter()
    .map(PathBuf::from)
    .find(|folder| folder.join("pam_unix.so").exists())
}

impl Install {
    fn run(&self) -> anyhow::Result<()> {
        let service = &self.service;
        if service.is_empty() || !service.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
            return Err(UsageError(format!(
                "--service `{service}`: expected letters, digits, `.`, `_`, `-`"
            ))
            .into());
        }
        let module = match &self.module {
            Some(module) => module.clone(),
            None => beside_this_program()?,
        };
        let Some(folder) = self.security_dir.clone().or_else(security_dir) else {
            bail!("no directory with pam_unix.so found: name PAM's module directory with --security-dir");
        };
        let target = folder.join(MODULE);
        let bytes = std::fs::read(&module)
            .with_context(|| format!("cannot read the module `{}`", module.display()))?;
        replace(&target, &bytes)?;
        say(&format!("installed {}", target.display()))?;

        let file = Path::new(SERVICES).join(service);
        match std::fs::read_to_string(&file) {
            Ok(text) if text.contains(MODULE) => say(&format!("kept {}", file.display())),
            Ok(_) => bail!(
                "`{}` exists and is not Countersign's: choose another name with --service, and give it to `serve` as \
                 --pam-service",
                file.display()
            ),
            Err(_) => {
                replace(&file, SERVICE_FILE.as_bytes())?;
                say(&format!("installed {}", file.display()))
            }
        }
    }
}

fn beside_this_program() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("cannot tell where this program lies")?;
    let folder = program.parent().unwrap_or(Path::new("/"));
    let places = [folder.join(BUILT_MODULE), folder.join("../lib/countersign").join(BUILT_MODULE)];
    places.iter().find(|place| place.exists()).cloned().with_context(|| {
        format!("{BUILT_MODULE} is not beside `{}`: name it with --module", program.display())
    })
}

/// Puts a file in place in one step: a login at that moment finds the old or the new one, whole.
fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    store::write_whole(path, bytes, 0o644)
        .with_context(|| format!("cannot write `{}`: this needs root", path.display()))
}

fn say(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}
