//! GPU runtimes panic where something is not there or not right. Nobody should see that.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

/// Runs `work` and turns a panic in it into its message; panics of the runtime's other threads
/// meanwhile, which may be the cause, come first.
pub(super) fn quietly<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    let messages = Arc::new(Mutex::new(Vec::new()));
    let heard = messages.clone();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let mut said = message(info.payload());
        if let Some(at) = info.location() {
            let file = at.file().rsplit('/').next().unwrap_or_default();
            said = format!("{said} ({file}:{})", at.line());
        }
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.push(said);
    }));
    let outcome = catch_unwind(AssertUnwindSafe(work));
    std::panic::set_hook(hook);
    outcome.map_err(|payload| {
        let heard = messages.lock().unwrap_or_else(PoisonError::into_inner);
        let first = heard.first().cloned();
        first.unwrap_or_else(|| message(&*payload))
    })
}

/// The first line with something in it.
fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("its runtime failed");
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or("its runtime failed");
    // What is around a runtime's own error says nothing to a user.
    let first = first.trim_start_matches("called `Result::unwrap()` on an `Err` value: ");
    first.to_string()
}

/// Whether a runtime's message says that there was no memory: CUDA's and HIP's error names, what
/// Vulkan's and wgpu's say, and cubecl's own, which it has for CUDA's as well as for a tensor beyond
/// the largest buffer. Of HIP's it says that an unknown error happened: that is not recognised.
#[cfg(any(feature = "gpu", test))]
pub(super) fn says_out_of_memory(message: &str) -> bool {
    const WORDS: [&str; 7] = [
        "out of memory",
        "outofmemory",
        "out_of_memory",
        "out of device memory",
        "out of host memory",
        "can't allocate buffer",
        "not enough memory",
    ];
    let message = message.to_lowercase();
    WORDS.iter().any(|word| message.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message() {
        assert_eq!(quietly(|| 7), Ok(7));
        let error = quietly(|| -> u8 { panic!("\n  no adapter\nmore") }).expect_err("a panic");
        assert!(error.starts_with("no adapter (guard.rs:"), "{error}");
        let unwrapped =
            || -> u8 { panic!("called `Result::unwrap()` on an `Err` value: can't allocate") };
        let error = quietly(unwrapped).expect_err("a panic");
        assert!(error.starts_with("can't allocate (guard.rs:"), "{error}");
        // The cause is what another thread said before.
        let error = quietly(|| {
            let thread = std::thread::spawn(|| panic!("out of memory"));
            thread.join().expect("the thread works");
        });
        assert!(error.expect_err("a panic").starts_with("out of memory"));
    }

    #[test]
    fn full_memory_is_told_from_other_faults() {
        for message in [
            "CUDA_ERROR_OUT_OF_MEMORY",
            "can't allocate buffer of size: 196608000",
            "Out of Memory",
        ] {
            assert!(says_out_of_memory(message), "{message}");
        }
        assert!(!says_out_of_memory("device lost"));
    }
}
