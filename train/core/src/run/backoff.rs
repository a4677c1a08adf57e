//! Pauses between tries.

use std::time::Duration;

/// Every pause is twice the one before, up to the longest.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    next: Duration,
    longest: Duration,
}

impl Backoff {
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            next: first,
            longest,
        }
    }

    /// The pause after one more failure.
    pub(super) fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = self.longest.min(2 * pause);
        pause
    }

    /// Begins anew after a success.
    pub(super) fn reset(&mut self) {
        self.next = self.first;
    }
}
