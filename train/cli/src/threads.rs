//! The threads that operations on the processor share.

/// Makes the calling thread one of rayon's, so that what it starts runs here as well.
///
/// Otherwise it sleeps while others work for it, and every operation begins and ends with waking a
/// thread: 2 % of a step of 768 × 12 on two threads (docs/decisions.md). Where rayon's threads are
/// there already they stay as they are.
pub fn join_workers() {
    let pool = rayon::ThreadPoolBuilder::new().use_current_thread();
    if pool.build_global().is_err() {
        // Somebody else made them: slower, and as right.
    }
}
