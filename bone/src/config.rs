use crate::{Misfit, Targets};

mod lora;

pub use lora::{LoraConfig, LoraStart, SvdMethod};

/// Which blocks of the weight share one adapter block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlockAxis {
    /// One `B` per output block-row, right-multiplied: the seed paper's Bone, PEFT's `bat`.
    Output,
    /// One `B` per input block-column: the form RWKV trainers use.
    Input,
}

/// The adapter's mathematics. The [crate documentation](crate) has the table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Variant {
    /// Block-affine transformation.
    Bone(BlockAxis),
    /// Shard sharing: `y = base(x) + (Σ_k x_k)·D`.
    Miss,
    /// Miss whose `D` repeats one `[r, width]` block along the outputs.
    MissMini {
        /// Columns of the repeated block, PEFT's `mini_r`.
        width: usize,
    },
    /// A product of two thin matrices: LoRA, PiSSA, OLoRA.
    Lora(LoraConfig),
}

impl Variant {
    /// The name users read: `bone`, `bone-input`, `miss`, `miss-mini`, `lora`, `pissa`, `olora`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Bone(BlockAxis::Output) => "bone",
            Self::Bone(BlockAxis::Input) => "bone-input",
            Self::Miss => "miss",
            Self::MissMini { .. } => "miss-mini",
            Self::Lora(lora) => match lora.start {
                LoraStart::Random => "lora",
                LoraStart::Pissa(_) => "pissa",
                LoraStart::Olora => "olora",
            },
        }
    }

    /// Whether an adapter of this variant and `rank` fits a layer, and if not, why.
    ///
    /// # Errors
    ///
    /// [`Misfit`] names what does not divide.
    pub fn check(&self, rank: usize, d_input: usize, d_output: usize) -> Result<(), Misfit> {
        if rank == 0 {
            return Err("the rank must be at least 1".into());
        }
        match self {
            Self::Bone(_) => {
                let odd: Vec<_> = [("inputs", d_input), ("outputs", d_output)]
                    .into_iter()
                    .filter(|(_, size)| size % rank != 0)
                    .map(|(name, size)| format!("its {size} {name}"))
                    .collect();
                if odd.is_empty() {
                    return Ok(());
                }
                let odd = odd.join(" and ");
                Err(Misfit::Rank { rank, odd })
            }
            Self::Miss => Ok(()),
            Self::MissMini { width } => {
                if *width == 0 || !d_output.is_multiple_of(*width) {
                    return Err(format!(
                        "miss-mini's width {width} does not divide its {d_output} outputs"
                    )
                    .into());
                }
                Ok(())
            }
            Self::Lora(lora) => {
                let directions = d_input.min(d_output);
                if lora.has_residual() && rank > directions {
                    let name = self.name();
                    return Err(format!(
                        "{name} starts from the weight's {directions} directions, and rank {rank} is more"
                    )
                    .into());
                }
                Ok(())
            }
        }
    }

    /// The adapter's tensors on a layer that passed [`check`](Self::check): shapes by name.
    pub fn shapes(
        &self,
        rank: usize,
        d_input: usize,
        d_output: usize,
    ) -> Vec<(&'static str, Vec<usize>)> {
        let block = |shape| vec![(BLOCK, shape)];
        match self {
            Self::Bone(BlockAxis::Output) => block(vec![d_output / rank, rank, rank]),
            Self::Bone(BlockAxis::Input) => block(vec![d_input / rank, rank, rank]),
            Self::Miss => block(vec![rank, d_output]),
            Self::MissMini { width } => block(vec![rank, *width]),
            Self::Lora(_) => vec![
                (LORA_A, vec![rank, d_input]),
                (LORA_B, vec![d_output, rank]),
            ],
        }
    }

    /// Names of the adapter's tensors, in the order of [`shapes`](Self::shapes).
    pub fn tensor_names(&self) -> &'static [&'static str] {
        match self {
            Self::Lora(_) => &[LORA_A, LORA_B],
            Self::Bone(_) | Self::Miss | Self::MissMini { .. } => &[BLOCK],
        }
    }

    /// Number of the adapter's parameters on such a layer.
    pub fn num_params(&self, rank: usize, d_input: usize, d_output: usize) -> usize {
        let shapes = self.shapes(rank, d_input, d_output).into_iter();
        shapes
            .map(|(_, shape)| shape.iter().product::<usize>())
            .sum()
    }

    /// Whether it has dropout.
    pub fn has_dropout(&self) -> bool {
        !matches!(self, Self::Bone(_))
    }
}

/// Name of the one tensor of an adapter that has one.
pub(crate) const BLOCK: &str = "block";
/// Name of LoRA's first factor, `[r, in]`.
pub(crate) const LORA_A: &str = "lora_A";
/// Name of LoRA's second factor, `[out, r]`.
pub(crate) const LORA_B: &str = "lora_B";

/// What to attach, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct AdapterConfig {
    /// The adapter's mathematics.
    pub variant: Variant,
    /// Block size `r` (bone), number of shared shards' rows `r` (miss), inner width `r` (LoRA).
    pub rank: usize,
    /// Dropout probability on the adapter's input, `0 ≤ p < 1`; not for bone.
    pub dropout: f64,
    /// What a random start is drawn from, with each layer's path: LoRA's `A`, and the directions
    /// that PiSSA's fast decomposition begins with.
    pub seed: u64,
    /// Which layers carry an adapter.
    pub targets: Targets,
}

impl AdapterConfig {
    /// A configuration without dropout.
    pub fn new(variant: Variant, rank: usize, targets: Targets) -> Self {
        Self {
            variant,
            rank,
            dropout: 0.0,
            seed: 0,
            targets,
        }
    }

    /// Sets the dropout probability.
    pub fn with_dropout(mut self, dropout: f64) -> Self {
        self.dropout = dropout;
        self
    }

    /// Sets what a random start is drawn from.
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// What such an adapter is saved as. PiSSA and OLoRA, which belong to a residual, become a LoRA
    /// of twice the rank on the untouched base; everything else stays as it is.
    pub fn saved(&self) -> Self {
        let mut saved = Self {
            seed: 0,
            ..self.clone()
        };
        if let Variant::Lora(lora) = self.variant
            && lora.has_residual()
        {
            saved.variant = Variant::Lora(lora.doubled());
            saved.rank *= 2;
        }
        saved
    }
}
