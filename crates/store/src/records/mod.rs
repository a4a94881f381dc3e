//! The records, typed: what is kept under which key, read and written as JSON with optimistic locking.

mod account;
mod iam;
mod maintenance;
mod rds;

pub use self::account::{Account, AuthorityRecord};
pub use self::iam::{
    AccessKey, Group, InlinePolicies, KeyStatus, LastUsed, ManagedPolicy, PolicyVersion, Role,
    ServiceControlPolicy, Session, SessionPolicies, SessionPrincipal, Tags, User,
};
pub use self::maintenance::{MaintenanceWindow, WindowError, minute_of_day};
pub use self::rds::{
    Cluster, ClusterStatus, EngineVersion, Instance, InstanceStatus, MasterUser, ParameterGroup,
    ParameterGroupKind, Settings, State, SubnetGroup, Wanted,
};

use crate::kv::{Compare, Entry, Operation, Outcome, Revision, Store, StoreError, Transaction};
use serde::{Serialize, de::DeserializeOwned};
use std::sync::Arc;

/// A thing that is kept, and the key it is kept under.
pub trait Record: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What every key of the kind starts with, with a slash at the end.
    const PREFIX: &'static str;

    /// The key behind the prefix.
    fn key(&self) -> String;

    /// The whole key.
    fn full_key(&self) -> String {
        [Self::PREFIX, &self.key()].concat()
    }
}

/// A record as it was read, with the revision to lock on.
#[derive(Clone, Debug)]
pub struct Versioned<R> {
    /// The record.
    pub record: R,
    /// The revision that last wrote it.
    pub modified: Revision,
}

impl<R> std::ops::Deref for Versioned<R> {
    type Target = R;
    fn deref(&self) -> &R {
        &self.record
    }
}

/// Why records could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record is not what this version understands.
    #[error("the record `{key}` cannot be read: {reason}")]
    Malformed {
        /// The record's key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl RecordsError {
    fn malformed(key: &str, reason: &serde_json::Error) -> Self {
        Self::Malformed { key: key.to_owned(), reason: reason.to_string() }
    }
}

/// The records of a store.
#[derive(Clone)]
pub struct Records {
    store: Arc<dyn Store>,
}

impl Records {
    /// The records in a store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// The store beneath.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The record of the kind with the key, if there is one.
    pub async fn get<R: Record>(&self, key: &str) -> Result<Option<Versioned<R>>, RecordsError> {
        let entry = self.store.get(&[R::PREFIX, key].concat()).await?;
        entry.map(|e| decode(&e)).transpose()
    }

    /// All records of the kind whose key starts with `prefix`, in the order of their keys.
    pub async fn list<R: Record>(&self, prefix: &str) -> Result<Vec<Versioned<R>>, RecordsError> {
        let range = self.store.range(&[R::PREFIX, prefix].concat()).await?;
        range.entries.iter().map(decode).collect()
    }

    /// Commits a change.
    pub async fn commit(&self, change: Change) -> Result<Outcome, RecordsError> {
        Ok(self.store.transact(change.0).await?)
    }
}

/// Reads an entry as the record it is.
pub fn decode<R: Record>(entry: &Entry) -> Result<Versioned<R>, RecordsError> {
    let record = serde_json::from_slice(&entry.value).map_err(|e| RecordsError::malformed(&entry.key, &e))?;
    Ok(Versioned { record, modified: entry.modified })
}

/// Several writes of records that happen together or not at all.
#[derive(Debug, Default)]
pub struct Change(Transaction);

impl Change {
    /// A change that does nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record; the commit conflicts where there is one with its key already.
    pub fn insert<R: Record>(mut self, record: &R) -> Result<Self, RecordsError> {
        let key = record.full_key();
        self.0.compare.push(Compare::Absent(key.clone()));
        self.put(key, record)
    }

    /// Writes `new` in the place of `old`; the commit conflicts where `old` was written since it was read. The key may
    /// change: then the old one goes, and there must be none under the new one.
    pub fn replace<R: Record>(mut self, old: &Versioned<R>, new: &R) -> Result<Self, RecordsError> {
        let (from, to) = (old.record.full_key(), new.full_key());
        self.0.compare.push(Compare::Unchanged(from.clone(), old.modified));
        if from != to {
            self.0.compare.push(Compare::Absent(to.clone()));
            self.0.then.push(Operation::Delete(from));
        }
        self.put(to, new)
    }

    /// Removes a record; the commit conflicts where it was written since it was read.
    pub fn delete<R: Record>(mut self, old: &Versioned<R>) -> Self {
        let key = old.record.full_key();
        self.0.compare.push(Compare::Unchanged(key.clone(), old.modified));
        self.0.then.push(Operation::Delete(key));
        self
    }

    /// Asks that a record that is not written be still what was read: the commit conflicts where it is not.
    pub fn unchanged<R: Record>(mut self, seen: &Versioned<R>) -> Self {
        self.0.compare.push(Compare::Unchanged(seen.record.full_key(), seen.modified));
        self
    }

    fn put<R: Record>(mut self, key: String, record: &R) -> Result<Self, RecordsError> {
        let value = serde_json::to_vec(record).map_err(|e| RecordsError::malformed(&key, &e))?;
        self.0.then.push(Operation::Put(key, value));
        Ok(self)
    }
}
