//! The embedded store: one redb file, written by one thread that puts all transactions that wait into one commit.
//!
//! It keeps the contract of [`crate::kv`] and knows nothing of what the keys and values mean.

use crate::kv::{
    Compare, Entry, Event, Operation, Outcome, Range, Revision, Store, StoreError, Transaction, Watch,
};
use futures_util::stream::{self, StreamExt as _};
use redb::backends::FileBackend;
use redb::{
    Database, DatabaseError, ReadTransaction, ReadableDatabase as _, ReadableTable, Table, TableDefinition,
    TableError, WriteTransaction,
};
use std::collections::VecDeque;
use std::fmt;
use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot, watch};

/// The store in a file of this machine, for one process.
///
/// A transaction that was handed over is carried out even when the future that waits for it is dropped. Dropping the
/// store carries out what was handed over, ends its watches, and frees the file; it blocks for that long.
pub struct EmbeddedStore {
    file: Arc<StoreFile>,
    head: watch::Receiver<Revision>,
    // Both are taken by `drop` alone.
    queue: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
}

impl EmbeddedStore {
    /// The commits that are remembered for watches. A follower that fell further behind reads its range anew, which
    /// then is no dearer than replaying; what is remembered of records of 1 KiB takes some 4 MiB of the file.
    pub const REMEMBERED: u64 = 4096;

    /// Opens the store in the file, which is made, with mode 0600, where there is none. A file that others may read is
    /// made private.
    ///
    /// # Errors
    /// [`StoreError::InUse`] where the file is open already, [`StoreError::Storage`] where it is not a store of this
    /// version or the disk fails.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let (database, revision) = open(path)?;
        let file = Arc::new(StoreFile { path: path.to_owned(), database: RwLock::new(Some(database)) });
        let (queue, jobs) = mpsc::channel(QUEUE);
        let (publish, head) = watch::channel(revision);
        let writer = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn({
                let file = file.clone();
                move || write(&file, jobs, &publish)
            })
            .map_err(storage)?;
        Ok(Self { file, head, queue: Some(queue), writer: Some(writer) })
    }
}

impl fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedStore").field("revision", &*self.head.borrow()).finish_non_exhaustive()
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the thread that writes the store panicked");
        }
        self.file.close();
    }
}

#[async_trait::async_trait]
impl Store for EmbeddedStore {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        let key = key.to_owned();
        self.read(move |transaction| {
            let found = transaction.open_table(ENTRIES)?.get(key.as_str())?;
            Ok(found.map(|value| entry(&key, value.value())))
        })
        .await
    }

    async fn range(&self, prefix: &str) -> Result<Range, StoreError> {
        let prefix = prefix.to_owned();
        self.read(move |transaction| {
            let mut entries = Vec::new();
            for found in transaction.open_table(ENTRIES)?.range(prefix.as_str()..)? {
                let (key, value) = found?;
                if !key.value().starts_with(&prefix) {
                    break;
                }
                entries.push(entry(key.value(), value.value()));
            }
            Ok(Range { entries, revision: revision(&transaction.open_table(META)?)? })
        })
        .await
    }

    async fn transact(&self, transaction: Transaction) -> Result<Outcome, StoreError> {
        let stopped = || StoreError::Storage("its writer has stopped: restart Countersign".to_owned());
        let (reply, answer) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        queue.send(Job { transaction, reply }).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    async fn watch(&self, prefix: &str, after: Revision) -> Result<Watch, StoreError> {
        let mut follower = Follower {
            file: self.file.clone(),
            head: self.head.clone(),
            prefix: prefix.into(),
            seen: after,
            fetched: VecDeque::new(),
        };
        // Asked before the first event is, so that who comes too late is told so here.
        follower.fetch().await?;
        Ok(stream::try_unfold(follower, |mut follower| async {
            Ok(follower.next().await?.map(|event| (event, follower)))
        })
        .boxed())
    }
}

/// Keys to (created, modified, value).
const ENTRIES: TableDefinition<'_, &str, (u64, u64, &[u8])> = TableDefinition::new("entries");
/// Revisions to the writes of their transaction, the last [`EmbeddedStore::REMEMBERED`] without a gap.
const LOG: TableDefinition<'_, u64, Writes<'_>> = TableDefinition::new("log");
/// The writes of a transaction in its order: a key, and its value where it was not removed.
type Writes<'a> = Vec<(&'a str, Option<&'a [u8]>)>;
/// [`REVISION`] and [`FORMAT`].
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const REVISION: &str = "revision";
/// What the tables mean, so that a version that reads them otherwise does not misread them.
const FORMAT: (&str, u64) = ("format", 1);

/// The transactions that may wait for the writer, and so the most that share a commit; further ones wait for their turn
/// to wait.
const QUEUE: usize = 256;
/// The pages kept in memory, in bytes: the inner nodes of a large store or the whole of a small one. What is not in it
/// still is in the page cache of the system.
const CACHE: usize = 4 << 20;
/// The events and the bytes of values that a watch fetches at once: what a slow watcher costs at most, but for a single
/// event that is larger.
const FETCH: (usize, usize) = (64, 256 << 10);

impl EmbeddedStore {
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let read = move |transaction: &ReadTransaction| read(transaction).map_err(storage);
        self.file.read(read).await?.ok_or_else(not_open)
    }
}

/// The open file, which the watches share but do not keep open.
struct StoreFile {
    path: PathBuf,
    database: RwLock<Option<Database>>,
}

impl StoreFile {
    /// Reads on a thread that may block: redb reads the file, in a cold cache from the disk. `None` where the file is
    /// not open.
    async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&ReadTransaction) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Option<T>, StoreError> {
        let file = self.clone();
        let read = move || file.with(|database| read(&database.begin_read().map_err(storage)?)).transpose();
        tokio::task::spawn_blocking(read).await.map_err(storage)?
    }

    /// `None` where the file is not open.
    fn with<T>(&self, act: impl FnOnce(&Database) -> T) -> Option<T> {
        self.database.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(act)
    }

    /// Opens the file anew. After a write that failed, on a full disk say, redb takes no further ones, and this finds
    /// out what became of the last: the store serves again as soon as the disk does. What was acknowledged, up to
    /// `head`, is to be in it.
    fn reopen(&self, head: Revision) -> Result<Revision, StoreError> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        drop(database.take());
        let (opened, revision) = open(&self.path)?;
        if revision < head {
            let path = self.path.display();
            return Err(StoreError::Storage(format!(
                "`{path}` is at revision {revision}, expected {head} or later: was the file replaced or removed?"
            )));
        }
        *database = Some(opened);
        Ok(revision)
    }

    fn close(&self) {
        let database = self.database.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Err(error)) = database.map(Database::close) {
            tracing::warn!(%error, "the store did not close cleanly, the next start checks it");
        }
    }
}

/// Opens the file and says which revision it stands at.
fn open(path: &Path) -> Result<(Database, Revision), StoreError> {
    let in_use = || StoreError::InUse(path.display().to_string());
    let file = open_private(path).map_err(storage)?;
    // redb would take this lock too, but only after the file was looked at.
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => in_use(),
        TryLockError::Error(error) => storage(error),
    })?;
    discard_unfinished(&file).map_err(storage)?;
    let database = Database::builder()
        .set_cache_size(CACHE)
        .create_with_backend(FileBackend::new(file).map_err(storage)?)
        .map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => in_use(),
            error => storage(error),
        })?;
    let revision = prepare(&database)?;
    sync_folder(path).map_err(storage)?;
    Ok((database, revision))
}

fn open_private(path: &Path) -> io::Result<File> {
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    let mode = file.metadata()?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "others could read the store: its mode is now 0600");
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

/// Empties a file that a killed process began to make a database of: redb writes the magic number last, and refuses a
/// file with something in it and no magic number.
fn discard_unfinished(file: &File) -> io::Result<()> {
    let mut start = Vec::new();
    file.take(8).read_to_end(&mut start)?;
    if !start.is_empty() && start.iter().all(|&byte| byte == 0) { file.set_len(0) } else { Ok(()) }
}

/// Makes the tables of a new store.
fn prepare(database: &Database) -> Result<Revision, StoreError> {
    let read = database.begin_read().map_err(storage)?;
    match read.open_table(META) {
        Ok(meta) => {
            let (name, expected) = FORMAT;
            match meta.get(name).map_err(storage)?.map(|format| format.value()) {
                Some(format) if format == expected => revision(&meta).map_err(storage),
                format => Err(StoreError::Storage(format!(
                    "its format is {}, expected {expected}: was it written by another version of Countersign?",
                    format.map_or_else(|| "unknown".to_owned(), |format| format.to_string())
                ))),
            }
        }
        Err(TableError::TableDoesNotExist(_)) => {
            let make = || -> Result<(), redb::Error> {
                let write = begin_write(database)?;
                Tables::open(&write)?.meta.insert(FORMAT.0, FORMAT.1)?;
                Ok(write.commit()?)
            };
            make().map_err(storage)?;
            Ok(0)
        }
        Err(error) => Err(storage(error)),
    }
}

/// Makes the file's name durable. Done at each opening, as the process that made the file may have been killed before
/// it did.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// A transaction, and who waits for what becomes of it.
struct Job {
    transaction: Transaction,
    reply: oneshot::Sender<Result<Outcome, StoreError>>,
}

/// Carries out the jobs until nobody is left to hand over more: those that came while the last commit was on its way
/// to the disk share the next.
fn write(file: &StoreFile, mut jobs: mpsc::Receiver<Job>, head: &watch::Sender<Revision>) {
    let mut batch = Vec::with_capacity(QUEUE);
    while jobs.blocking_recv_many(&mut batch, QUEUE) > 0 {
        let (transactions, replies): (Vec<_>, Vec<_>) =
            batch.drain(..).map(|job| (job.transaction, job.reply)).unzip();
        let acknowledged = *head.borrow();
        let done = file
            .with(|database| commit(database, &transactions).map_err(storage))
            .unwrap_or_else(|| Err(not_open()));
        let revision = match &done {
            Ok((_, revision)) => Ok(*revision),
            Err(error) => {
                tracing::error!(%error, "a commit failed, opening the store anew");
                file.reopen(acknowledged)
            }
        };
        match revision {
            Ok(revision) => {
                head.send_if_modified(|head| std::mem::replace(head, revision) != revision);
            }
            Err(error) => tracing::error!(%error, "the store is away until the next write opens it"),
        }
        for (nth, reply) in replies.into_iter().enumerate() {
            let answer = match &done {
                Ok((outcomes, _)) => {
                    outcomes.get(nth).copied().ok_or_else(|| storage("an outcome is missing"))
                }
                Err(StoreError::Storage(reason)) => Err(StoreError::Storage(reason.clone())),
                Err(error) => Err(storage(error)),
            };
            // Who no longer waits needs no answer.
            drop(reply.send(answer));
        }
    }
}

/// Commits the transactions, one after the other, at once: what became of each, and the revision after them. Where it
/// fails none of them is to be taken for done, nor for not done.
fn commit(database: &Database, batch: &[Transaction]) -> Result<(Vec<Outcome>, Revision), redb::Error> {
    let write = begin_write(database)?;
    let mut tables = Tables::open(&write)?;
    let before = revision(&tables.meta)?;
    let mut head = before;
    let mut outcomes = Vec::with_capacity(batch.len());
    for transaction in batch {
        outcomes.push(if !tables.holds(&transaction.compare)? {
            Outcome::Conflict
        } else if transaction.then.is_empty() {
            Outcome::Committed(head)
        } else {
            head += 1;
            tables.apply(&transaction.then, head)?;
            Outcome::Committed(head)
        });
    }
    if head == before {
        drop(tables);
        write.abort()?;
    } else {
        tables.meta.insert(REVISION, head)?;
        tables.forget(head.saturating_sub(EmbeddedStore::REMEMBERED))?;
        drop(tables);
        write.commit()?;
    }
    Ok((outcomes, head))
}

/// A redb transaction, which is on the disk when its commit returns.
fn begin_write(database: &Database) -> Result<WriteTransaction, redb::Error> {
    let mut write = database.begin_write()?;
    write.set_durability(redb::Durability::Immediate)?;
    // A second fsync a commit, which those that share it pay together, for an opening after a crash that does not walk
    // the file: measured, 5 to 10 ms at any size, against 35 ms at 16 MB, 90 ms at 128 MB and 510 ms at 514 MB.
    write.set_quick_repair(true);
    Ok(write)
}

struct Tables<'t> {
    entries: Table<'t, &'static str, (u64, u64, &'static [u8])>,
    log: Table<'t, u64, Writes<'static>>,
    meta: Table<'t, &'static str, u64>,
}

impl<'t> Tables<'t> {
    fn open(write: &'t WriteTransaction) -> Result<Self, TableError> {
        Ok(Self {
            entries: write.open_table(ENTRIES)?,
            log: write.open_table(LOG)?,
            meta: write.open_table(META)?,
        })
    }

    fn holds(&self, compare: &[Compare]) -> Result<bool, redb::Error> {
        for condition in compare {
            let (key, expected) = match condition {
                Compare::Absent(key) => (key, None),
                Compare::Unchanged(key, modified) => (key, Some(*modified)),
            };
            if self.entries.get(key.as_str())?.map(|entry| entry.value().1) != expected {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn apply(&mut self, then: &[Operation], revision: Revision) -> Result<(), redb::Error> {
        let mut writes = Vec::with_capacity(then.len());
        for operation in then {
            match operation {
                Operation::Put(key, value) => {
                    let created = self.entries.get(key.as_str())?.map_or(revision, |entry| entry.value().0);
                    self.entries.insert(key.as_str(), (created, revision, value.as_slice()))?;
                    writes.push((key.as_str(), Some(value.as_slice())));
                }
                Operation::Delete(key) => {
                    self.entries.remove(key.as_str())?;
                    writes.push((key.as_str(), None));
                }
            }
        }
        self.log.insert(revision, writes)?;
        Ok(())
    }

    /// Forgets the commits up to and with the revision.
    fn forget(&mut self, through: Revision) -> Result<(), redb::Error> {
        Ok(self.log.retain_in(..=through, |_, _| false)?)
    }
}

/// A watch: it reads the log behind the head of the store, so that history and what happens now come the same way, and
/// a slow watcher holds a page of events instead of a queue of them.
struct Follower {
    file: Arc<StoreFile>,
    head: watch::Receiver<Revision>,
    prefix: Arc<str>,
    seen: Revision,
    fetched: VecDeque<Event>,
}

impl Follower {
    /// The next event; `None` once the store is closed.
    async fn next(&mut self) -> Result<Option<Event>, StoreError> {
        loop {
            if let Some(event) = self.fetched.pop_front() {
                self.seen = event.revision;
                return Ok(Some(event));
            }
            let seen = self.seen;
            if self.head.wait_for(|head| *head > seen).await.is_err() || !self.fetch().await? {
                return Ok(None);
            }
        }
    }

    /// Fetches events after the last one seen, where there are any; false once the store is closed.
    async fn fetch(&mut self) -> Result<bool, StoreError> {
        let (prefix, after) = (self.prefix.clone(), self.seen);
        let fetched = self.file.read(move |transaction| history(transaction, &prefix, after)).await?;
        let open = fetched.is_some();
        self.fetched = fetched.unwrap_or_default();
        Ok(open)
    }
}

/// The commits after a revision, as many as are fetched at once.
fn history(
    transaction: &ReadTransaction,
    prefix: &str,
    after: Revision,
) -> Result<VecDeque<Event>, StoreError> {
    let log = transaction.open_table(LOG).map_err(storage)?;
    let oldest = log.first().map_err(storage)?.map_or(0, |(first, _)| first.value().saturating_sub(1));
    if after < oldest {
        return Err(StoreError::Compacted { asked: after, oldest });
    }
    let (mut events, mut size) = (VecDeque::new(), 0);
    for commit in log.range(after.saturating_add(1)..).map_err(storage)? {
        let (revision, writes) = commit.map_err(storage)?;
        let mut operations = Vec::new();
        for (key, value) in writes.value().into_iter().filter(|(key, _)| key.starts_with(prefix)) {
            size += key.len() + value.map_or(0, <[u8]>::len);
            operations.push(match value {
                Some(value) => Operation::Put(key.to_owned(), value.to_owned()),
                None => Operation::Delete(key.to_owned()),
            });
        }
        events.push_back(Event { revision: revision.value(), operations });
        if events.len() >= FETCH.0 || size >= FETCH.1 {
            break;
        }
    }
    Ok(events)
}

fn entry(key: &str, (created, modified, value): (u64, u64, &[u8])) -> Entry {
    Entry { key: key.to_owned(), value: value.to_owned(), created, modified }
}

/// The revision of the last commit, 0 before the first.
fn revision(meta: &impl ReadableTable<&'static str, u64>) -> Result<Revision, redb::Error> {
    Ok(meta.get(REVISION)?.map_or(0, |revision| revision.value()))
}

fn not_open() -> StoreError {
    StoreError::Storage("its file is not open".to_owned())
}

fn storage(error: impl fmt::Display) -> StoreError {
    StoreError::Storage(error.to_string())
}
