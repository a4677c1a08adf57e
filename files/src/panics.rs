//! Calls of libraries that panic on some damaged files, which must not end the process.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    /// Whether a panic of this thread is expected and caught.
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Returns what `call` gives, or `None` where it panics, without the message that a panic prints.
///
/// What a panic leaves behind half done must not be used again.
pub fn caught<T>(call: impl FnOnce() -> T) -> Option<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !CAUGHT.get() {
                others(info);
            }
        }));
    });
    let before = CAUGHT.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(call));
    CAUGHT.set(before);
    result.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_gives_nothing() {
        assert_eq!(caught(|| 7), Some(7));
        let inner = || caught(|| panic!("inner"));
        assert_eq!(caught(inner), Some(None::<()>));
        assert_eq!(caught(|| panic!("outer")), None::<()>);
    }
}
