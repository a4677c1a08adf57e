//! Settings whose value is one of a few words.

use bone::BlockAxis;
use bone::rwkv_peft::Kind;
use bone_data::{Cut, nearest};
use bone_lm::Part;

use super::value::Setting;
use crate::device::DtypeChoice;
use crate::schedule::ScheduleKind;

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

/// The axis of bone's blocks, or of what a file holds that does not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AxisWord {
    /// Bone on the output axis.
    Output,
    /// Bone on the input axis.
    Input,
    /// Miss, which has no blocks.
    None,
}

/// A type whose values are words.
pub(super) trait Word: Copy + 'static {
    const ALL: &'static [Self];
    /// All words, with commas between.
    const LIST: &'static str;
    const ONE_OF: &'static str;

    fn word(self) -> &'static str;

    fn from_word(word: &str) -> Result<Self, String> {
        if let Some(found) = Self::ALL.iter().find(|known| known.word() == word) {
            return Ok(*found);
        }
        let near = nearest(word, Self::ALL.iter().map(|known| known.word()))
            .map(|near| format!("; did you mean '{near}'?"))
            .unwrap_or_default();
        Err(format!("'{word}' is none of {}{near}", Self::LIST))
    }
}

impl<T: Word> Setting for T {
    const WANTED: &'static str = T::ONE_OF;

    fn from_text(text: &str) -> Result<Self, String> {
        Self::from_word(text)
    }

    fn literal(&self) -> String {
        format!("\"{}\"", self.word())
    }
}

macro_rules! words {
    ($($type:ident { $first:ident = $first_word:literal $(, $value:ident = $word:literal)+ })+) => {$(
        impl Word for $type {
            const ALL: &'static [Self] = &[Self::$first, $(Self::$value),+];
            const LIST: &'static str = concat!($first_word, $(", ", $word),+);
            const ONE_OF: &'static str = concat!("one of ", $first_word, $(", ", $word),+);

            fn word(self) -> &'static str {
                match self {
                    Self::$first => $first_word,
                    $(Self::$value => $word,)+
                }
            }
        }
    )+};
}

words! {
    Init { Pretrained = "pretrained", Random = "random" }
    MethodName {
        Bone = "bone", Miss = "miss", MissMini = "miss-mini", Lora = "lora", Pissa = "pissa",
        Olora = "olora", State = "state", Full = "full"
    }
    AxisWord { Output = "output", Input = "input", None = "none" }
    DtypeChoice { Auto = "auto", F32 = "f32", Bf16 = "bf16", F16 = "f16" }
    ScheduleKind { Constant = "constant", Linear = "linear", Cosine = "cosine" }
    Cut { Pad = "pad", Only = "only" }
    // Those of RWKV's own trainers.
    Part { Time = "time", Norm = "ln", Embedding = "emb", Head = "head" }
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

as_text!(AxisWord, DtypeChoice, MethodName, ScheduleKind);

impl AxisWord {
    /// Returns what an adapter is that is said to have it.
    pub fn kind(self) -> Kind {
        match self {
            Self::Output => Kind::Bone(BlockAxis::Output),
            Self::Input => Kind::Bone(BlockAxis::Input),
            Self::None => Kind::Miss,
        }
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
