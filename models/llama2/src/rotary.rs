use crate::LlamaConfig;
use crate::cache::visible_keys;
use bone_lm::{Backend, Sight, Span, Window, rotate};
use burn::tensor::{DType, Tensor, TensorData};
use std::borrow::Cow;

/// The data that the blocks of one forward share: rotary tables of the piece's positions, and the
/// attention mask.
#[derive(Debug, Clone)]
pub struct LlamaContext<B: Backend> {
    /// Cosines, `[batch or 1, 1, len, head_dim / 2]`.
    cos: Tensor<B, 4>,
    /// Sines, in the same shape.
    sin: Tensor<B, 4>,
    /// The keys that each query sees.
    pub(crate) sight: Sight<B>,
}

impl<B: Backend> LlamaContext<B> {
    /// Makes tables for `span`, in the precision of the model's computation.
    pub(crate) fn new(config: &LlamaConfig, span: &Span, device: &B::Device, dtype: DType) -> Self {
        let half = config.head_dim / 2;
        let rows = Begins::of(span);
        let mut angles = Vec::with_capacity(rows.len() * span.len * half);
        for begins in rows.iter() {
            for at in span.past..span.past + span.len {
                // Padding has no position; any value works, because no token sees padding.
                let position = at.saturating_sub(begin(begins, at)) as f64;
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
        let keys = visible_keys::<B>(span.past, span.len, device);
        let mut first = Vec::with_capacity(rows.len() * span.len);
        for begins in rows.iter() {
            // A padding position sees itself, because a softmax over no values is NaN.
            let places = span.past..span.past + span.len;
            first.extend(places.map(|at| begin(begins, at).min(at) as u32));
        }
        let window = Window::from_first(span.past, first);
        Self {
            cos: table(f64::cos),
            sin: table(f64::sin),
            sight: Sight::new(window, [span.len, keys], device),
        }
    }

    /// Rotates the two halves of every head by the position's angles.
    ///
    /// # Shapes
    ///
    /// - x: `[batch, heads, len, head_dim]`; the output has the same shape
    pub(crate) fn rotate(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        rotate(x, &self.cos, &self.sin)
    }
}

/// Start positions of the sequences of each row. If all rows are whole sequences, one entry covers
/// all.
struct Begins<'a>(Vec<Cow<'a, [usize]>>);

impl<'a> Begins<'a> {
    fn of(span: &'a Span) -> Self {
        Self(if !span.starts.is_empty() {
            span.starts.iter().map(|row| row[..].into()).collect()
        } else if !span.left_pad.is_empty() {
            span.left_pad.iter().map(|pad| vec![*pad].into()).collect()
        } else {
            vec![vec![0].into()]
        })
    }

    fn iter(&self) -> impl Iterator<Item = &[usize]> {
        self.0.iter().map(|row| &**row)
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// Returns the start of the sequence of the token at `at`: the last of `begins` up to there. For
/// padding it is the first one after it.
fn begin(begins: &[usize], at: usize) -> usize {
    let started = begins.partition_point(|begin| *begin <= at);
    begins.get(started.saturating_sub(1)).copied().unwrap_or(0)
}
