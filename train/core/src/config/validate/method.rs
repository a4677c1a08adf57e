//! What trains: the method, and the settings that belong to some methods only.

use bone::rwkv_peft::Kind;
use bone::{
    AdapterConfig, AttachError, BlockAxis, LoraConfig, LoraStart, Selection, SvdMethod, Targets,
    Variant,
};
use bone_lm::Part;

use super::{Check, Range};
use crate::config::Method;
use crate::config::error::ConfigError;
use crate::config::settings::RawConfig;
use crate::config::words::{AxisWord, MethodName, Word};
use crate::models::Architecture;

/// Block size of the seed paper's experiments.
const RANK: usize = 64;

/// Seed of everything random, where it is not given.
pub(super) const SEED: u64 = 42;

/// Settings of the adapter methods.
const OF_ADAPTERS: [&str; 11] = [
    "block_axis",
    "rank",
    "mini_width",
    "alpha",
    "rslora",
    "lora_plus_ratio",
    "pissa_iterations",
    "dropout",
    "targets",
    "exclude",
    "layers",
];

/// Whether a setting is the adapter's own where a run goes on from one.
pub(in crate::config) fn comes_with_adapter(key: &str) -> bool {
    key == "method" || (OF_ADAPTERS.contains(&key) && key != "lora_plus_ratio")
}

/// The methods that multiply two matrices.
const LORAS: [MethodName; 3] = [MethodName::Lora, MethodName::Pissa, MethodName::Olora];

/// The default learning rate of a method, and the reason for it.
pub(in crate::config) fn default_learning_rate(method: &Method) -> (f64, &'static str) {
    match method {
        Method::Adapter(_) => (2e-5, "the seed paper's protocol"),
        Method::State => (
            1e-2,
            "where RWKV's state tuning ends, which starts at 1; a state is small, begins at zero \
             and moves alone",
        ),
        Method::Full => (1e-5, "half of the adapters' rate, as every weight moves"),
    }
}

/// The block axis of an architecture's published Bone; the output axis where the model is
/// unreadable, which is a problem of its own.
fn default_block_axis(architecture: Option<Architecture>) -> BlockAxis {
    architecture.map_or(BlockAxis::Output, Architecture::block_axis)
}

/// Why an axis is the default.
pub(in crate::config) fn block_axis_reason(axis: BlockAxis) -> &'static str {
    match axis {
        BlockAxis::Output => "as the seed's LLaMA2 code has it",
        BlockAxis::Input => "as the seed's RWKV6 code has it",
    }
}

impl RawConfig {
    /// Returns what these settings train of a model of `architecture`, as
    /// [`validate`](Self::validate) finds it, without a look at the other settings.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Invalid`] with every problem.
    pub fn method_on(&self, architecture: Architecture) -> Result<Method, ConfigError> {
        let mut check = Check {
            raw: self,
            problems: Vec::new(),
            architecture: Some(architecture),
        };
        let method = check.method();
        if check.problems.is_empty() {
            return Ok(method);
        }
        Err(ConfigError::Invalid(check.problems))
    }
}

impl Check<'_> {
    pub(super) fn method(&mut self) -> Method {
        let raw = self.raw;
        if raw.unread.contains("method") {
            // What the method needs cannot be known.
            return Method::Full;
        }
        let name = raw.method.unwrap_or_default();
        match name {
            MethodName::Bone
            | MethodName::Miss
            | MethodName::MissMini
            | MethodName::Lora
            | MethodName::Pissa
            | MethodName::Olora => self.adapter(name),
            MethodName::State => {
                self.refuse_adapters(name);
                let why = "means nothing with method state, which trains the initial state \
                           alone; leave it out, or choose an adapter method";
                self.refuse(&["train_parts"], why);
                if let Some(architecture @ Architecture::Llama2) = self.architecture {
                    let message = format!(
                        "state tunes the initial state of a recurrent model (RWKV6), and {} has \
                         none; choose another method",
                        architecture.name()
                    );
                    self.problem("method", message);
                }
                Method::State
            }
            MethodName::Full => {
                self.refuse_adapters(name);
                let why = "means nothing with method full, which trains every weight; leave it \
                           out, or choose an adapter method";
                self.refuse(&["train_parts"], why);
                Method::Full
            }
        }
    }

    pub(super) fn refuse_adapters(&mut self, name: MethodName) {
        let why = format!(
            "means nothing with method {}, which has no adapters; leave it out, or choose an \
             adapter method",
            name.word()
        );
        self.refuse(&OF_ADAPTERS, &why);
    }

    fn adapter(&mut self, name: MethodName) -> Method {
        let raw = self.raw;
        let rank = self.at_least("rank", raw.rank, 1, RANK);
        let variant =
            match name {
                MethodName::Miss => Variant::Miss,
                MethodName::MissMini => Variant::MissMini {
                    width: self.mini_width(),
                },
                MethodName::Lora => self.lora(LoraStart::Random, rank),
                MethodName::Olora => self.lora(LoraStart::Olora, rank),
                MethodName::Pissa => {
                    let method = raw.pissa_iterations.map_or(SvdMethod::Exact, |iterations| {
                        SvdMethod::Fast { iterations }
                    });
                    self.lora(LoraStart::Pissa(method), rank)
                }
                _ => Variant::Bone(self.block_axis()),
            };
        for (key, of) in [
            ("block_axis", &[MethodName::Bone][..]),
            ("mini_width", &[MethodName::MissMini]),
            ("alpha", &LORAS),
            ("rslora", &LORAS),
            ("lora_plus_ratio", &LORAS),
            ("pissa_iterations", &[MethodName::Pissa]),
        ] {
            if !of.contains(&name) {
                let of: Vec<_> = of.iter().map(|name| name.word()).collect();
                let why = format!(
                    "means nothing with method {}, only with {}; leave it out",
                    name.word(),
                    of.join(", ")
                );
                self.refuse(&[key], &why);
            }
        }
        let dropout = self.check_dropout(variant);
        let targets = Targets {
            modules: raw.targets.clone().unwrap_or(Selection::AllLinear),
            exclude: raw.exclude.clone(),
            layers: raw.layers.clone().map(|layers| layers.0),
        };
        self.selections(&targets);
        let config = AdapterConfig::new(variant, rank, targets);
        let seed = raw.seed.unwrap_or(SEED);
        Method::Adapter(config.with_dropout(dropout).with_seed(seed))
    }

    fn block_axis(&mut self) -> BlockAxis {
        match self.raw.block_axis.map(AxisWord::kind) {
            Some(Kind::Bone(axis)) => return axis,
            Some(Kind::Miss) => self.problem(
                "block_axis",
                "is \"none\", which tells of an adapter to go on from that it is miss, and bone has \
                 blocks; say output or input",
            ),
            None => {}
        }
        default_block_axis(self.architecture)
    }

    fn lora(&mut self, start: LoraStart, rank: usize) -> Variant {
        let alpha = self.number("alpha", self.raw.alpha, rank.max(1) as f64, Range::Above);
        Variant::Lora(LoraConfig {
            alpha,
            rslora: self.raw.rslora.unwrap_or(false),
            start,
        })
    }

    pub(super) fn lora_plus_ratio(&mut self, method: &Method) -> f64 {
        let ratio = self.raw.lora_plus_ratio;
        let is_lora = match method {
            Method::Adapter(config) => config.variant.lora().is_some(),
            Method::State | Method::Full => true,
        };
        // Without an adapter to go on from, the method's name has refused it already.
        if !is_lora && self.raw.adapter.is_some() {
            let why =
                "means nothing with the adapter to go on from, which is no LoRA; leave it out";
            self.refuse(&["lora_plus_ratio"], why);
        }
        self.number("lora_plus_ratio", ratio, 1.0, Range::Above)
    }

    pub(super) fn check_dropout(&mut self, variant: Variant) -> f64 {
        let dropout = self.number("dropout", self.raw.dropout, 0.0, Range::Share);
        if dropout != 0.0 && !variant.has_dropout() {
            let message = "bone has no dropout; leave it out, or choose miss or miss-mini";
            self.problem("dropout", message);
        }
        dropout
    }

    fn mini_width(&mut self) -> usize {
        match self.raw.mini_width {
            None => {
                self.problem(
                    "mini_width",
                    "missing; miss-mini needs it; it must divide the outputs of every target",
                );
                1
            }
            width => self.at_least("mini_width", width, 1, 1),
        }
    }

    fn selections(&mut self, targets: &Targets) {
        if targets.exclude == Some(Selection::AllLinear) {
            self.problem("exclude", "all-linear leaves no layer; name the layers");
        }
        let both = [
            ("targets", Some(&targets.modules)),
            ("exclude", targets.exclude.as_ref()),
        ];
        for (key, selection) in both {
            let Some(selection) = selection else { continue };
            // Without layers nothing can match: only a bad expression is of interest.
            if let Err(error @ AttachError::Pattern { .. }) =
                Targets::new(selection.clone()).resolve(&[])
            {
                self.problem(key, error.to_string().replace('\n', " "));
            }
        }
    }

    /// The parts in order, each once.
    pub(super) fn train_parts(&self) -> Vec<Part> {
        let mut parts = self
            .raw
            .train_parts
            .as_ref()
            .map_or(Vec::new(), |parts| parts.0.clone());
        parts.sort_unstable();
        parts.dedup();
        parts
    }
}
