//! Work on all cores, with the memory it needs kept.

use rayon::{ThreadPoolBuildError, ThreadPoolBuilder};

/// Runs `work` as one thread of a pool of its own, as many as the machine has cores or `RAYON_NUM_THREADS` says.
///
/// A thread outside a pool hands each operation in and sleeps until it is done: 8 % of a training step's time.
///
/// # Errors
/// When the system gives no threads.
pub fn on_all<R: Send>(work: impl FnOnce() -> R + Send) -> Result<R, ThreadPoolBuildError> {
    let pool = ThreadPoolBuilder::new().thread_name(|at| format!("core {at}")).build()?;
    Ok(pool.install(work))
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
