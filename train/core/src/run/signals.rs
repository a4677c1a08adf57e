//! What a run does when the system asks it to end, or to save.
//!
//! Until a run trains there is nothing to lose, and the first SIGINT, SIGTERM or SIGHUP ends it at once. From then
//! on the first is a wish, which the loop meets between two steps, and the second ends it at once.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// A signal that ends a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal(i32);

impl Signal {
    /// `SIGINT`, `SIGTERM` or `SIGHUP`.
    pub fn name(self) -> &'static str {
        signal_hook::low_level::signal_name(self.0).unwrap_or("signal")
    }

    /// What a program that it ended exits with, as shells have it: 129, 130 or 143.
    pub fn exit_code(self) -> u8 {
        128u8.saturating_add(u8::try_from(self.0).unwrap_or(u8::MAX))
    }
}

/// The signals that end a run. SIGHUP comes when its terminal is closed.
#[cfg(unix)]
const ENDING: [i32; 3] = [SIGINT, SIGTERM, signal_hook::consts::SIGHUP];
#[cfg(not(unix))]
const ENDING: [i32; 2] = [SIGINT, SIGTERM];

/// Whether whoever started this process wants it to outlive a signal, as `nohup` does.
fn is_ignored(signal: i32) -> bool {
    #[cfg(unix)]
    {
        let mut now = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: nothing is set, and what is there is written to `now`, which is as large; of zeros it
        // is a value too.
        let now = unsafe {
            libc::sigaction(signal, std::ptr::null(), now.as_mut_ptr());
            now.assume_init()
        };
        now.sa_sigaction == libc::SIG_IGN
    }
    #[cfg(not(unix))]
    {
        let _ = signal;
        false
    }
}

/// The signals that this process was sent.
#[derive(Debug)]
pub struct Signals {
    at_once: Arc<AtomicBool>,
    ends: Arc<AtomicUsize>,
    saves: Arc<AtomicBool>,
}

impl Signals {
    /// The process's one. What ends a run ends the process at once until [`wait`](Self::wait).
    ///
    /// # Errors
    ///
    /// The system lets no one listen.
    pub fn listen() -> io::Result<&'static Self> {
        static SIGNALS: OnceLock<Signals> = OnceLock::new();
        if let Some(signals) = SIGNALS.get() {
            return Ok(signals);
        }
        let signals = Self {
            at_once: Arc::new(AtomicBool::new(true)),
            ends: Arc::new(AtomicUsize::new(0)),
            saves: Arc::new(AtomicBool::new(false)),
        };
        for signal in ENDING.into_iter().filter(|signal| !is_ignored(*signal)) {
            let (at_once, ends) = (signals.at_once.clone(), signals.ends.clone());
            // In this order: the second one finds what the first has set.
            flag::register_conditional_shutdown(signal, 128 + signal, at_once.clone())?;
            flag::register_usize(signal, ends, signal as usize)?;
            flag::register(signal, at_once)?;
        }
        #[cfg(unix)]
        {
            flag::register(signal_hook::consts::SIGUSR1, signals.saves.clone())?;
            // A file beyond what the system allows is an error of whoever writes it, not the end.
            flag::register(signal_hook::consts::SIGXFSZ, Arc::default())?;
        }
        Ok(SIGNALS.get_or_init(|| signals))
    }

    /// From now on, and until what it returns is dropped, the first signal that ends a run waits to
    /// be asked for.
    pub fn wait(&'static self) -> Waiting {
        self.at_once.store(false, Ordering::SeqCst);
        Waiting(self)
    }

    /// The signal that is to end the run.
    pub fn ends(&self) -> Option<Signal> {
        match self.ends.load(Ordering::SeqCst) {
            0 => None,
            signal => i32::try_from(signal).ok().map(Signal),
        }
    }

    /// Whether the run was asked to save and go on, since this was last asked: SIGUSR1.
    pub fn takes_save(&self) -> bool {
        self.saves.swap(false, Ordering::SeqCst)
    }
}

/// While it is there, signals wait.
#[derive(Debug)]
pub struct Waiting(&'static Signals);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.at_once.store(true, Ordering::SeqCst);
    }
}
