//! Time of each part of a step: the time inside each span of our operations.

use bone::Backend;
use bone_train::device::Kind;
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tracing::Metadata;
use tracing::span::Id;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::{Registry, registry};

/// Spans that include the time of the spans inside them: phases of a step, not operations.
const STRETCHES: [&str; 3] = ["head and loss", "recompute", "optimizer"];

/// Timing of some work by parts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Apart {
    /// Seconds inside each part without other parts. `other` is the time outside all spans, and includes
    /// the cost of measuring.
    pub parts: BTreeMap<&'static str, f64>,
    /// Seconds of the whole work.
    #[serde(rename = "taken_apart_seconds")]
    pub whole: f64,
    /// Peak device memory of tensors at the start or end of a part, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_bytes: Option<u64>,
}

impl Apart {
    /// Returns the times as a table, the longest first, for a device of this kind.
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
            let why = "each part waits for the device and is not fused with others, so the parts take \
                       longer than a step";
            lines.push(why.to_string());
        }
        lines.join("\n")
    }
}

#[derive(Debug)]
struct State {
    /// Spans that are open now.
    open: Vec<&'static str>,
    /// When a span was last opened or closed.
    since: Instant,
    times: BTreeMap<&'static str, Duration>,
    device_bytes: Option<u64>,
}

/// Waits until a device has finished its work. Returns the bytes that tensors then occupy.
type Wait = Arc<dyn Fn() -> Option<u64> + Send + Sync>;

/// A `tracing` layer that sums the time inside the spans of this workspace's crates.
#[derive(Clone)]
pub struct Parts {
    state: Arc<Mutex<State>>,
    wait: Wait,
}

impl Parts {
    /// Returns a timer for work on a device. It waits for the device at the start and end of each part.
    pub fn on<B: Backend>(device: &B::Device) -> Self {
        let device = device.clone();
        Self::waiting(move || {
            // An error here appears again when results are read.
            let _ = B::sync(&device);
            B::device_memory(&device).map(|memory| memory.in_use)
        })
    }

    fn waiting(wait: impl Fn() -> Option<u64> + Send + Sync + 'static) -> Self {
        let state = State {
            open: Vec::new(),
            device_bytes: wait(),
            since: Instant::now(),
            times: BTreeMap::new(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            wait: Arc::new(wait),
        }
    }

    /// Does `work` and times its parts.
    pub fn of<T>(self, work: impl FnOnce() -> T) -> (T, Apart) {
        let ours = filter_fn(|span| span.is_span() && span.target().starts_with("bone"));
        let layer = self.clone().with_filter(ours);
        self.state().since = Instant::now();
        let result = tracing::subscriber::with_default(registry().with(layer), work);
        let state = self.count();
        let times = state.times.iter();
        let apart = Apart {
            parts: times.map(|(name, t)| (*name, t.as_secs_f64())).collect(),
            whole: state.times.values().sum::<Duration>().as_secs_f64(),
            device_bytes: state.device_bytes,
        };
        (result, apart)
    }

    /// Adds the time since the last change of spans to the open part.
    fn count(&self) -> MutexGuard<'_, State> {
        // Work requested before this belongs to the open part.
        let bytes = (self.wait)();
        let mut state = self.state();
        state.device_bytes = state.device_bytes.max(bytes);
        // Inside a phase all time belongs to the phase.
        let mut open = state.open.iter();
        let stretch = open.find(|name| STRETCHES.contains(name));
        let part = stretch.or(state.open.last()).copied().unwrap_or("other");
        let time = state.since.elapsed();
        *state.times.entry(part).or_default() += time;
        state.since = Instant::now();
        state
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Layer<Registry> for Parts {
    fn on_enter(&self, id: &Id, registry: Context<'_, Registry>) {
        let name = registry.metadata(id).map_or("other", Metadata::name);
        self.count().open.push(name);
    }

    fn on_exit(&self, _: &Id, _: Context<'_, Registry>) {
        self.count().open.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread::sleep;

    const TICK: Duration = Duration::from_millis(20);

    #[test]
    fn time_is_counted_in_innermost_span() {
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
        // Only the minimum duration of a sleep is certain.
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
