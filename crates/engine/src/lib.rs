//! Database servers: found, initialised, started, configured, stopped.
//!
//! The [`Reconciler`] follows the store and makes what is wanted there real: step by step, each step repeatable, so that
//! a kill at any moment is finished by the next start. Servers are processes of their own that outlive Countersign.
//!
//! Nothing here decides a login: a server asks through a door, which the binary opens by way of [`Doors`].

mod database;
mod discover;
mod kind;
mod layout;
mod mysql;
mod os_user;
mod postgres;
mod process;
mod reconcile;
mod target;
mod task;
mod template;

pub use database::Problem;
pub use discover::{Installation, discover, engine_versions, oldest};
pub use layout::{DOOR_CERTIFICATE, FileError};
pub use mysql::MysqlError;
pub use os_user::{OsUser, OsUserError};
pub use postgres::{AdminError, DoorChoice};
pub use process::ServerError;
pub use reconcile::{DoorError, Doors, EngineError, OpenDoor, Reconciler, Settings};
pub use template::TemplateError;
