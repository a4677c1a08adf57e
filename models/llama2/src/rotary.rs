use crate::LlamaConfig;
use bone::graph::cat;
use bone_lm::{Backend, Span};
use burn::tensor::{Bool, DType, Int, Tensor, TensorData};

/// What the blocks of one forward share: rotary tables of the piece's positions, and what may
/// not be seen.
#[derive(Debug, Clone)]
pub struct LlamaContext<B: Backend> {
    /// Cosines, `[batch or 1, 1, len, head_dim / 2]`.
    cos: Tensor<B, 4>,
    /// Sines, likewise.
    sin: Tensor<B, 4>,
    /// `[batch or 1, 1, len, past + len]`, true where a key is hidden; `None` where causality of
    /// whole sequences, or of a single token that sees everything, is all.
    pub(crate) mask: Option<Tensor<B, 4, Bool>>,
}

impl<B: Backend> LlamaContext<B> {
    /// Tables for `span`, in the precision the model computes in.
    pub(crate) fn new(config: &LlamaConfig, span: &Span, device: &B::Device, dtype: DType) -> Self {
        let half = config.head_dim / 2;
        let rows: &[usize] = if span.left_pad.is_empty() {
            &[0]
        } else {
            &span.left_pad
        };
        let mut angles = Vec::with_capacity(rows.len() * span.len * half);
        for pad in rows {
            for t in 0..span.len {
                // Padding has no position; any will do, since nobody looks at it.
                let position = (span.past + t).saturating_sub(*pad) as f64;
                angles.extend((0..half).map(|i| {
                    position
                        / config
                            .rope_theta
                            .powf(2.0 * i as f64 / config.head_dim as f64)
                }));
            }
        }
        let shape = [rows.len(), 1, span.len, half];
        let table = |function: fn(f64) -> f64| {
            let values: Vec<f64> = angles.iter().map(|angle| function(*angle)).collect();
            Tensor::from_data(TensorData::new(values, shape), (device, dtype))
        };
        Self {
            cos: table(f64::cos),
            sin: table(f64::sin),
            // With tokens before a piece, flex lines causality up with the last key, cubek's flash
            // kernels with the first; a mask leaves no choice.
            mask: (!span.left_pad.is_empty() || (span.past > 0 && span.len > 1))
                .then(|| mask(span, rows, device)),
        }
    }

    /// Turns the two halves of every head by the position's angles.
    ///
    /// # Shapes
    ///
    /// - x: `[batch, heads, len, head_dim]`, and so the output
    pub(crate) fn rotate(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        let half = x.dims()[3] / 2;
        let first = x.clone().narrow(3, 0, half);
        let second = x.narrow(3, half, half);
        let turned_first = first.clone() * self.cos.clone() - second.clone() * self.sin.clone();
        let turned_second = second * self.cos.clone() + first * self.sin.clone();
        cat(vec![turned_first, turned_second], 3)
    }
}

/// Hides the future and the padding. A padding position sees itself, because a softmax over
/// nothing is no number.
fn mask<B: Backend>(span: &Span, rows: &[usize], device: &B::Device) -> Tensor<B, 4, Bool> {
    let keys = span.past + span.len;
    let mut hidden = Vec::with_capacity(rows.len() * span.len * keys);
    for pad in rows {
        for t in 0..span.len {
            let query = span.past + t;
            hidden.extend(
                (0..keys).map(|key| i32::from(key > query || (key < *pad && key != query))),
            );
        }
    }
    let shape = [rows.len(), 1, span.len, keys];
    Tensor::<B, 4, Int>::from_data(TensorData::new(hidden, shape), device).equal_elem(1)
}
