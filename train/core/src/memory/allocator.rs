//! What the allocator does with memory that is free.

/// `mi_option_purge_delay` of mimalloc's public header; the binding does not name it.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Lets mimalloc, where it is the program's allocator, keep freed memory for good.
///
/// By default it gives back what was free for a while, and a step takes longer than that: every
/// step then gets its activations' memory anew, zeroed page by page. Without block recompute, where
/// activations are most of the memory, that took a quarter of the time (docs/decisions.md); with it
/// keeping gains nothing, and costs the room between tensors of different sizes.
pub fn keep_freed_memory() {
    // SAFETY: sets a number that the allocator reads when it frees.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) };
}
