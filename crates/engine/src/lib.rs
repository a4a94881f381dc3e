//! Database servers: found, initialised, started, configured, stopped.
//!
//! The [`Reconciler`] follows the store and makes what is wanted there real: step by step, each step repeatable, so that
//! a kill at any moment is finished by the next start. Servers are processes of their own that outlive Countersign.
//!
//! Nothing here decides a login: a server asks through a door, which the binary opens by way of [`Doors`].

mod admin;
mod config;
mod database;
mod discover;
mod layout;
mod os_user;
mod reconcile;
mod supervise;
mod target;
mod task;
mod template;

pub use admin::AdminError;
pub use config::DoorChoice;
pub use database::Problem;
pub use discover::{Installation, OLDEST_MAJOR, discover, engine_versions};
pub use layout::{DOOR_CERTIFICATE, FileError};
pub use os_user::{OsUser, OsUserError};
pub use reconcile::{DoorError, Doors, EngineError, OpenDoor, Reconciler, Settings};
pub use supervise::ServerError;
pub use template::TemplateError;
