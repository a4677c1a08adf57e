//! Counts a training step's GPU allocations and launches, and the processor's waits, from the
//! runtime's log.
//!
//! It needs a GPU feature; `.ci/run` runs it on software Vulkan. This prints the table:
//! `cargo test -p bone-tests --features vulkan --test device_memory -- --nocapture`.

use bone::{AdapterConfig, BlockAxis, Selection, Targets, Variant};
use bone_cli::commands::bench::parts::Parts;
use bone_cli::commands::bench::random::RandomModel;
use bone_data::Batch;
use bone_tests::training::{plan, train_on};
use bone_train::device::{Kind, OnDevice, all_devices, on_device};
use bone_train::models::{Architecture, ModelBackend, WithModel, open, with_model};
use bone_train::optimizer::AdamWSettings;
use bone_train::step::{Savings, TrainModel};
use burn::tensor::backend::Backend;
use burn::tensor::{DType, Distribution, Tensor, TensorPrimitive};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const VOCAB: usize = 2048;
const HIDDEN: usize = 32;
const LENGTHS: [usize; 2] = [512, 2048];
/// Number of tokens that the head handles at once.
const CHUNK: usize = 128;
const FLOAT: f64 = 4.0;

/// The runtime's log.
struct Log {
    path: PathBuf,
    marks: Cell<usize>,
    /// End of the last mark in the log.
    end: Cell<usize>,
}

impl Log {
    fn text(&self, from: usize) -> String {
        let bytes = std::fs::read(&self.path).unwrap_or_default();
        String::from_utf8_lossy(bytes.get(from..).unwrap_or_default()).into_owned()
    }

    /// Returns the bytes of the allocation in a line: `[…] Reserved memory 1.05 MB using …`.
    fn size(line: &str) -> Option<f64> {
        let (_, told) = line.split_once("Reserved memory ")?;
        let mut words = told.split(' ');
        let number: f64 = words.next()?.parse().ok()?;
        let unit = ["B", "KB", "MB", "GB"];
        let power = unit
            .iter()
            .position(|&unit| Some(unit) == words.clone().next())?;
        Some(number * 1000f64.powi(power as i32))
    }

    /// Returns the place in the log that follows all work so far. Another thread writes the log, so this
    /// allocates a unique size and waits until the log has it.
    fn mark<B: Backend>(&self, device: &B::Device) -> usize {
        self.marks.set(self.marks.get() + 1);
        // An odd multiple of 256 bytes, unlike any other size. It is small, so that it hides nothing
        // important.
        let count = 64 * (121 + 2 * self.marks.get());
        let marker = Tensor::<B, 1>::zeros([count], (device, DType::F32));
        B::sync(device).expect("works");
        let (size, started) = (FLOAT * count as f64, Instant::now());
        while started.elapsed() < Duration::from_secs(20) {
            let mut end = self.end.get();
            for line in self.text(end).split_inclusive('\n') {
                end += line.len();
                if Self::size(line).is_some_and(|found| (found - size).abs() < 6.0) {
                    drop(marker);
                    self.end.set(end);
                    return end;
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("no allocation of {size} bytes in {}", self.path.display());
    }

    /// Runs `work` and returns its result and what it asked of the device.
    fn of<B: Backend, T>(&self, device: &B::Device, work: impl FnOnce() -> T) -> (T, Asked) {
        let from = self.mark::<B>(device);
        let result = work();
        let to = self.mark::<B>(device);
        let text = self.text(from);
        let lines = || text[..to - from].lines();
        let on_device = lines().filter(|line| line.contains("Main GPU Memory"));
        let mut sizes: Vec<_> = on_device.filter_map(Self::size).collect();
        sizes.sort_by(|a, b| b.total_cmp(a));
        let asked = Asked {
            sizes,
            launches: lines().filter(|line| line.contains("Executing ")).count(),
            // Every read uses its own buffer.
            reads: lines()
                .filter(|line| line.contains("Staging") && Self::size(line).is_some())
                .count(),
        };
        (result, asked)
    }
}

/// Allocations, launches and reads of some work on a device.
struct Asked {
    /// Sizes of the allocations, the largest first.
    sizes: Vec<f64>,
    /// Number of launched kernels.
    launches: usize,
    /// How often the processor waited for numbers.
    reads: usize,
}

/// Steps of a small model with long sequences and a large vocabulary.
struct Steps<'a> {
    log: &'a Log,
    folder: &'a Path,
    architecture: Architecture,
    /// The count of one read: 1, or 0 if the runtime does not log reads.
    reads: usize,
}

impl OnDevice for Steps<'_> {
    type Output = ();

    fn run<B: ModelBackend>(self, device: B::Device) {
        let folder = self.folder.join(self.architecture.name());
        let random = RandomModel {
            architecture: self.architecture,
            hidden_size: HIDDEN,
            intermediate_size: Some(64),
            layers: 2,
            heads: Some(2),
            kv_heads: None,
            vocab_size: VOCAB,
        };
        random
            .write(&folder, LENGTHS[1], DType::F32)
            .expect("is written");
        let model = open(&folder).expect("opens");
        let work = OnModel::<B> {
            steps: self,
            device: device.clone(),
        };
        with_model::<B, _>(model, None, &device, work).expect("loads");
    }
}

struct OnModel<'a, B: ModelBackend> {
    steps: Steps<'a>,
    device: B::Device,
}

impl<B: ModelBackend> OnModel<'_, B> {
    /// Runs one step over a sequence. Returns its allocations, and the largest memory in use at the
    /// start or end of any part.
    fn step<M: TrainModel<B>>(&self, model: M, len: usize, chunked: bool) -> (M, Asked, f64) {
        let batch = Batch::full(1, len + 1, |i| (i * 7919 % VOCAB) as u32);
        let savings = Savings {
            recompute: true,
            head_chunk: chunked.then_some(CHUNK),
        };
        let plan = plan(1, 1e-4, savings);
        let settings = AdamWSettings::default();
        let device = &self.device;
        let train = |model| train_on::<B, M>(model, vec![batch.clone()], &plan, settings, device).0;
        // The first step tunes its products, which copies their inputs.
        let model = train(model);
        let log = self.steps.log;
        let (model, asked) = log.of::<B::InnerBackend, _>(device, || train(model));
        let (model, apart) = Parts::on::<B::InnerBackend>(device).of(|| train(model));
        (model, asked, apart.device_bytes.expect("counted") as f64)
    }
}

impl<B: ModelBackend> WithModel<B> for OnModel<'_, B> {
    type Output = ();

    fn run<M: TrainModel<B>>(self, model: M) {
        let axis = self.steps.architecture.block_axis();
        let targets = Targets::new(Selection::AllLinear);
        let config = AdapterConfig::new(Variant::Bone(axis), 8, targets);
        let model = bone::attach::<B, _>(model, &config).expect("fits");
        let mut model = bone::freeze_base::<B, _>(model);
        let name = self.steps.architecture.name();
        println!(
            "| {name}, tokens | launches | reads | allocations | largest | in use | one head's square | \
             all logits |"
        );
        println!("|---|---|---|---|---|---|---|---|");
        let mut peaks = Vec::new();
        for len in LENGTHS {
            let (asked, most);
            (model, asked, most) = self.step(model, len, true);
            let sizes = &asked.sizes;
            let square = FLOAT * (len * len) as f64;
            let logits = FLOAT * (len * VOCAB) as f64;
            println!(
                "| {len} | {} | {} | {} | {:.2} MB | {:.2} MB | {:.2} MB | {:.2} MB |",
                asked.launches,
                asked.reads,
                sizes.len(),
                sizes[0] / 1e6,
                most / 1e6,
                square / 1e6,
                logits / 1e6,
            );
            peaks.push(most);
            // Three for each operation of a block (forward, recompute, backward). Every 128 tokens
            // add one tile of attention and one chunk of the head.
            let most_launches = 700 + 64 * (len / CHUNK);
            assert!(asked.launches < most_launches, "{name}: {}", asked.launches);
            // One read, of loss and norm; none during the step.
            assert_eq!(asked.reads, self.steps.reads, "{name}, {len} tokens");
            assert!(sizes[0] < 0.6 * logits, "{name}, {len} tokens: {sizes:?}");
            // With fewer tokens one tile is the whole.
            let rows = len >= 8 * CHUNK;
            assert!(
                !rows || sizes[0] < 0.6 * square,
                "{name}, {len} tokens: {sizes:?}"
            );
        }
        // Four times the tokens take at most four times the memory.
        assert!(peaks[1] < 4.2 * peaks[0], "{name}: {peaks:?}");
        // Checks that the count sees reads at all.
        let (_, asked, _) = self.step(model, 512, false);
        let sizes = asked.sizes;
        assert!(sizes[0] >= 0.99 * FLOAT * (512 * VOCAB) as f64, "{sizes:?}");
    }
}

/// Counts a read of one number.
struct Read<'a> {
    log: &'a Log,
}

impl OnDevice for Read<'_> {
    type Output = usize;

    fn run<B: ModelBackend>(self, device: B::Device) -> usize {
        let number = Tensor::<B::InnerBackend, 1>::zeros([1], (&device, DType::F32));
        let read = || number.clone().into_data();
        self.log.of::<B::InnerBackend, _>(&device, read).1.reads
    }
}

/// Tests a layer that is wider than its batch is long.
struct Layer<'a> {
    log: &'a Log,
}

impl OnDevice for Layer<'_> {
    type Output = ();

    fn run<B: ModelBackend>(self, device: B::Device) {
        const WIDTH: usize = 1024;
        let random = |shape| Tensor::<B, 2>::random(shape, Distribution::Default, &device);
        let w = random([WIDTH, WIDTH]);
        let block = Tensor::<B, 3>::random([WIDTH / 64, 64, 64], Distribution::Default, &device);
        let block = block.require_grad();
        let x = random([8, WIDTH]).require_grad();
        let pass = |axis| {
            let [x, w] = [&x, &w].map(|t| t.clone().into_primitive().tensor());
            let block = block.clone().into_primitive().tensor();
            let y = match axis {
                // burn's layout is transposed.
                BlockAxis::Output => B::bone_output_product(x, B::float_transpose(w), block),
                BlockAxis::Input => B::bone_input_product(x, w, block),
            };
            let y = Tensor::<B, 2>::from_primitive(TensorPrimitive::Float(y));
            let grads = y.powi_scalar(2).sum().backward();
            B::sync(&device).expect("works");
            grads
        };
        for axis in [BlockAxis::Output, BlockAxis::Input] {
            pass(axis);
            let (_, asked) = self.log.of::<B::InnerBackend, _>(&device, || pass(axis));
            let sizes = asked.sizes;
            let weight = FLOAT * (WIDTH * WIDTH) as f64;
            println!(
                "bone, {axis:?} axis: largest {:.2} of {:.2} MB",
                sizes[0] / 1e6,
                weight / 1e6
            );
            assert!(sizes[0] < 0.3 * weight, "{axis:?}: {sizes:?}");
        }
    }
}

#[test]
fn training_step_allocates_no_large_tensor() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = Log {
        path: folder.path().join("device.log"),
        marks: Cell::new(0),
        end: Cell::new(0),
    };
    let logger = |level| format!("logger = {{ level = {level:?}, file = {:?} }}", log.path);
    let settings = format!(
        "[autotune]\nlevel = \"minimal\"\n\n[memory]\n{}\n\n[profiling]\n{}\n",
        logger("full"),
        logger("minimal")
    );
    std::fs::write(folder.path().join("cubecl.toml"), settings).expect("is written");
    // The runtime reads this file before it creates its first device.
    std::env::set_current_dir(folder.path()).expect("is there");
    for device in all_devices() {
        if device.name.kind.on_processor() {
            continue;
        }
        let reads = on_device(device.name, true, Read { log: &log }).expect("works");
        // CUDA and ROCm use the same memory for reads and writes.
        let told = matches!(device.name.kind, Kind::Vulkan | Kind::Metal | Kind::Wgpu);
        assert_eq!(reads, usize::from(told), "{}", device.name);
        on_device(device.name, true, Layer { log: &log }).expect("works");
        for architecture in [Architecture::Llama2, Architecture::Rwkv6] {
            let (log, folder) = (&log, folder.path());
            let steps = Steps {
                log,
                folder,
                architecture,
                reads,
            };
            on_device(device.name, true, steps).expect("works");
        }
    }
}
