use crate::LlamaConfig;
use crate::cache::visible_keys;
use bone::graph::cat;
use bone_lm::{Backend, Span};
use burn::tensor::{Bool, DType, Int, Tensor, TensorData};
use std::borrow::Cow;

/// What the blocks of one forward share: rotary tables of the piece's positions, and what may
/// not be seen.
#[derive(Debug, Clone)]
pub struct LlamaContext<B: Backend> {
    /// Cosines, `[batch or 1, 1, len, head_dim / 2]`.
    cos: Tensor<B, 4>,
    /// Sines, likewise.
    sin: Tensor<B, 4>,
    /// `[batch or 1, 1, len, visible keys]`, true where a key is hidden; `None` where causality of
    /// whole sequences, or of a single token that sees everything, is all.
    pub(crate) mask: Option<Tensor<B, 4, Bool>>,
}

impl<B: Backend> LlamaContext<B> {
    /// Tables for `span`, in the precision the model computes in.
    pub(crate) fn new(config: &LlamaConfig, span: &Span, device: &B::Device, dtype: DType) -> Self {
        let half = config.head_dim / 2;
        let rows = Begins::of(span);
        let mut angles = Vec::with_capacity(rows.len() * span.len * half);
        for begins in rows.iter() {
            for at in span.past..span.past + span.len {
                // Padding has no position; any will do, since nobody looks at it.
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
        let room = keys > span.past + span.len;
        // With tokens before a piece, flex lines causality up with the last key, cubek's flash
        // kernels with the first; a mask leaves no choice.
        let continued = span.past > 0 && span.len > 1;
        let masked = rows.differ() || continued || room;
        Self {
            cos: table(f64::cos),
            sin: table(f64::sin),
            mask: masked.then(|| mask(span, &rows, keys, device)),
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

/// Where the sequences of each row begin; one entry for all rows that are whole sequences.
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

    /// Whether any token may not see all that is before it.
    fn differ(&self) -> bool {
        self.iter().any(|begins| begins != [0])
    }
}

/// Where the sequence of the token at `at` begins: the last of `begins` up to there, or the first
/// after it for padding.
fn begin(begins: &[usize], at: usize) -> usize {
    let started = begins.partition_point(|begin| *begin <= at);
    begins.get(started.saturating_sub(1)).copied().unwrap_or(0)
}

/// Hides the future, with it the room after the last token, the padding, and other sequences of the
/// row. A padding position sees itself, because a softmax over nothing is no number.
fn mask<B: Backend>(
    span: &Span,
    rows: &Begins<'_>,
    keys: usize,
    device: &B::Device,
) -> Tensor<B, 4, Bool> {
    let mut hidden = Vec::with_capacity(rows.len() * span.len * keys);
    for begins in rows.iter() {
        for query in span.past..span.past + span.len {
            let begin = begin(begins, query);
            hidden.extend(
                (0..keys).map(|key| i32::from(key > query || (key < begin && key != query))),
            );
        }
    }
    let shape = [rows.len(), 1, span.len, keys];
    Tensor::<B, 4, Int>::from_data(TensorData::new(hidden, shape), device).equal_elem(1)
}
