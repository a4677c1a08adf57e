//! Signals that stop or save a run.
//!
//! Before training starts there is nothing to lose, so the first SIGINT, SIGTERM or SIGHUP ends the process
//! at once. During training the first signal is a request, which the loop handles between two steps. The
//! second signal ends the process at once.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// A signal that stops a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal(i32);

impl Signal {
    /// Returns `SIGINT`, `SIGTERM` or `SIGHUP`.
    pub fn name(self) -> &'static str {
        signal_hook::low_level::signal_name(self.0).unwrap_or("signal")
    }

    /// Returns the exit code after the signal, as shells define it: 129, 130 or 143.
    pub fn exit_code(self) -> u8 {
        128u8.saturating_add(u8::try_from(self.0).unwrap_or(u8::MAX))
    }
}

/// The signals that stop a run. A closing terminal sends SIGHUP.
#[cfg(unix)]
const ENDING: [i32; 3] = [SIGINT, SIGTERM, signal_hook::consts::SIGHUP];
#[cfg(not(unix))]
const ENDING: [i32; 2] = [SIGINT, SIGTERM];

/// Returns whether the parent process set this signal to be ignored, as `nohup` does.
fn is_ignored(signal: i32) -> bool {
    #[cfg(unix)]
    {
        let mut now = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: the call sets no handler. It writes the current one to `now`, which has the right size.
        // All zeros are a valid value of that type.
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

/// The signals that this process received.
#[derive(Debug)]
pub struct Signals {
    at_once: Arc<AtomicBool>,
    ends: Arc<AtomicUsize>,
    saves: Arc<AtomicBool>,
}

impl Signals {
    /// Returns the listener of the process. Stop signals end the process at once until
    /// [`wait`](Self::wait).
    ///
    /// # Errors
    ///
    /// The system rejects the signal handlers.
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
            // The order matters: the second handler reads the flag that the first one sets.
            flag::register_conditional_shutdown(signal, 128 + signal, at_once.clone())?;
            flag::register_usize(signal, ends, signal as usize)?;
            flag::register(signal, at_once)?;
        }
        #[cfg(unix)]
        {
            flag::register(signal_hook::consts::SIGUSR1, signals.saves.clone())?;
            // With a handler, writing beyond the file size limit returns an error and does not kill the
            // process.
            flag::register(signal_hook::consts::SIGXFSZ, Arc::default())?;
        }
        Ok(SIGNALS.get_or_init(|| signals))
    }

    /// Makes the first stop signal wait until it is asked for. Lasts until the returned guard is dropped.
    pub fn wait(&'static self) -> Waiting {
        self.at_once.store(false, Ordering::SeqCst);
        Waiting(self)
    }

    /// Returns the signal that is to stop the run.
    pub fn ends(&self) -> Option<Signal> {
        match self.ends.load(Ordering::SeqCst) {
            0 => None,
            signal => i32::try_from(signal).ok().map(Signal),
        }
    }

    /// Returns whether SIGUSR1 asked to save the run since the last call. The run continues.
    pub fn takes_save(&self) -> bool {
        self.saves.swap(false, Ordering::SeqCst)
    }
}

/// Guard: stop signals wait while it exists.
#[derive(Debug)]
pub struct Waiting(&'static Signals);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.at_once.store(true, Ordering::SeqCst);
    }
}
