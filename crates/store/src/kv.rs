//! The store's shape, which is etcd's: keys and values under one revision that every commit raises; compare on
//! revisions, then operate; watch from a revision on. What an embedded file and a cluster of etcd nodes both can do.

use futures_util::stream::BoxStream;

/// The number of a commit: each commit raises it by one, and no two commits share it. 0 is the empty store.
pub type Revision = u64;

/// A key, its value, and when it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key, a path such as `/iam/user/jane`.
    pub key: String,
    /// The value.
    pub value: Vec<u8>,
    /// The revision that made the key.
    pub created: Revision,
    /// The revision that last wrote the key.
    pub modified: Revision,
}

/// A condition that a transaction asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compare {
    /// The key does not exist.
    Absent(String),
    /// The key exists and was last written by this revision.
    Unchanged(String, Revision),
}

/// A write that a transaction does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Writes the key.
    Put(String, Vec<u8>),
    /// Removes the key; nothing happens where there is none.
    Delete(String),
}

/// All of `then`, in its order, if all of `compare` hold, else nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// What must hold.
    pub compare: Vec<Compare>,
    /// What is done.
    pub then: Vec<Operation>,
}

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// Done, durable, under this revision. Where `then` was empty there was nothing to do: the comparisons hold at
    /// this revision, which was there before.
    Committed(Revision),
    /// A comparison did not hold; nothing was written.
    Conflict,
}

/// What a range read found: a consistent picture at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The entries in the order of their keys.
    pub entries: Vec<Entry>,
    /// The revision they were read at.
    pub revision: Revision,
}

/// A commit, as a watcher sees it: what it wrote under the watched prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The commit's revision.
    pub revision: Revision,
    /// The writes, in the order of the transaction.
    pub operations: Vec<Operation>,
}

/// The commits from a revision on, in order, without a gap, until the store goes away or an error, which is the last.
pub type Watch = BoxStream<'static, Result<Event, StoreError>>;

/// Why the store did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The watched revision is no longer remembered: read the range anew and watch from there.
    #[error("revision {asked} is no longer kept, the oldest is {oldest}")]
    Compacted {
        /// The revision that was asked for.
        asked: Revision,
        /// The oldest that can be watched from.
        oldest: Revision,
    },
    /// The storage failed.
    #[error("the store failed: {0}")]
    Storage(String),
    /// Another process has the store open.
    #[error("`{0}` is in use by another process: is Countersign running on this data directory already?")]
    InUse(String),
}

/// A key-value store in the shape of etcd's.
///
/// A committed transaction is durable when it is acknowledged: it survives a crash of the process or the machine.
#[async_trait::async_trait]
pub trait Store: Send + Sync + 'static {
    /// The entry of a key.
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError>;

    /// The entries whose key starts with `prefix`, in order, at one revision.
    async fn range(&self, prefix: &str) -> Result<Range, StoreError>;

    /// Compares, then operates. After an error it is not known whether the transaction was done.
    async fn transact(&self, transaction: Transaction) -> Result<Outcome, StoreError>;

    /// The commits after revision `after` that wrote under `prefix`, as they come; commits that wrote nothing there
    /// arrive as events without operations, so that a follower knows how far it is. A watcher so slow that the store no
    /// longer remembers the next commit is told [`StoreError::Compacted`].
    async fn watch(&self, prefix: &str, after: Revision) -> Result<Watch, StoreError>;
}
