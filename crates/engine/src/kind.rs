//! What the servers of a product have of their own: how one is started, known again, told what is wanted and set up.
//!
//! The order of the steps is [`Database`](crate::database::Database)'s and the same for all; a [`Kind`] is one
//! database's server as its product has it. A product is added by another implementation, and by a line in
//! [`Kinds::of`], [`discover`](crate::discover) and [`template`](crate::template).

use crate::database::Problem;
use crate::layout::Layout;
use crate::mysql::Mysql;
use crate::postgres::Postgres;
use crate::process::{Process, ServerError};
use crate::reconcile::Context;
use crate::target::Target;
use crate::{Installation, OsUser};
use iam::{Product, ResourceId};
use rustix::process::Signal;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::Command;

/// What a data directory says of the server on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) pid: u32,
    /// 0 where it is not known.
    pub(crate) port: u16,
}

/// A way to stop a server, and how long it may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stop {
    pub(crate) signal: Signal,
    pub(crate) within: Duration,
}

/// One database's server, as its product has it.
#[async_trait::async_trait]
pub(crate) trait Kind: Send + Sync {
    /// The product.
    fn product(&self) -> Product;

    // The process.

    /// What the data directory says of a server that runs; it may be out of date, or a lie.
    fn says(&self) -> Option<Said>;

    /// Whether a command line is one by which we start a server on the data directory.
    fn starts_with(&self, words: &[&[u8]]) -> bool;

    /// The command that starts a server; its output and its working directory are set by the caller.
    fn command(&self, installation: &Installation, port: u16) -> Command;

    /// What a server that was started does until it accepts connections; nothing if it does.
    async fn waits_for(&self, pid: u32) -> Option<String>;

    /// What a server that ended said last.
    fn said(&self) -> String;

    /// Whether what it said means that remnants of a killed server are in its way, which end by themselves.
    fn is_remnant(&self, said: &str) -> bool;

    /// The ways to stop it as it is now, the gentlest first.
    async fn stops(&self) -> Vec<Stop>;

    // What it is told.

    /// Looks, before anything else, at what is wanted and with what it is served.
    fn wanted(&mut self, target: &Target, installation: &Installation);

    /// Writes the files that tell the server what is wanted; whether one has changed.
    fn configure(&mut self, target: &Target) -> Result<bool, Problem>;

    /// Sets a new database up: administrator, master user, what RDS has.
    async fn set_up(
        &mut self,
        target: &Target,
        installation: &Installation,
        password: &[u8],
    ) -> Result<(), Problem>;

    /// Makes a server that runs load its files, and waits until it has.
    async fn load(&mut self, target: &Target, process: &Process) -> Result<(), Problem>;

    /// Gives the master user a new password.
    async fn set_password(&mut self, target: &Target, password: &[u8]) -> Result<(), Problem>;

    /// Makes true inside the running server what no file says. Called in every pass, when all else is done.
    async fn settle(&mut self, _target: &Target) -> Result<(), Problem> {
        Ok(())
    }

    /// Whether something inside the server, which its users may change, must be looked at now and then.
    fn is_watching(&self) -> bool {
        false
    }

    /// Looks at it, with nothing if no server runs; whether the files must be written anew because of it.
    async fn look(&mut self, _process: Option<&Process>) -> Result<bool, Problem> {
        Ok(false)
    }

    /// Forgets that anything is to be looked at.
    fn rest(&mut self) {}

    /// What of the wanted parameters has no effect, each with the reason.
    fn left_out(&self, target: &Target) -> Vec<String>;

    /// The word for the door in a status.
    fn door(&self) -> &'static str;
}

/// A server that was found running, with its kind.
pub(crate) type Adopted = (Box<dyn Kind>, Process);

/// Makes the kinds of one database.
pub(crate) struct Kinds {
    context: Arc<Context>,
    id: ResourceId,
    layout: Layout,
}

impl Kinds {
    pub(crate) fn new(context: Arc<Context>, id: ResourceId, layout: Layout) -> Self {
        Self { context, id, layout }
    }

    /// The kind of a product's servers.
    pub(crate) fn of(&self, product: Product) -> Box<dyn Kind> {
        let (context, layout) = (Arc::clone(&self.context), self.layout.clone());
        match product {
            Product::PostgreSql => Box::new(Postgres::new(context, self.id.clone(), layout)),
            Product::MySql | Product::MariaDb => {
                Box::new(Mysql::new(product, context, self.id.clone(), layout))
            }
        }
    }

    /// The server that runs on the data directory, whatever its product, with its kind. MySQL and MariaDB are known by the
    /// same words, and stopped in the same way.
    pub(crate) fn adopt(&self, user: &OsUser) -> Result<Option<Adopted>, ServerError> {
        for product in [Product::PostgreSql, Product::MySql] {
            let kind = self.of(product);
            if let Some(process) = Process::adopt(user, &*kind)? {
                return Ok(Some((kind, process)));
            }
        }
        Ok(None)
    }
}
