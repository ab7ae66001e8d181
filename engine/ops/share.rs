//! Work that threads share out among themselves, and whose end is waited for awake.
//!
//! A frame's work parts and joins more than a hundred times, every few dozen microseconds. A thread of rayon that waits for
//! the others calls the system at each look for something to do, and soon goes to sleep: on a virtual machine it takes
//! longer to wake than what it waits for. So the one that shares work out waits for its end by itself; whoever runs a frame
//! keeps the others from sleeping. And where cores share no cache, a thread waits for whatever another one has written: in a
//! pool each does the same part of the work every time, and its part alone is what it begins and fills.

use rayon::Yield;
use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Looks for something to do between two calls of the system, which lets others have the core.
const LOOKS: u32 = 64;
/// Pauses between two looks.
const PAUSES: u32 = 16;

/// Does `work` on all items, by all threads: each takes those of its part in their order, then what others have left, from
/// their ends.
pub(crate) fn share<T: Send>(items: impl IntoIterator<Item = T>, work: impl Fn(T) + Sync) {
    share_with(items, || (), |(), item| work(item));
}

/// The same, each thread with memory of its own.
fn share_with<T: Send, M>(
    items: impl IntoIterator<Item = T>,
    memory: impl Fn() -> M + Sync,
    work: impl Fn(&mut M, T) + Sync,
) {
    let items: Vec<T> = items.into_iter().collect();
    let threads = rayon::current_num_threads().min(items.len());
    if threads < 2 {
        let mut memory = memory();
        return items.into_iter().for_each(|item| work(&mut memory, item));
    }
    let parts = Parts::new(items, threads);
    let take = || {
        // In a pool, and where there is an item for each, a thread has the same part every time.
        let own = rayon::current_thread_index().unwrap_or(0) % threads;
        let Some(first) = parts.next(own) else { return };
        let mut memory = memory();
        work(&mut memory, first);
        while let Some(item) = parts.next(own) {
            work(&mut memory, item);
        }
    };
    let others = AtomicUsize::new(threads - 1);
    rayon::in_place_scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|_| {
                let _over = Over(&others);
                take();
            });
        }
        take();
        // Elsewhere only the pool's threads can begin what they were given.
        if rayon::current_thread_index().is_some() {
            wait_for(&others);
        }
    });
}

/// A vector that is made by all threads: of runs of `run` values (the last may be shorter), each in parts of `part`. `work` is
/// given memory of its thread's own, the numbers of the run and of the part, and the part, all zeros.
pub(crate) fn make_with<M>(
    len: usize,
    [run, part]: [usize; 2],
    memory: impl Fn() -> M + Sync,
    work: impl Fn(&mut M, [usize; 2], &mut [f32]) + Sync,
) -> Vec<f32> {
    let mut made = Vec::with_capacity(len);
    let (runs, whole) = (made.spare_capacity_mut()[..len].chunks_mut(run.max(1)), part.max(1));
    let parts = runs.enumerate().flat_map(|(run, values)| {
        values.chunks_mut(whole).enumerate().map(move |(part, values)| ([run, part], values))
    });
    share_with(parts, memory, |memory, (at, part)| {
        part.fill(MaybeUninit::new(0.0));
        #[expect(unsafe_code, reason = "memory is begun where it is filled")]
        // SAFETY: every value has just been set.
        let part = unsafe { part.assume_init_mut() };
        work(memory, at, part);
    });
    #[expect(unsafe_code, reason = "memory is begun where it is filled")]
    // SAFETY: the parts are all of it, and `share_with` comes back once `work` was given each, set.
    unsafe {
        made.set_len(len);
    }
    made
}

/// What is left to do of each thread's part.
struct Parts<T>(Vec<Mutex<VecDeque<T>>>);

impl<T> Parts<T> {
    fn new(items: Vec<T>, threads: usize) -> Self {
        let count = items.len();
        let mut items = items.into_iter();
        // Where `at` parts end, parts as even as can be.
        let end = |at: usize| count * at / threads;
        let part = |at: usize| items.by_ref().take(end(at + 1) - end(at)).collect();
        Self((0..threads).map(part).map(Mutex::new).collect())
    }

    /// The next item of a thread's own part, else the last one of another's.
    fn next(&self, own: usize) -> Option<T> {
        let lock = |at: usize| self.0[at].lock().unwrap_or_else(PoisonError::into_inner);
        let of_own = lock(own).pop_front();
        of_own.or_else(|| {
            let others = (1..self.0.len()).map(|step| (own + step) % self.0.len());
            others.filter_map(|other| lock(other).pop_back()).next()
        })
    }
}

/// Counts down when it goes out of scope, however it does.
struct Over<'a>(&'a AtomicUsize);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

/// Does what else there is to do until no others are left.
fn wait_for(others: &AtomicUsize) {
    let mut looks = 0_u32;
    while others.load(Ordering::Acquire) > 0 {
        if rayon::yield_now() == Some(Yield::Executed) {
            continue;
        }
        (0..PAUSES).for_each(|_| std::hint::spin_loop());
        looks += 1;
        if looks.is_multiple_of(LOOKS) {
            std::thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn on(threads: usize, work: impl FnOnce() + Send) {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work);
    }

    #[test]
    fn every_item_is_done_once_whoever_does_it() {
        for threads in [1, 2, 5] {
            for count in [0, 1, 2, 3, 1000] {
                let mut done = vec![0_usize; count];
                on(threads, || share(done.iter_mut().enumerate(), |(at, x)| *x += at + 1));
                assert!((1..).zip(&done).all(|(want, got)| want == *got), "{threads}, {count}");
            }
        }
        // Outside any pool.
        let mut done = [0; 10];
        share(done.iter_mut(), |x| *x += 1);
        assert_eq!(done, [1; 10]);
    }

    #[test]
    fn no_more_threads_take_part_than_there_are_items() {
        let memories = AtomicUsize::new(0);
        let count = || memories.fetch_add(1, Ordering::Relaxed);
        on(4, || share_with([1, 2], count, |_, _| ()));
        assert!((1..=2).contains(&memories.load(Ordering::Relaxed)));
    }

    #[test]
    fn a_thread_takes_its_own_part_in_order_then_the_ends_of_others() {
        let parts = Parts::new((0..7).collect(), 3);
        let takes = [(1, 2), (1, 3), (2, 4), (1, 6), (1, 5), (0, 0), (2, 1)];
        for (thread, want) in takes {
            assert_eq!(parts.next(thread), Some(want), "thread {thread}");
        }
        assert!((0..3).all(|thread| parts.next(thread).is_none()));
    }

    #[test]
    fn a_vector_is_made_of_parts_that_begin_as_zeros() {
        for threads in [1, 3] {
            on(threads, || {
                let made = make_with(
                    23,
                    [10, 4],
                    || (),
                    |(), [run, part], values| {
                        assert!(values.iter().all(|&value| value == 0.0));
                        values.fill((10 * run + part) as f32);
                    },
                );
                let want = |at: usize| (10 * (at / 10) + at % 10 / 4) as f32;
                assert_eq!(made, (0..23).map(want).collect::<Vec<_>>());
            });
        }
        assert!(make_with(0, [0, 0], || (), |(), _, _| unreachable!()).is_empty());
    }

    #[test]
    fn work_within_work_is_done() {
        let sum = AtomicUsize::new(0);
        on(2, || {
            share(0..8_usize, |a| {
                share(0..8_usize, |b| {
                    sum.fetch_add(8 * a + b, Ordering::Relaxed);
                });
            });
        });
        assert_eq!(sum.into_inner(), 63 * 64 / 2);
    }

    #[test]
    fn a_panic_reaches_the_caller() {
        for bad in [0, 7] {
            let share = || share(0..8, |item| assert_ne!(item, bad));
            let caught = catch_unwind(AssertUnwindSafe(|| on(2, share)));
            assert!(caught.is_err());
        }
    }
}
