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
        self.method().name()
    }

    /// The axis of bone's blocks; `None` for the other variants.
    pub fn block_axis(&self) -> Option<BlockAxis> {
        match self {
            Self::Bone(axis) => Some(*axis),
            _ => None,
        }
    }

    /// Miss-mini's width; `None` for the other variants.
    pub fn mini_width(&self) -> Option<usize> {
        match self {
            Self::MissMini { width } => Some(*width),
            _ => None,
        }
    }

    /// The settings of LoRA, PiSSA and OLoRA; `None` for the other variants.
    pub fn lora(&self) -> Option<LoraConfig> {
        match self {
            Self::Lora(settings) => Some(*settings),
            _ => None,
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
        self.method().check(rank, [d_input, d_output])
    }

    /// The adapter's tensors on a layer that passed [`check`](Self::check): shapes by name.
    pub fn shapes(
        &self,
        rank: usize,
        d_input: usize,
        d_output: usize,
    ) -> Vec<(&'static str, Vec<usize>)> {
        let shapes = self.method().shapes(rank, [Some(d_input), Some(d_output)]);
        let shapes = shapes.into_iter().map(|shape| shape.into_iter().flatten());
        let names = self.tensor_names().iter().copied();
        names.zip(shapes.map(Iterator::collect)).collect()
    }

    /// `[inputs, outputs]` of the layer that tensors of these shapes are for, as far as they tell.
    pub fn widths(&self, shapes: &[Vec<usize>]) -> [Option<usize>; 2] {
        self.method().widths(shapes)
    }

    /// Names of the adapter's tensors, in the order of [`shapes`](Self::shapes).
    pub fn tensor_names(&self) -> &'static [&'static str] {
        self.method().tensor_names()
    }

    /// Number of the adapter's parameters on such a layer.
    pub fn num_params(&self, rank: usize, d_input: usize, d_output: usize) -> usize {
        let shapes = self.shapes(rank, d_input, d_output).into_iter();
        shapes
            .map(|(_, shape)| shape.iter().product::<usize>())
            .sum()
    }

    /// Floating-point operations of matrix products that such an adapter adds to a training step of
    /// `tokens`, a multiplication and an addition being two.
    pub fn step_operations(
        &self,
        rank: usize,
        tokens: f64,
        [d_input, d_output]: [usize; 2],
    ) -> f64 {
        let widths = [d_input as f64, d_output as f64];
        self.method().step_operations(rank as f64, tokens, widths)
    }

    /// Whether it has dropout.
    pub fn has_dropout(&self) -> bool {
        self.method().has_dropout()
    }

    /// Whether its tensors are the factors of a low-rank change of every weight, or can be made so
    /// without loss: [`SavedAdapter::to_lora`](crate::saved::SavedAdapter::to_lora).
    pub fn is_lora_exactly(&self) -> bool {
        self.method().is_lora_exactly()
    }
}

/// The name with its settings: `bone on the output axis`, `miss-mini, width 8`, `lora, alpha 16`.
impl std::fmt::Display for Variant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.method().description())
    }
}

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
        if let Some((variant, rank)) = self.variant.method().saved(self.rank) {
            saved.variant = variant;
            saved.rank = rank;
        }
        saved
    }
}
