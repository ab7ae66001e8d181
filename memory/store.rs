//! A least-recently-used store under a byte budget.

use std::hash::Hash;

use lru::LruCache;

/// Values by key, the least recently used let go when their bytes exceed a budget.
#[derive(Debug)]
pub struct ByteLru<K: Hash + Eq, V> {
    entries: LruCache<K, Weighed<V>>,
    budget_bytes: usize,
    bytes: usize,
}

/// A value and the bytes it counts for.
#[derive(Debug)]
struct Weighed<V> {
    value: V,
    bytes: usize,
}

impl<K: Hash + Eq, V> ByteLru<K, V> {
    /// An empty store that holds at most `budget_bytes`.
    #[must_use]
    pub fn new(budget_bytes: usize) -> Self {
        Self { entries: LruCache::unbounded(), budget_bytes, bytes: 0 }
    }

    /// Stores a value as the most recently used, in place of an older one under its key, and gives
    /// back what had to go, least recently used first.
    ///
    /// # Errors
    /// Gives the value back when it alone exceeds the budget; an older one under its key is gone
    /// then too, being out of date.
    pub fn insert(&mut self, key: K, value: V, bytes: usize) -> Result<Vec<(K, V)>, V> {
        self.remove(&key);
        if bytes > self.budget_bytes {
            return Err(value);
        }
        let mut evicted = Vec::new();
        while self.bytes > self.budget_bytes - bytes {
            let Some((key, entry)) = self.entries.pop_lru() else { break };
            self.bytes -= entry.bytes;
            evicted.push((key, entry.value));
        }
        self.bytes += bytes;
        self.entries.put(key, Weighed { value, bytes });
        Ok(evicted)
    }

    /// The value under `key`, which becomes the most recently used.
    pub fn get(&mut self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// The value under `key`, its age left as it is.
    #[must_use]
    pub fn peek(&self, key: &K) -> Option<&V> {
        self.entries.peek(key).map(|entry| &entry.value)
    }

    /// Whether a value is stored under `key`; its age is left as it is.
    #[must_use]
    pub fn contains(&self, key: &K) -> bool {
        self.entries.contains(key)
    }

    /// Takes the value under `key` out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let entry = self.entries.pop(key)?;
        self.bytes -= entry.bytes;
        Some(entry.value)
    }

    /// Lets everything go.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
    }

    /// Bytes held, never more than the budget.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Most bytes held.
    #[must_use]
    pub fn budget_bytes(&self) -> usize {
        self.budget_bytes
    }

    /// Values held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BUDGET: usize = 20;

    /// The same store, written naively: least recently used first.
    #[derive(Default)]
    struct Model(Vec<(u8, u32, usize)>);

    impl Model {
        fn take(&mut self, key: u8) -> Option<(u8, u32, usize)> {
            let at = self.0.iter().position(|entry| entry.0 == key)?;
            Some(self.0.remove(at))
        }

        fn bytes(&self) -> usize {
            self.0.iter().map(|entry| entry.2).sum()
        }

        fn insert(&mut self, key: u8, value: u32, bytes: usize) -> Result<Vec<(u8, u32)>, u32> {
            self.take(key);
            if bytes > BUDGET {
                return Err(value);
            }
            let mut evicted = Vec::new();
            while self.bytes() + bytes > BUDGET {
                let (key, value, _) = self.0.remove(0);
                evicted.push((key, value));
            }
            self.0.push((key, value, bytes));
            Ok(evicted)
        }

        fn get(&mut self, key: u8) -> Option<u32> {
            let entry = self.take(key)?;
            self.0.push(entry);
            Some(entry.1)
        }
    }

    proptest! {
        #[test]
        fn acts_as_the_naive_store(
            calls in prop::collection::vec((0_u8..4, 0_u8..8, any::<u32>(), 0_usize..24), 0..200)
        ) {
            let (mut store, mut model) = (ByteLru::new(BUDGET), Model::default());
            for (call, key, value, bytes) in calls {
                match call {
                    0 => prop_assert_eq!(store.get(&key).copied(), model.get(key)),
                    1 => {
                        prop_assert_eq!(store.remove(&key), model.take(key).map(|entry| entry.1));
                    }
                    _ => {
                        let evicted = store.insert(key, value, bytes);
                        prop_assert_eq!(evicted, model.insert(key, value, bytes));
                    }
                }
                prop_assert!(store.bytes() <= BUDGET);
                prop_assert_eq!((store.bytes(), store.len()), (model.bytes(), model.0.len()));
                for (key, value, _) in &model.0 {
                    prop_assert_eq!(store.peek(key), Some(value));
                }
            }
        }
    }
}
