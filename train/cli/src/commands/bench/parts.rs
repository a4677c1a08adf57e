//! Where a step's time goes: the time inside each span of our operations.

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

#[derive(Debug)]
struct State {
    /// Spans that were entered and not left.
    open: Vec<&'static str>,
    /// When a span was last entered or left.
    since: Instant,
    times: BTreeMap<&'static str, Duration>,
    device_bytes: Option<u64>,
}

/// Waits until a device has done what was asked of it; what tensors lie in then, bytes.
type Wait = Arc<dyn Fn() -> Option<u64> + Send + Sync>;

/// A layer of `tracing` that adds up the time inside the spans of this workspace's crates.
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

    /// Does `work` and takes it apart.
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

    /// Counts the time since a span was last entered or left for the part that it was in.
    fn count(&self) -> MutexGuard<'_, State> {
        // What was asked for before is that part's.
        let bytes = (self.wait)();
        let mut state = self.state();
        state.device_bytes = state.device_bytes.max(bytes);
        // Inside a stretch everything is the stretch's.
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
