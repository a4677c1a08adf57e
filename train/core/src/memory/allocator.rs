//! How the allocator treats freed memory.

/// `mi_option_purge_delay` of mimalloc's public header. The Rust binding lacks this constant.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Makes mimalloc keep freed memory for good, if it is the program's allocator.
///
/// By default mimalloc returns memory that stays free for a while. A step takes longer than that, so every
/// step would get its activations' memory again, zeroed page by page. Without block recompute, activations
/// are most of the memory, and this took a quarter of the time (docs/decisions.md). With block recompute,
/// keeping memory gains nothing and wastes the gaps between tensors of different sizes.
pub fn keep_freed_memory() {
    // SAFETY: sets a number that the allocator reads when it frees memory.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) };
}
