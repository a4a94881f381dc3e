//! A map that is cheap to clone and to change a little: what a snapshot is made of.
//!
//! Entries lie in a fixed number of shards behind reference counts. A clone shares them all; a change copies the one
//! shard it falls in. With a million entries that is a thousand, so that publishing one change costs microseconds,
//! while a look-up is one hash of the key and nothing else.

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

/// Enough that a shard of a million entries is copied in some 20 us, few enough that an empty map is small.
const SHARDS: usize = 1024;

type Shard<K, V> = HashTable<(K, V)>;

/// A persistent hash map.
#[derive(Debug)]
pub(crate) struct Shards<K, V>(Box<[Arc<Shard<K, V>>]>);

impl<K, V> Clone for Shards<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K, V> Default for Shards<K, V> {
    fn default() -> Self {
        let empty = Arc::new(Shard::default());
        Self(std::iter::repeat_n(empty, SHARDS).collect())
    }
}

/// A fixed seed: keys are what administrators made, never what a client sent.
fn hash_of<Q: Hash + ?Sized>(key: &Q) -> u64 {
    FixedState::default().hash_one(key)
}

/// The tables inside use the low bits of a hash and the top seven; the shard is chosen by others.
fn shard_of(hash: u64) -> usize {
    (hash >> 32) as usize % SHARDS
}

impl<K: Hash + Eq + Clone, V: Clone> Shards<K, V> {
    pub(crate) fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = hash_of(key);
        let entry = self.0.get(shard_of(hash))?.find(hash, |(known, _)| known.borrow() == key);
        entry.map(|(_, value)| value)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        let hash = hash_of(&key);
        if let Some(shard) = self.0.get_mut(shard_of(hash)) {
            let entry =
                Arc::make_mut(shard).entry(hash, |(known, _)| *known == key, |(known, _)| hash_of(known));
            entry.insert((key, value));
        }
    }

    pub(crate) fn remove<Q>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = hash_of(key);
        let is_key = |(known, _): &(K, V)| known.borrow() == key;
        if let Some(shard) = self.0.get_mut(shard_of(hash)).filter(|shard| shard.find(hash, is_key).is_some())
            && let Ok(entry) = Arc::make_mut(shard).find_entry(hash, is_key)
        {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_keeps_what_it_had() {
        let mut first = Shards::default();
        for n in 0..5000 {
            first.insert(n, n * 2);
        }
        let mut second = first.clone();
        second.insert(7, 0);
        second.remove(&8);
        let count = |map: &Shards<i32, i32>| (0..5000).filter(|n| map.get(n).is_some()).count();
        assert_eq!((first.get(&7), first.get(&8), count(&first)), (Some(&14), Some(&16), 5000));
        assert_eq!((second.get(&7), second.get(&8), count(&second)), (Some(&0), None, 4999));
    }
}
