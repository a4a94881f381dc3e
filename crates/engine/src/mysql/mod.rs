//! MySQL's and MariaDB's servers.
//!
//! A user that is identified with `AWSAuthenticationPlugin` logs in by token: the server's plugin asks, which is loaded
//! while IAM authentication is on ([`admin`]). Where the two products differ is in [`flavor`].

mod admin;
mod config;
mod flavor;
mod initialise;
mod logs;
mod plugins;

pub use admin::MysqlError;
pub(crate) use initialise::initialise;

use crate::Installation;
use crate::database::Problem;
use crate::kind::{Kind, Said, Stop};
use crate::layout::{Layout, make_folder, read_end, remove_file, update_file};
use crate::process::Process;
use crate::reconcile::Context;
use crate::target::Target;
use admin::{Admin, Applied, Readiness, Setup};
use config::PID_FILE;
use flavor::Flavor;
use iam::{Product, ResourceId};
use initialise::argument;
use plugins::Plugins;
use rustix::process::Signal;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::process::Command;

/// It ends sessions and writes what it must; then it is killed, and recovers at its next start.
const STOPS: [Stop; 2] = [
    Stop { signal: Signal::TERM, within: Duration::from_secs(120) },
    Stop { signal: Signal::KILL, within: Duration::from_secs(10) },
];
/// One that starts: MariaDB may then wait forever for what a signal has just ended.
const STOPS_STARTING: [Stop; 2] = [
    Stop { signal: Signal::TERM, within: Duration::from_secs(5) },
    Stop { signal: Signal::KILL, within: Duration::from_secs(10) },
];

/// One database's MySQL or MariaDB server.
pub(crate) struct Mysql {
    product: Product,
    context: Arc<Context>,
    id: ResourceId,
    layout: Layout,
    /// There from the first time that something is wanted.
    program: Option<Program>,
    plugins: Plugins,
    /// Parameters that were taken out of the files since the server loaded them.
    dropped: Vec<String>,
    applied: Applied,
}

/// An installation, looked through.
struct Program {
    flavor: Flavor,
    base: PathBuf,
    share: Option<PathBuf>,
    stock_plugins: Option<PathBuf>,
}

impl Program {
    fn of(installation: &Installation) -> Self {
        let flavor = Flavor::of(installation);
        let base = initialise::base(installation);
        let stock_plugins = flavor.plugin_dirs().iter().map(|dir| base.join(dir)).find(|dir| dir.is_dir());
        let share = if flavor.is_mysql() { None } else { initialise::share(installation) };
        Self { flavor, base, share, stock_plugins }
    }
}

impl Mysql {
    pub(crate) fn new(product: Product, context: Arc<Context>, id: ResourceId, layout: Layout) -> Self {
        Self {
            product,
            context,
            id,
            layout,
            program: None,
            plugins: Plugins::default(),
            dropped: Vec::new(),
            applied: Applied::default(),
        }
    }

    fn option_file(&self) -> PathBuf {
        self.layout.config().join("my.cnf")
    }

    fn program(&self) -> Result<&Program, Problem> {
        // The order of the steps is such that it is there.
        self.program.as_ref().ok_or_else(|| Problem::Incomplete(self.id.to_string()))
    }

    /// The process whose words name the data directory, whatever its own file says: that one is late, and is the server's
    /// to write.
    fn find(&self) -> Option<u32> {
        let written = read_end(&self.layout.run().join(PID_FILE), 64).ok();
        let written = written.and_then(|pid| pid.trim().parse().ok()).filter(|pid| *pid > 1);
        let is_ours = |pid: &u32| self.starts_with(&words(&cmdline(*pid).unwrap_or_default()));
        written.filter(is_ours).or_else(|| {
            let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
            processes
                .filter(|entry| entry.metadata().is_ok_and(|entry| entry.uid() == self.context.user.uid))
                .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
                .find(is_ours)
        })
    }

    fn datadir(&self) -> std::ffi::OsString {
        argument("--datadir=", &self.layout.data())
    }
}

#[async_trait::async_trait]
impl Kind for Mysql {
    fn product(&self) -> Product {
        self.product
    }

    fn says(&self) -> Option<Said> {
        let pid = self.find()?;
        Some(Said { pid, port: port(&words(&cmdline(pid)?)).unwrap_or_default() })
    }

    fn starts_with(&self, words: &[&[u8]]) -> bool {
        words.contains(&self.datadir().as_encoded_bytes())
    }

    fn command(&self, installation: &Installation, port: u16) -> Command {
        // MySQL takes another process that has got the number of one that was killed for the socket's owner.
        let lock = self.layout.run().join(format!("{}.lock", config::SOCKET));
        if let Err(error) = remove_file(&lock) {
            tracing::debug!(%error, "a lock file stays");
        }
        let mut command = self.context.user.command(installation.server());
        command
            // It must be the first, and is the only file that is read.
            .arg(argument("--defaults-file=", &self.option_file()))
            // Words of its own, by which it is known again.
            .arg(self.datadir())
            .arg(format!("--port={port}"));
        command
    }

    async fn waits_for(&self, _pid: u32) -> Option<String> {
        match Admin::readiness(&self.layout).await {
            Readiness::Starting => Some("starting, or recovering from a crash".to_owned()),
            // It does accept connections. What is done inside it will fail, and a restart helps.
            Readiness::Ready | Readiness::LockedOut => None,
        }
    }

    fn said(&self) -> String {
        logs::said(&self.layout)
    }

    fn is_remnant(&self, said: &str) -> bool {
        said.contains("Unable to lock ./ibdata1") || said.contains("Can't lock aria control file")
    }

    async fn stops(&self) -> Vec<Stop> {
        match Admin::readiness(&self.layout).await {
            Readiness::Starting => STOPS_STARTING.into(),
            Readiness::Ready | Readiness::LockedOut => STOPS.into(),
        }
    }

    fn wanted(&mut self, _target: &Target, installation: &Installation) {
        self.program = Some(Program::of(installation));
    }

    fn configure(&mut self, target: &Target) -> Result<bool, Problem> {
        let context = Arc::clone(&self.context);
        let config = self.layout.config();
        let (plugins, files, set_up) =
            (config.join("plugins"), config.join("files"), config.join("set-up.sql"));
        make_folder(&files, 0o755, None)?;
        make_folder(&self.layout.tmp(), 0o700, context.user.owner())?;
        let stock = self.program()?.stock_plugins.clone();
        self.plugins.make(&plugins, stock.as_deref(), context.settings.mysql_plugin.as_deref())?;
        // Not ours alone to read: nothing in them is secret, and the server must.
        let uid = rustix::process::geteuid().as_raw();
        update_file(&set_up, &config::set_up(uid), 0o644, None)?;
        let program = self.program()?;
        let text = config::server(&config::Server {
            flavor: program.flavor,
            iam: target.iam,
            addresses: &context.addresses,
            parameters: &target.parameters,
            base: &program.base,
            share: program.share.as_deref(),
            plugins: &plugins,
            set_up: &set_up,
            files: &files,
            tmp: &self.layout.tmp(),
            certificate: &self.layout.certificate(),
            authority: &self.layout.authority(),
        });
        let path = self.option_file();
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        let changed = update_file(&path, &text, 0o644, None)?;
        if changed {
            self.dropped.extend(config::dropped(&before, &target.parameters));
        }
        Ok(changed)
    }

    async fn set_up(
        &mut self,
        target: &Target,
        _installation: &Installation,
        password: &[u8],
    ) -> Result<(), Problem> {
        let setup = Setup {
            flavor: self.program()?.flavor,
            master: &target.master.name,
            password,
            database: target.database.as_deref(),
        };
        Ok(setup.carry_out(&self.layout).await?)
    }

    /// Sets what can be set while the server runs; the rest waits for its next start, as on RDS.
    async fn load(&mut self, target: &Target, _process: &Process) -> Result<(), Problem> {
        let flavor = self.program()?.flavor;
        let wanted = wanted(target);
        let requires_tls = config::requires_tls(flavor, target.iam, &target.parameters);
        let mut admin = Admin::connect(&self.layout).await?;
        let loaded = admin.apply(&wanted, &self.dropped, requires_tls).await;
        let reloaded = admin.reload_tls(flavor).await;
        admin.close().await;
        loaded.and(reloaded)?;
        self.dropped.clear();
        Ok(())
    }

    async fn set_password(&mut self, target: &Target, password: &[u8]) -> Result<(), Problem> {
        let mut admin = Admin::connect(&self.layout).await?;
        let set = admin.set_password(&target.master.name, password).await;
        admin.close().await;
        Ok(set?)
    }

    /// The plugin is loaded, or not; the log files are no older than a day.
    async fn settle(&mut self, target: &Target) -> Result<(), Problem> {
        let turned = logs::turn(&self.layout, time::OffsetDateTime::now_utc())?;
        let mut admin = Admin::connect(&self.layout).await?;
        let settled = async {
            if turned {
                admin.reopen_logs().await?;
            }
            admin.load_plugin(target.iam).await?;
            admin.compare(&wanted(target)).await
        }
        .await;
        admin.close().await;
        self.applied = settled?;
        Ok(())
    }

    fn left_out(&self, target: &Target) -> Vec<String> {
        let Some(Program { flavor, .. }) = &self.program else { return Vec::new() };
        let mut left_out = config::left_out(*flavor, target.iam, &target.parameters);
        let unknown = self.applied.unknown.iter();
        left_out.extend(unknown.map(|name| format!("parameter `{name}` is none of this server's")));
        let pending = self.applied.pending.iter();
        left_out.extend(pending.map(|name| format!("parameter `{name}` takes effect at the next reboot")));
        left_out.extend(config::not_listened_on(*flavor, &self.context.addresses));
        left_out
    }

    fn door(&self) -> &'static str {
        "mysql"
    }
}

/// The parameters that the server is told, by the names of its variables.
fn wanted(target: &Target) -> Vec<(String, String)> {
    config::settable_of(&target.parameters).map(|(name, value)| (name, value.to_owned())).collect()
}

fn cmdline(pid: u32) -> Option<Vec<u8>> {
    std::fs::read(Path::new("/proc").join(pid.to_string()).join("cmdline")).ok()
}

/// The words of a command line. A server that is started by way of another program, such as a shell or a loader, has them
/// behind that one's.
fn words(cmdline: &[u8]) -> Vec<&[u8]> {
    cmdline.split(|b| *b == 0).collect()
}

fn port(words: &[&[u8]]) -> Option<u16> {
    words.iter().find_map(|word| std::str::from_utf8(word.strip_prefix(b"--port=")?).ok()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_among_the_words() {
        let line =
            b"ld.so\0--library-path\0x\0mysqld\0--defaults-file=/d/my.cnf\0--datadir=/d/data\0--port=3306\0";
        assert_eq!(port(&words(line)), Some(3306));
        assert_eq!(port(&words(b"mysqld\0--port=x\0")), None);
        assert!(words(line).contains(&&b"--datadir=/d/data"[..]));
    }
}
