use crate::{Misfit, Targets};

/// Which blocks of the weight share one adapter block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlockAxis {
    /// One `B` per output block-row, right-multiplied: the seed paper's Bone, PEFT's `bat`.
    Output,
    /// One `B` per input block-column: the form RWKV trainers use.
    Input,
}

/// The adapter's mathematics. The [crate documentation](crate) has the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
}

impl Variant {
    /// The name users type and read: `bone`, `bone-input`, `miss`, `miss-mini`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Bone(BlockAxis::Output) => "bone",
            Self::Bone(BlockAxis::Input) => "bone-input",
            Self::Miss => "miss",
            Self::MissMini { .. } => "miss-mini",
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
        }
    }

    /// The adapter tensor's shape on a layer that passed [`check`](Self::check).
    pub fn shape(&self, rank: usize, d_input: usize, d_output: usize) -> Vec<usize> {
        match self {
            Self::Bone(BlockAxis::Output) => vec![d_output / rank, rank, rank],
            Self::Bone(BlockAxis::Input) => vec![d_input / rank, rank, rank],
            Self::Miss => vec![rank, d_output],
            Self::MissMini { width } => vec![rank, *width],
        }
    }
}

/// What to attach, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct AdapterConfig {
    /// The adapter's mathematics.
    pub variant: Variant,
    /// Block size `r` (bone) or number of shared shards' rows `r` (miss).
    pub rank: usize,
    /// Dropout probability on the adapter's input, `0 ≤ p < 1`; miss and miss-mini only.
    pub dropout: f64,
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
            targets,
        }
    }

    /// Sets the dropout probability.
    pub fn with_dropout(mut self, dropout: f64) -> Self {
        self.dropout = dropout;
        self
    }
}
