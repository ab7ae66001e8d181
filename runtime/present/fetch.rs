//! Things read from disk on a thread of their own, shown as they come.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;

/// What has been read so far. Clones share it.
#[derive(Debug)]
pub(super) struct Fetch<T>(Arc<Mutex<Fetched<T>>>);

/// Things read, and whether more will come.
#[derive(Debug)]
pub(super) struct Fetched<T> {
    /// What has been read.
    pub(super) things: Vec<T>,
    /// Nothing more will come.
    pub(super) complete: bool,
}

impl<T: Send + 'static> Fetch<T> {
    /// Reads on a thread of its own; `read` hands on one thing after the other, and `wake` is called after each.
    pub(super) fn begin(
        wake: impl Fn() + Send + 'static,
        read: impl FnOnce(&mut dyn FnMut(T)) + Send + 'static,
    ) -> Self {
        let shared = Arc::new(Mutex::new(Fetched { things: Vec::new(), complete: false }));
        let filled = Arc::clone(&shared);
        let reader = move || {
            read(&mut |thing| {
                lock(&filled).things.push(thing);
                wake();
            });
            lock(&filled).complete = true;
            wake();
        };
        if let Err(error) = Builder::new().name("fetch".into()).spawn(reader) {
            tracing::warn!("nothing can be read: {error}");
            lock(&shared).complete = true;
        }
        Self(shared)
    }

    /// What has been read so far.
    pub(super) fn get(&self) -> MutexGuard<'_, Fetched<T>> {
        lock(&self.0)
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;
    use std::time::Duration;

    use super::*;

    #[test]
    fn things_come_one_by_one_and_each_wakes() {
        let (woken, wakes) = sync_channel(10);
        let (go, may_go) = sync_channel::<()>(0);
        let fetch = Fetch::begin(
            move || woken.send(()).unwrap(),
            move |tell| {
                tell("first");
                may_go.recv().unwrap();
                tell("second");
            },
        );
        let patience = Duration::from_secs(20);
        wakes.recv_timeout(patience).unwrap();
        let so_far = || {
            let fetched = fetch.get();
            (fetched.things.clone(), fetched.complete)
        };
        assert_eq!(so_far(), (vec!["first"], false));
        go.send(()).unwrap();
        wakes.recv_timeout(patience).unwrap();
        wakes.recv_timeout(patience).unwrap();
        assert_eq!(so_far(), (vec!["first", "second"], true));
    }
}
