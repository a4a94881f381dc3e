//! What is kept: the [`Store`], an etcd-shaped key-value store with revisions, transactions and watches; the records in
//! it, typed; the secrets among them, sealed; and their publication as the snapshot that logins are decided from.
//!
//! Readers of a snapshot never come here: a login goes on while the store is away.

pub mod authorities;
mod embedded;
mod file;
mod kv;
mod policy_text;
mod publish;
pub mod records;
mod seal;

pub use embedded::EmbeddedStore;
pub use file::write_whole;
pub use kv::{
    Compare, Entry, Event, Operation, Outcome, Range, Revision, Store, StoreError, Transaction, Watch,
};
pub use policy_text::policy_text;
pub use publish::{Published, follow};
pub use records::{Change, Record, Records, RecordsError, Versioned};
pub use seal::{MasterKey, SealError, Sealed};
