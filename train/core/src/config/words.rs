//! Settings whose value is one of a few words.

use bone::BlockAxis;
use bone::rwkv_peft::Kind;
use bone_lm::Part;
use burn::tensor::DType;

use crate::schedule::ScheduleKind;
use bone_data::Cut;
use bone_data::nearest;

/// What the model starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Init {
    /// The model's weights.
    #[default]
    Pretrained,
    /// Random weights of the model's shapes.
    Random,
}

/// The method's name, before its settings are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MethodName {
    /// Bone.
    #[default]
    Bone,
    /// Miss.
    Miss,
    /// Miss-mini.
    MissMini,
    /// LoRA.
    Lora,
    /// LoRA from the weight's largest singular values.
    Pissa,
    /// LoRA from the weight's QR decomposition.
    Olora,
    /// The initial state of a recurrent model.
    State,
    /// Every weight of the model.
    Full,
}

/// The precision the base weights are held in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DtypeChoice {
    /// Chosen from the checkpoint and the device; the run prints which and why.
    #[default]
    Auto,
    /// 32-bit floats.
    F32,
    /// bfloat16.
    Bf16,
    /// 16-bit floats.
    F16,
}

/// A type whose values are words.
pub(super) trait Word: Copy + 'static {
    const ALL: &'static [Self];

    fn word(self) -> &'static str;

    fn from_word(word: &str) -> Result<Self, String> {
        if let Some(found) = Self::ALL.iter().find(|known| known.word() == word) {
            return Ok(*found);
        }
        let words: Vec<_> = Self::ALL.iter().map(|known| known.word()).collect();
        let near = nearest(word, words.iter().copied())
            .map(|near| format!("; did you mean '{near}'?"))
            .unwrap_or_default();
        Err(format!("'{word}' is none of {}{near}", words.join(", ")))
    }
}

impl Word for Init {
    const ALL: &'static [Self] = &[Self::Pretrained, Self::Random];

    fn word(self) -> &'static str {
        match self {
            Self::Pretrained => "pretrained",
            Self::Random => "random",
        }
    }
}

impl Word for MethodName {
    const ALL: &'static [Self] = &[
        Self::Bone,
        Self::Miss,
        Self::MissMini,
        Self::Lora,
        Self::Pissa,
        Self::Olora,
        Self::State,
        Self::Full,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Bone => "bone",
            Self::Miss => "miss",
            Self::MissMini => "miss-mini",
            Self::Lora => "lora",
            Self::Pissa => "pissa",
            Self::Olora => "olora",
            Self::State => "state",
            Self::Full => "full",
        }
    }
}

/// The axis of bone's blocks, or of what a file holds that does not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum AxisWord {
    /// Bone on the output axis.
    Output,
    /// Bone on the input axis.
    Input,
    /// Miss, which has no blocks.
    None,
}

impl AxisWord {
    /// What an adapter is that is said to have it.
    pub fn kind(self) -> Kind {
        match self {
            Self::Output => Kind::Bone(BlockAxis::Output),
            Self::Input => Kind::Bone(BlockAxis::Input),
            Self::None => Kind::Miss,
        }
    }

    /// As it is written.
    pub fn name(self) -> String {
        self.word().to_owned()
    }
}

impl From<BlockAxis> for AxisWord {
    fn from(axis: BlockAxis) -> Self {
        match axis {
            BlockAxis::Output => Self::Output,
            BlockAxis::Input => Self::Input,
        }
    }
}

impl Word for AxisWord {
    const ALL: &'static [Self] = &[Self::Output, Self::Input, Self::None];

    fn word(self) -> &'static str {
        match self {
            Self::Output => "output",
            Self::Input => "input",
            Self::None => "none",
        }
    }
}

// The words are those of RWKV's own trainers.
impl Word for Part {
    const ALL: &'static [Self] = &[Self::Time, Self::Norm, Self::Embedding, Self::Head];

    fn word(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Norm => "ln",
            Self::Embedding => "emb",
            Self::Head => "head",
        }
    }
}

impl Word for DtypeChoice {
    const ALL: &'static [Self] = &[Self::Auto, Self::F32, Self::Bf16, Self::F16];

    fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        }
    }
}

impl DtypeChoice {
    /// The precision that was asked for; `None` for auto.
    pub fn dtype(self) -> Option<DType> {
        match self {
            Self::Auto => None,
            Self::F32 => Some(DType::F32),
            Self::Bf16 => Some(DType::BF16),
            Self::F16 => Some(DType::F16),
        }
    }
}

macro_rules! as_text {
    ($($type:ty),+) => {$(
        impl std::str::FromStr for $type {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                Self::from_word(text)
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.word())
            }
        }
    )+};
}

as_text!(DtypeChoice, MethodName);

impl Word for Cut {
    const ALL: &'static [Self] = &[Self::Pad, Self::Only];

    fn word(self) -> &'static str {
        match self {
            Self::Pad => "pad",
            Self::Only => "only",
        }
    }
}

impl Word for ScheduleKind {
    const ALL: &'static [Self] = &ScheduleKind::ALL;

    fn word(self) -> &'static str {
        self.name()
    }
}
