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
///
/// ```
/// use bone::{BlockAxis, Variant};
///
/// let bone = Variant::Bone(BlockAxis::Output);
/// assert_eq!(bone.to_string(), "bone on the output axis");
/// // Rank 4 on a layer of 8 inputs and 12 outputs.
/// assert_eq!(bone.shapes(4, 8, 12)[0].1, [3, 4, 4]);
/// assert_eq!(bone.num_params(4, 8, 12), 3 * 4 * 4);
/// // Bone's rank must divide the widths; miss supports any rank.
/// assert!(bone.check(5, 8, 12).is_err());
/// assert!(Variant::Miss.check(5, 8, 12).is_ok());
/// assert_eq!(Variant::MissMini { width: 6 }.mini_width(), Some(6));
/// ```
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
    /// Returns the name that users read: `bone`, `bone-input`, `miss`, `miss-mini`, `lora`,
    /// `pissa`, `olora`.
    ///
    /// Example: [`Variant`].
    pub fn name(&self) -> &'static str {
        self.method().name()
    }

    /// Returns the axis of bone's blocks; `None` for the other variants.
    ///
    /// Example: [`Variant`].
    pub fn block_axis(&self) -> Option<BlockAxis> {
        match self {
            Self::Bone(axis) => Some(*axis),
            _ => None,
        }
    }

    /// Returns miss-mini's width; `None` for the other variants.
    ///
    /// Example: [`Variant`].
    pub fn mini_width(&self) -> Option<usize> {
        match self {
            Self::MissMini { width } => Some(*width),
            _ => None,
        }
    }

    /// Returns the settings of LoRA, PiSSA and OLoRA; `None` for the other variants.
    ///
    /// Example: [`Variant`].
    pub fn lora(&self) -> Option<LoraConfig> {
        match self {
            Self::Lora(settings) => Some(*settings),
            _ => None,
        }
    }

    /// Checks that an adapter of this variant and `rank` fits a layer.
    ///
    /// Example: [`Variant`].
    ///
    /// # Errors
    ///
    /// [`Misfit`] names the widths that the rank does not divide.
    pub fn check(&self, rank: usize, d_input: usize, d_output: usize) -> Result<(), Misfit> {
        if rank == 0 {
            return Err("the rank must be at least 1".into());
        }
        self.method().check(rank, [d_input, d_output])
    }

    /// Returns the adapter's tensors, shapes by name, on a layer that passed
    /// [`check`](Self::check).
    ///
    /// Example: [`Variant`].
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

    /// Returns the layer's `[inputs, outputs]` as far as these tensor shapes determine them.
    ///
    /// Example: [`Variant`].
    pub fn widths(&self, shapes: &[Vec<usize>]) -> [Option<usize>; 2] {
        self.method().widths(shapes)
    }

    /// Returns the names of the adapter's tensors, in the order of [`shapes`](Self::shapes).
    ///
    /// Example: [`Variant`].
    pub fn tensor_names(&self) -> &'static [&'static str] {
        self.method().tensor_names()
    }

    /// Returns the number of the adapter's parameters on such a layer.
    ///
    /// Example: [`Variant`].
    pub fn num_params(&self, rank: usize, d_input: usize, d_output: usize) -> usize {
        let shapes = self.shapes(rank, d_input, d_output).into_iter();
        shapes
            .map(|(_, shape)| shape.iter().product::<usize>())
            .sum()
    }

    /// Returns the floating-point operations of the matrix products that the adapter adds to a
    /// training step of `tokens`. A multiplication and an addition count as two.
    ///
    /// Example: [`Variant`].
    pub fn step_operations(
        &self,
        rank: usize,
        tokens: f64,
        [d_input, d_output]: [usize; 2],
    ) -> f64 {
        let widths = [d_input as f64, d_output as f64];
        self.method().step_operations(rank as f64, tokens, widths)
    }

    /// Returns whether the variant supports dropout.
    ///
    /// Example: [`Variant`].
    pub fn has_dropout(&self) -> bool {
        self.method().has_dropout()
    }

    /// Returns whether the adapter is exactly a low-rank change of every weight, or converts to one
    /// without loss: [`SavedAdapter::to_lora`](crate::saved::SavedAdapter::to_lora).
    ///
    /// Example: [`Variant`].
    pub fn is_lora_exactly(&self) -> bool {
        self.method().is_lora_exactly()
    }
}

/// Prints the name with its settings: `bone on the output axis`, `miss-mini, width 8`,
/// `lora, alpha 16`.
impl std::fmt::Display for Variant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.method().description())
    }
}

/// The adapter to attach, and its layers.
///
/// ```
/// use bone::{AdapterConfig, Selection, Targets, Variant};
///
/// let targets = Targets::new(Selection::names(["q_proj", "v_proj"]));
/// let config = AdapterConfig::new(Variant::Miss, 16, targets).with_dropout(0.1).with_seed(7);
/// assert_eq!((config.rank, config.seed), (16, 7));
/// // Files do not contain the seed.
/// assert_eq!(config.saved().seed, 0);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct AdapterConfig {
    /// The adapter's mathematics.
    pub variant: Variant,
    /// Block size `r` (bone), number of rows `r` of the shared shard (miss), inner width `r`
    /// (LoRA).
    pub rank: usize,
    /// Dropout probability on the adapter's input, `0 ≤ p < 1`; not for bone.
    pub dropout: f64,
    /// Seed of a random start, combined with each layer's path. It applies to LoRA's `A` and to the
    /// directions from which PiSSA's fast decomposition starts.
    pub seed: u64,
    /// Which layers carry an adapter.
    pub targets: Targets,
}

impl AdapterConfig {
    /// Makes a configuration without dropout.
    ///
    /// Example: [`AdapterConfig`].
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
    ///
    /// Example: [`AdapterConfig`].
    pub fn with_dropout(mut self, dropout: f64) -> Self {
        self.dropout = dropout;
        self
    }

    /// Sets the seed of a random start.
    ///
    /// Example: [`AdapterConfig`].
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Returns the configuration under which the adapter is saved. PiSSA and OLoRA, which belong to
    /// a residual, become a LoRA of twice the rank on the original base. Other variants stay
    /// unchanged.
    ///
    /// Example: [`AdapterConfig`].
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
