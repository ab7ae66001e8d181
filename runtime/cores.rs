//! Work on all cores.

use rayon::{ThreadPoolBuildError, ThreadPoolBuilder};

/// Runs `work` as one thread of a pool of its own, as many as the machine has cores or `RAYON_NUM_THREADS` says.
///
/// A thread outside a pool hands each operation in and sleeps until it is done; hundreds of small operations
/// a frame make that a tenth of the time.
///
/// # Errors
/// When the system gives no threads.
pub fn on_all<R: Send>(work: impl FnOnce() -> R + Send) -> Result<R, ThreadPoolBuildError> {
    let pool = ThreadPoolBuilder::new().thread_name(|at| format!("core {at}")).build()?;
    Ok(pool.install(work))
}

#[cfg(test)]
mod tests {
    #[test]
    fn work_is_itself_one_of_the_pools_threads() {
        assert!(rayon::current_thread_index().is_none());
        assert!(super::on_all(rayon::current_thread_index).unwrap().is_some());
    }
}
