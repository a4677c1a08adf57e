//! Selects the operations that a GPU computes with our own kernels.
//!
//! The environment variable `BONE_KERNELS` selects them: `all`, or an empty value, uses every
//! kernel that the device can run; `none` uses none; names separated by commas use those; `no-NAME`
//! uses all but that one. burn's operations compute the rest.
//!
//! ```
//! use bone::kernels::{Kernel, chosen};
//!
//! match chosen() {
//!     Ok(kernels) => assert!(kernels.iter().all(|kernel| kernel.is_on())),
//!     Err(reason) => eprintln!("{reason}"),
//! }
//! // `BONE_KERNELS=no-token-shift` disables this one.
//! assert_eq!(Kernel::TokenShift.name(), "token-shift");
//! ```

use bone_files::wording::joined;
use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, PoisonError};

/// Name of the environment variable.
const CHOICE: &str = "BONE_KERNELS";

/// An operation with a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kernel {
    /// Attention by tiles of queries.
    Attention,
    /// Cross-entropy and its gradient.
    CrossEntropy,
    /// SwiGLU, sigmoid gate and squared ReLU.
    Gate,
    /// RMSNorm, LayerNorm and GroupNorm.
    Norm,
    /// Rotary positions.
    Rotary,
    /// RWKV6's mix of each token with the one before it.
    TokenShift,
    /// RWKV6's recurrence.
    Wkv6,
}

impl Kernel {
    /// All kernels.
    pub const ALL: &'static [Self] = &[
        Self::Attention,
        Self::CrossEntropy,
        Self::Gate,
        Self::Norm,
        Self::Rotary,
        Self::TokenShift,
        Self::Wkv6,
    ];

    /// Returns the name in `BONE_KERNELS`.
    ///
    /// See the [example](crate::kernels).
    pub fn name(self) -> &'static str {
        match self {
            Self::Attention => "attention",
            Self::CrossEntropy => "cross-entropy",
            Self::Gate => "gate",
            Self::Norm => "norm",
            Self::Rotary => "rotary",
            Self::TokenShift => "token-shift",
            Self::Wkv6 => "wkv6",
        }
    }

    /// Returns whether this kernel may be used.
    ///
    /// See the [example](crate::kernels).
    pub fn is_on(self) -> bool {
        chosen().as_ref().is_ok_and(|chosen| chosen.contains(&self))
    }
}

/// Returns the kernels that may be used.
///
/// See the [example](crate::kernels).
///
/// # Errors
///
/// `BONE_KERNELS` holds an unknown name; no kernel is used then.
pub fn chosen() -> &'static Result<Vec<Kernel>, String> {
    static CHOSEN: LazyLock<Result<Vec<Kernel>, String>> = LazyLock::new(|| {
        let words = std::env::var_os(CHOICE);
        choose(
            words
                .as_ref()
                .map(|words| words.to_string_lossy())
                .as_deref(),
        )
    });
    &CHOSEN
}

/// Kernels that could not be used, each with its reason until [`take_fallbacks`] returns it.
static FALLBACKS: Mutex<BTreeMap<Kernel, Option<String>>> = Mutex::new(BTreeMap::new());

/// Records why an allowed kernel cannot be used, as a sentence. Only the first reason of each
/// kernel is kept. It is also a `tracing` event of level `WARN`.
///
/// ```
/// use bone::kernels::{Kernel, take_fallbacks, record_fallback};
///
/// record_fallback(Kernel::Norm, || "rows of 7 values are not supported".to_string());
/// assert!(take_fallbacks()[0].ends_with("rows of 7 values are not supported"));
/// assert!(take_fallbacks().is_empty());
/// ```
pub fn record_fallback(kernel: Kernel, reason: impl FnOnce() -> String) {
    let mut said = FALLBACKS.lock().unwrap_or_else(PoisonError::into_inner);
    said.entry(kernel).or_insert_with(|| {
        let text = format!(
            "{} runs without its kernel, so it is slower: {}",
            kernel.name(),
            reason()
        );
        tracing::warn!("{text}");
        Some(text)
    });
}

/// Returns the reasons that [`record_fallback`] recorded since the last call.
///
/// Example: [`record_fallback`].
pub fn take_fallbacks() -> Vec<String> {
    let mut said = FALLBACKS.lock().unwrap_or_else(PoisonError::into_inner);
    said.values_mut().filter_map(Option::take).collect()
}

fn choose(words: Option<&str>) -> Result<Vec<Kernel>, String> {
    let words = words.unwrap_or_default();
    let (mut on, mut off, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    let (mut all, mut none) = (false, false);
    for word in words
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
    {
        let (name, kernels) = match word.strip_prefix("no-") {
            Some(name) => (name, &mut off),
            None => (word, &mut on),
        };
        match (
            word,
            Kernel::ALL.iter().find(|kernel| kernel.name() == name),
        ) {
            ("all", _) => all = true,
            ("none", _) => none = true,
            (_, Some(&kernel)) => kernels.push(kernel),
            (_, None) => unknown.push(format!("{word:?}")),
        }
    }
    if !unknown.is_empty() {
        let names: Vec<_> = Kernel::ALL.iter().map(|kernel| kernel.name()).collect();
        return Err(format!(
            "{CHOICE}: unknown kernel {}; choose from all, none, {} (separate several with commas; \
             no-NAME disables one)",
            joined(unknown, ", "),
            names.join(", ")
        ));
    }
    let begins_with_all = all || (on.is_empty() && !none);
    let taken = |kernel: &Kernel| (begins_with_all || on.contains(kernel)) && !off.contains(kernel);
    Ok(Kernel::ALL.iter().copied().filter(taken).collect())
}

#[cfg(test)]
mod tests {
    use super::{Kernel, choose, record_fallback, take_fallbacks};

    #[test]
    fn kernel_fallback_is_reported_once() {
        record_fallback(Kernel::Wkv6, || "heads of 128".to_owned());
        record_fallback(Kernel::Wkv6, || unreachable!("it was said"));
        let said = take_fallbacks();
        assert_eq!(said.len(), 1);
        assert!(
            said[0].contains("wkv6") && said[0].ends_with("heads of 128"),
            "{said:?}"
        );
        record_fallback(Kernel::Wkv6, || unreachable!("it was said"));
        assert!(take_fallbacks().is_empty());
    }

    #[test]
    fn kernel_choice_defaults_to_all() {
        let but = |left_out: &[Kernel]| {
            let kernels = Kernel::ALL.iter().copied();
            Ok(kernels
                .filter(|kernel| !left_out.contains(kernel))
                .collect::<Vec<_>>())
        };
        for words in [None, Some(""), Some("all"), Some(" , all,norm")] {
            assert_eq!(choose(words), but(&[]), "{words:?}");
        }
        assert_eq!(choose(Some("none")), but(Kernel::ALL));
        assert_eq!(choose(Some("no-wkv6")), but(&[Kernel::Wkv6]));
        assert_eq!(
            choose(Some("all,no-norm,no-wkv6")),
            but(&[Kernel::Norm, Kernel::Wkv6])
        );
        for words in ["wkv6", " none, wkv6", "norm,wkv6,no-norm"] {
            assert_eq!(choose(Some(words)), Ok(vec![Kernel::Wkv6]), "{words}");
        }
    }

    #[test]
    fn unknown_kernel_names_are_listed() {
        let error = choose(Some("wkv7,no-nothing")).expect_err("unknown");
        assert!(
            error.contains("\"wkv7\", \"no-nothing\"") && error.contains("wkv6"),
            "{error}"
        );
    }
}
