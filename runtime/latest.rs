//! A slot that holds one value: the newest wins, an unread one is lost.

use std::sync::{Arc, Mutex, PoisonError};

/// The newest value of a kind, handed from one thread to another. Clones share the slot.
#[derive(Clone, Debug)]
pub struct Latest<T>(Arc<Mutex<Option<T>>>);

impl<T> Default for Latest<T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(None)))
    }
}

impl<T> Latest<T> {
    /// Puts `value` in the slot in place of what was there.
    pub fn put(&self, value: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
    }

    /// Takes the value out, if one came since the last time.
    pub fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_value_wins_and_is_taken_once() {
        let slot = Latest::default();
        assert_eq!(slot.take(), None);
        slot.put(1);
        let twin = slot.clone();
        twin.put(2);
        assert_eq!(slot.take(), Some(2));
        assert_eq!(slot.take(), None);
    }
}
