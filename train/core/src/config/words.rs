//! Settings whose value is one of several fixed words.

use bone::BlockAxis;
use bone::rwkv_peft::Kind;
use bone_data::{Cut, unknown};
use bone_lm::Part;
use toml::Value;

use super::value::{Setting, all, items, list};
use crate::device::DtypeChoice;
use crate::schedule::ScheduleKind;

/// Where the model's weights come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Init {
    /// The model's own weights.
    #[default]
    Pretrained,
    /// Random weights of the model's shapes.
    Random,
}

/// Name of the method, before its settings are checked.
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

/// Block axis of bone, or the kind of an adapter file that does not record it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AxisWord {
    /// Bone on the output axis.
    Output,
    /// Bone on the input axis.
    Input,
    /// Miss, which has no blocks.
    None,
}

/// A type whose values are fixed words.
pub(crate) trait Word: Copy + PartialEq + 'static {
    /// Each value and its word.
    const WORDS: &'static [(Self, &'static str)];

    fn word(self) -> &'static str {
        let found = Self::WORDS.iter().find(|(value, _)| *value == self);
        found.map_or("", |(_, word)| word)
    }

    fn from_word(text: &str) -> Result<Self, String> {
        let found = Self::WORDS.iter().find(|(_, word)| *word == text);
        found.map(|(value, _)| *value).ok_or_else(|| {
            let words: Vec<_> = Self::WORDS.iter().map(|(_, word)| *word).collect();
            unknown(text, &words)
        })
    }
}

impl<T: Word> Setting for T {
    fn from_text(text: &str) -> Result<Self, String> {
        Self::from_word(text)
    }

    fn literal(&self) -> String {
        format!("\"{}\"", self.word())
    }
}

/// One or more words, as a list or separated by commas.
impl<T: Word> Setting for Vec<T> {
    fn from_text(text: &str) -> Result<Self, String> {
        let words = text.split(',').map(str::trim);
        let values = all(words.filter(|word| !word.is_empty()).map(T::from_word))?;
        if values.is_empty() {
            return Err(format!(
                "must not be empty; choose from {}",
                all_words::<T>()
            ));
        }
        Ok(values)
    }

    fn from_nested(words: &Value) -> Result<Self, String> {
        Self::from_text(&items::<String>(words)?.join(","))
    }

    fn literal(&self) -> String {
        list(self, Setting::literal)
    }
}

/// Returns the words of these values, separated by commas.
pub(crate) fn joined<T: Word>(values: impl Iterator<Item = T>) -> String {
    let words: Vec<_> = values.map(Word::word).collect();
    words.join(", ")
}

fn all_words<T: Word>() -> String {
    joined(T::WORDS.iter().map(|(value, _)| *value))
}

macro_rules! words {
    ($($type:ident { $($value:ident = $word:literal),+ })+) => {$(
        impl Word for $type {
            const WORDS: &'static [(Self, &'static str)] = &[$((Self::$value, $word)),+];
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
    // RWKV's own trainers use these words.
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

as_text!(AxisWord, DtypeChoice, MethodName);

impl AxisWord {
    /// Returns the kind of adapter that this word stands for.
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
