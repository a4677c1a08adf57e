//! Catching panics of GPU runtimes. They panic on missing or faulty devices, and users should get an error.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

/// Runs `work` and returns the message of a panic in it. Panics in the runtime's other threads come first,
/// because they may be the cause.
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

/// Returns the first non-empty line.
fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("its runtime failed");
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or("its runtime failed");
    // The wrapper around a runtime's own error does not help the user.
    let first = first.trim_start_matches("called `Result::unwrap()` on an `Err` value: ");
    first.to_string()
}

/// Returns whether a runtime's message reports a lack of memory. It knows the error names of CUDA and HIP,
/// the messages of Vulkan and wgpu, and cubecl's own. cubecl's message covers CUDA and tensors beyond the
/// largest buffer. For HIP cubecl reports an unknown error, which is not recognised.
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
        // The earlier panic in another thread is the cause.
        let error = quietly(|| {
            let thread = std::thread::spawn(|| panic!("out of memory"));
            thread.join().expect("the thread works");
        });
        assert!(error.expect_err("a panic").starts_with("out of memory"));
    }

    #[test]
    fn out_of_memory_messages_are_recognised() {
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
