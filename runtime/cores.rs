//! Work on all cores, with the memory it needs kept.

use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rayon::{ThreadPoolBuildError, ThreadPoolBuilder, Yield};

/// A thread that has found nothing to do for so long goes to sleep.
const IDLE: Duration = Duration::from_millis(2);
/// Pauses between two looks for something to do.
const PAUSES: u32 = 16;

/// What says how many threads work, to rayon and to candle.
pub const THREADS: &str = "RAYON_NUM_THREADS";
/// What says how many threads candle keeps beside rayon's, for simple operations on large tensors.
pub const CANDLE_THREADS: &str = "CANDLE_NUM_THREADS";
/// Whether the user says so.
static TOLD: OnceLock<bool> = OnceLock::new();

/// Settles how many threads work: as many as the machine has cores, where the user does not say. Only the first thread of a
/// program can, before it starts another; answers whether it was that.
///
/// candle asks for the number at every product, and where [`THREADS`] is not set it reads through /proc/cpuinfo, which takes
/// some 0.1 ms on two cores and longer on more: six times for each frame. It would take one thread for each core of silicon;
/// so it takes what rayon does.
///
/// `apart`: whether each thread has work of its own, as in the training of a world. Then candle keeps no threads of its own
/// beside rayon's, unless the user says how many: they would have no core, and be waited for.
pub fn settle(apart: bool) -> bool {
    let told = *TOLD.get_or_init(|| std::env::var_os(THREADS).is_some());
    let alone = std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1);
    if alone {
        // SAFETY: nobody else reads the environment, for there is no other thread.
        #[expect(unsafe_code, reason = "candle has no other door")]
        unsafe {
            if !told {
                std::env::set_var(THREADS, cores().to_string());
            }
            if apart && std::env::var_os(CANDLE_THREADS).is_none() {
                std::env::set_var(CANDLE_THREADS, "1");
            }
        }
    }
    alone
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// Runs `work` as one thread of a pool of its own, as many as the machine has cores or `RAYON_NUM_THREADS` says.
///
/// A thread outside a pool hands each operation in and sleeps until it is done: 8 % of a training step's time.
///
/// # Errors
/// When the system gives no threads.
pub fn on_all<R: Send>(work: impl FnOnce() -> R + Send) -> Result<R, ThreadPoolBuildError> {
    in_pool(0, work)
}

/// The same on one core fewer, where `RAYON_NUM_THREADS` does not say how many: for a program beside this one that waits for
/// what is made, and does its own with it.
///
/// Where both want one core, work that parts and joins at every turn waits for the part that had to wait.
///
/// # Errors
/// When the system gives no threads.
pub fn on_all_but_one<R: Send>(work: impl FnOnce() -> R + Send) -> Result<R, ThreadPoolBuildError> {
    let told = TOLD.get().copied().unwrap_or_else(|| std::env::var_os(THREADS).is_some());
    in_pool(if told { 0 } else { (cores() - 1).max(1) }, work)
}

/// `threads`: 0 for as many as there are cores, or as is told.
fn in_pool<R: Send>(
    threads: usize,
    work: impl FnOnce() -> R + Send,
) -> Result<R, ThreadPoolBuildError> {
    let pool = ThreadPoolBuilder::new().num_threads(threads);
    Ok(pool.thread_name(|at| format!("core {at}")).build()?.install(work))
}

/// Runs `work` while the other threads of the pool stay awake, for work that parts and joins every few dozen microseconds:
/// to wake a thread takes as long, on a virtual machine several times so. Where there are no others it simply runs.
///
/// A thread that waits looks for work all the time, but goes to sleep as usual once it has found none for some 2 ms.
pub fn awake<R>(work: impl FnOnce() -> R) -> R {
    let home = rayon::current_thread_index().filter(|_| rayon::current_num_threads() > 1);
    let Some(home) = home else { return work() };
    let over = Over::default();
    let others = Arc::clone(&over.0);
    rayon::spawn_broadcast(move |context| {
        // This thread finds its own share when it next looks for something to do, and must not wait for itself.
        if context.index() != home {
            attend(&others);
        }
    });
    work()
}

/// Set when it goes out of scope, however it does.
#[derive(Default)]
struct Over(Arc<AtomicBool>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Does what there is to do until it is over.
#[expect(
    clippy::disallowed_methods,
    reason = "how long a thread idles is nothing that a walk's clock tells"
)]
fn attend(over: &AtomicBool) {
    let mut idle_since = Instant::now();
    while !over.load(Ordering::Relaxed) && idle_since.elapsed() < IDLE {
        if rayon::yield_now() == Some(Yield::Executed) {
            idle_since = Instant::now();
        } else {
            (0..PAUSES).for_each(|_| std::hint::spin_loop());
        }
    }
}

/// Lets the allocator keep what was freed, for work that asks for the same large blocks again and again; says
/// whether it will.
///
/// Otherwise glibc gives each back to the system, which clears its pages anew: a fifth of a training step.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "glibc's settings have no safe door")]
pub fn keep_memory() -> bool {
    // One arena, because the others cannot hold large blocks; no maps of their own for these; no trimming.
    let settings =
        [(libc::M_ARENA_MAX, 1), (libc::M_MMAP_MAX, 0), (libc::M_TRIM_THRESHOLD, libc::c_int::MAX)];
    settings.iter().all(|&(setting, value)| {
        // SAFETY: `mallopt` takes plain numbers, may be called at any time and answers 0 to what it does not take.
        (unsafe { libc::mallopt(setting, value) }) == 1
    })
}

/// Other allocators decide by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn keep_memory() -> bool {
    false
}

#[cfg(test)]
mod tests {
    #[test]
    fn work_is_itself_one_of_the_pools_threads() {
        assert!(rayon::current_thread_index().is_none());
        assert!(super::on_all(rayon::current_thread_index).unwrap().is_some());
        let [all, fewer] = [
            super::on_all(rayon::current_num_threads),
            super::on_all_but_one(rayon::current_num_threads),
        ];
        let told = std::env::var_os(super::THREADS).is_some();
        let (all, fewer) = (all.unwrap(), fewer.unwrap());
        assert!(told || fewer == (all - 1).max(1), "{fewer} of {all}");
    }

    #[test]
    fn only_a_thread_that_is_alone_settles_anything() {
        // Tests have threads of their own beside the harness's.
        let before = std::env::var_os(super::THREADS);
        let beside = std::thread::Builder::new().spawn(|| super::settle(true)).unwrap();
        let settled = beside.join().unwrap();
        assert!(!settled);
        assert_eq!(std::env::var_os(super::THREADS), before);
    }

    #[test]
    fn a_thread_that_waits_does_what_there_is_to_do_until_it_is_over() {
        use super::Ordering::Relaxed;
        let did = |over| {
            // Of one thread, so that nobody else can.
            super::in_pool(1, || {
                let did = super::Arc::new(super::AtomicBool::new(false));
                let job = super::Arc::clone(&did);
                rayon::spawn(move || job.store(true, Relaxed));
                super::attend(&super::AtomicBool::new(over));
                did.load(Relaxed)
            })
        };
        assert!(did(false).unwrap());
        assert!(!did(true).unwrap());
        let over = super::Over::default();
        let others = super::Arc::clone(&over.0);
        drop(over);
        assert!(others.load(Relaxed));
    }

    #[test]
    fn threads_that_stay_awake_share_the_work_and_leave_with_it() {
        use rayon::prelude::*;
        let seen = super::on_all(|| {
            // Longer than anybody waits for something to do, then more than one thread can do at a time.
            let sum: usize = super::awake(|| {
                std::thread::sleep(super::IDLE * 2);
                (0..1000_usize).into_par_iter().sum()
            });
            let failed = std::panic::catch_unwind(|| super::awake(|| panic!("of the work")));
            // All threads are free: each is needed to meet the others.
            let threads = rayon::current_num_threads();
            let met = std::sync::Barrier::new(threads);
            rayon::broadcast(|_| met.wait());
            (sum, failed.is_err())
        });
        assert_eq!(seen.unwrap(), (499_500, true));
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn the_allocator_keeps_large_blocks_and_works_on() {
        assert!(super::keep_memory());
        let block = vec![1_u8; 100 << 20];
        drop(block);
        let again = vec![2_u8; 100 << 20];
        assert!(again.iter().all(|&byte| byte == 2));
    }
}
