//! Calls libraries that panic on some damaged files, without ending the process.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    /// Whether this thread expects and catches a panic.
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Returns the result of `call`, or `None` if it panics; the panic message is not printed.
///
/// Do not use values again that a panicking call may have left incomplete.
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
    fn caught_panic_returns_none() {
        assert_eq!(caught(|| 7), Some(7));
        let inner = || caught(|| panic!("inner"));
        assert_eq!(caught(inner), Some(None::<()>));
        assert_eq!(caught(|| panic!("outer")), None::<()>);
    }
}
