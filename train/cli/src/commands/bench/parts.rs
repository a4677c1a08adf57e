//! Where a step's time goes: the time inside each span of our operations.

use bone::Backend;
use bone_train::device::Kind;
use serde::Serialize;
use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Spans that count what is inside them as their own: stretches of a step rather than operations.
const STRETCHES: [&str; 3] = ["head and loss", "recompute", "optimizer"];

/// Some work taken apart.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Apart {
    /// Seconds inside each part that are no other part's; `other` is what was in no span. The parts'
    /// own cost is in it.
    pub parts: BTreeMap<&'static str, f64>,
    /// All of its seconds.
    #[serde(rename = "taken_apart_seconds")]
    pub whole: f64,
    /// The most of the device's memory that tensors lay in where a part began or ended, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_bytes: Option<u64>,
}

impl Apart {
    /// Returns it as a table, the longest first, for a device of this kind.
    pub fn table(&self, kind: Kind) -> String {
        let mut lines = vec![format!("{:<16} {:>9} {:>7}", "part", "ms", "share")];
        let mut parts: Vec<_> = self.parts.iter().collect();
        parts.sort_by_key(|(_, seconds)| Reverse((*seconds * 1e9) as u64));
        for (name, seconds) in parts {
            let (ms, percent) = (1e3 * seconds, 100.0 * seconds / self.whole);
            lines.push(format!("{name:<16} {ms:>9.1} {percent:>5.1} %"));
        }
        lines.push(format!("{:<16} {:>9.1}", "all", 1e3 * self.whole));
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
struct State {
    /// The name of span `id − 1`: one id for all spans of a name.
    names: Vec<&'static str>,
    times: BTreeMap<&'static str, Duration>,
    device_bytes: Option<u64>,
}

/// Waits until a device has done what was asked of it; what tensors lie in then, bytes.
type Wait = Arc<dyn Fn() -> Option<u64> + Send + Sync>;

/// A subscriber to `tracing` that adds up the time inside the spans of this workspace's crates.
#[derive(Clone)]
pub struct Parts {
    state: Arc<Mutex<State>>,
    wait: Wait,
}

impl Parts {
    /// Returns parts of work on a device, for which each part waits at its start and at its end.
    pub fn on<B: Backend>(device: &B::Device) -> Self {
        let device = device.clone();
        Self::waiting(move || {
            // What fails here fails again where it is read.
            let _ = B::sync(&device);
            B::device_memory(&device).map(|memory| memory.in_use)
        })
    }

    fn waiting(wait: impl Fn() -> Option<u64> + Send + Sync + 'static) -> Self {
        Self {
            state: Arc::default(),
            wait: Arc::new(wait),
        }
    }

    fn wait(&self) {
        let bytes = (self.wait)();
        let mut state = self.state();
        state.device_bytes = state.device_bytes.max(bytes);
    }

    /// Does `work` and takes it apart.
    pub fn of<T>(self, work: impl FnOnce() -> T) -> (T, Apart) {
        self.wait();
        let started = Instant::now();
        let result = tracing::subscriber::with_default(self.clone(), work);
        self.wait();
        let whole = started.elapsed();
        let mut state = self.state();
        let inside: Duration = state.times.values().sum();
        state.times.insert("other", whole.saturating_sub(inside));
        let times = state.times.iter();
        let apart = Apart {
            parts: times.map(|(name, t)| (*name, t.as_secs_f64())).collect(),
            whole: whole.as_secs_f64(),
            device_bytes: state.device_bytes,
        };
        (result, apart)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
        Id::from_non_zero_u64(NonZeroU64::MIN.saturating_add(index as u64))
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
            let mut outer = open.iter().rev().map(|open| open.name);
            let stretch = outer.find(|name| STRETCHES.contains(name));
            open.push(Open {
                name: stretch.unwrap_or(name),
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
        let (_, apart) = Parts::waiting(|| None).of(|| {
            let outer = tracing::trace_span!("attention").entered();
            sleep(TICK);
            tracing::trace_span!("matmul").in_scope(|| sleep(3 * TICK));
            drop(outer);
            tracing::trace_span!("recompute").in_scope(|| {
                tracing::trace_span!("matmul").in_scope(|| sleep(6 * TICK));
            });
            tracing::trace_span!(target: "somebody", "else").in_scope(|| sleep(TICK));
        });
        // What a sleep lasts at least is sure.
        let least = [
            ("attention", TICK),
            ("matmul", 3 * TICK),
            ("other", TICK),
            ("recompute", 6 * TICK),
        ];
        let names: Vec<_> = apart.parts.keys().copied().collect();
        assert_eq!(names, least.map(|(name, _)| name));
        for (name, least) in least {
            assert!(
                apart.parts[name] >= least.as_secs_f64(),
                "{name}: {apart:?}"
            );
        }
        assert!(apart.whole >= (11 * TICK).as_secs_f64());
        let table = apart.table(Kind::Cpu);
        let at = |name: &str| table.find(name);
        assert!(at("recompute") < at("matmul"), "{table}");
    }
}
