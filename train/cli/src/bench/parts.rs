//! Where a step's time goes: the time inside each span of our operations.

use bone::Backend;
use bone_train::device::Kind;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Spans that count what is inside them as their own: stretches of a step rather than operations.
const STRETCHES: [&str; 3] = ["head and loss", "recompute", "optimizer"];

/// A part of a step and its time.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// The span's name.
    pub part: &'static str,
    /// Time inside it that is no other part's.
    pub time: Duration,
}

/// Some work taken apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Apart {
    /// Where its time went, the longest first; last is `other`, what was in no span. The parts' own
    /// cost is in it.
    pub shares: Vec<Share>,
    /// All of its time.
    pub whole: Duration,
    /// The most of the device's memory that tensors lay in where a part began or ended, bytes.
    pub device_bytes: Option<u64>,
}

impl Apart {
    /// It as a table, on a device of this kind.
    pub fn table(&self, kind: Kind) -> String {
        let whole = self.whole.as_secs_f64();
        let mut lines = vec![format!("{:<16} {:>9} {:>7}", "part", "ms", "share")];
        for share in &self.shares {
            let seconds = share.time.as_secs_f64();
            let percent = 100.0 * seconds / whole;
            let name = share.part;
            lines.push(format!(
                "{name:<16} {:>9.1} {percent:>5.1} %",
                1e3 * seconds
            ));
        }
        lines.push(format!("{:<16} {:>9.1}", "all", 1e3 * whole));
        if !kind.on_processor() {
            let why = "each part waits for the device and nothing is fused across parts, so they take \
                       longer than a step";
            lines.push(why.to_string());
        }
        lines.join("\n")
    }
}

/// A span that was entered and not left.
struct Open {
    name: &'static str,
    since: Instant,
    /// Time that inner spans have taken for themselves.
    inner: Duration,
}

thread_local! {
    static OPEN: RefCell<Vec<Open>> = const { RefCell::new(Vec::new()) };
}

#[derive(Debug, Default)]
struct Names {
    /// The name of span `id − 1`: one id for all spans of a name.
    names: Vec<&'static str>,
    times: BTreeMap<&'static str, Duration>,
    device_bytes: Option<u64>,
}

/// Waits until a device has done what was asked of it; what tensors lie in then, bytes.
type Wait = Arc<dyn Fn() -> Option<u64> + Send + Sync>;

/// A subscriber to `tracing` that adds up the time inside the spans of this workspace's crates.
#[derive(Clone, Default)]
pub struct Parts {
    names: Arc<Mutex<Names>>,
    wait: Option<Wait>,
}

impl Parts {
    /// Of work on a device, for which each part waits at its start and at its end.
    pub fn on<B: Backend>(device: &B::Device) -> Self {
        let device = device.clone();
        let wait = move || {
            // What fails here fails again where it is read.
            let _ = B::sync(&device);
            B::device_memory(&device).map(|memory| memory.in_use)
        };
        Self {
            wait: Some(Arc::new(wait)),
            ..Self::default()
        }
    }

    fn wait(&self) {
        if let Some(wait) = &self.wait {
            let bytes = wait();
            let mut state = self.state();
            state.device_bytes = state.device_bytes.max(bytes);
        }
    }

    /// Does `work` and takes it apart.
    pub fn of<T>(&self, work: impl FnOnce() -> T) -> (T, Apart) {
        self.take();
        self.state().device_bytes = None;
        self.wait();
        let started = Instant::now();
        let result = tracing::subscriber::with_default(self.clone(), work);
        self.wait();
        let whole = started.elapsed();
        let device_bytes = self.state().device_bytes.take();
        let mut shares = self.take();
        let inside: Duration = shares.iter().map(|share| share.time).sum();
        shares.push(Share {
            part: "other",
            time: whole.saturating_sub(inside),
        });
        let apart = Apart {
            shares,
            whole,
            device_bytes,
        };
        (result, apart)
    }

    /// What was measured since the last call, the longest first.
    fn take(&self) -> Vec<Share> {
        let times = std::mem::take(&mut self.state().times);
        let mut shares: Vec<_> = times
            .into_iter()
            .map(|(part, time)| Share { part, time })
            .collect();
        shares.sort_by_key(|share| std::cmp::Reverse(share.time));
        shares
    }

    fn state(&self) -> std::sync::MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriber for Parts {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && metadata.target().starts_with("bone")
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let name = attributes.metadata().name();
        let mut state = self.state();
        let known = state.names.iter().position(|known| *known == name);
        let index = known.unwrap_or_else(|| {
            state.names.push(name);
            state.names.len() - 1
        });
        let id = NonZeroU64::MIN.saturating_add(index as u64);
        Id::from_non_zero_u64(id)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, id: &Id) {
        // What was asked for before is the outer part's.
        self.wait();
        let index = id.into_u64() as usize - 1;
        let Some(&name) = self.state().names.get(index) else {
            return;
        };
        OPEN.with_borrow_mut(|open| {
            // Inside a stretch everything is the stretch's.
            let stretch = open.iter().map(|open| open.name);
            let name = stretch
                .rev()
                .find(|name| STRETCHES.contains(name))
                .unwrap_or(name);
            open.push(Open {
                name,
                since: Instant::now(),
                inner: Duration::ZERO,
            });
        });
    }

    fn exit(&self, _: &Id) {
        self.wait();
        let left = OPEN.with_borrow_mut(|open| {
            let left = open.pop()?;
            let whole = left.since.elapsed();
            if let Some(outer) = open.last_mut() {
                outer.inner += whole;
            }
            Some((left.name, whole.saturating_sub(left.inner)))
        });
        if let Some((name, time)) = left {
            *self.state().times.entry(name).or_default() += time;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread::sleep;

    const TICK: Duration = Duration::from_millis(20);

    #[test]
    fn time_belongs_to_the_innermost_span_and_to_its_stretch() {
        let (_, apart) = Parts::default().of(|| {
            let outer = tracing::trace_span!("attention").entered();
            sleep(TICK);
            tracing::trace_span!("matmul").in_scope(|| sleep(3 * TICK));
            drop(outer);
            tracing::trace_span!("recompute").in_scope(|| {
                tracing::trace_span!("matmul").in_scope(|| sleep(6 * TICK));
            });
            tracing::trace_span!(target: "somebody", "else").in_scope(|| sleep(TICK));
        });
        let shares = &apart.shares;
        let names: Vec<_> = shares.iter().map(|share| share.part).collect();
        assert_eq!(names, ["recompute", "matmul", "attention", "other"]);
        // What a sleep lasts at least is sure.
        let least = [6 * TICK, 3 * TICK, TICK, TICK];
        for (share, least) in shares.iter().zip(least) {
            assert!(share.time >= least, "{share:?}");
        }
        assert!(apart.whole >= 11 * TICK);
    }
}
