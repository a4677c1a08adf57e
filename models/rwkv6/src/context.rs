use crate::Backend;
use crate::wkv6::LARGEST_DECAY;
use bone_lm::Span;
use burn::tensor::{Bool, Tensor, TensorData};

/// At this w the decay `exp(−exp(w))` is 1 in any float type.
const NO_DECAY: f64 = -1e4;

/// The data that all blocks of one forward share: which tokens belong to no sequence. Such tokens
/// add nothing to the state, and the next token sees zeros before it. So padding keeps a sequence's
/// start state, and a gap between packed sequences creates one.
#[derive(Debug, Clone)]
pub struct Rwkv6Context<B: Backend> {
    /// Padding on the left, where the state is kept.
    padding: Option<Mask<B>>,
    /// Gaps between packed sequences, where the state is cleared.
    gaps: Option<Mask<B>>,
}

/// `[batch, len, 1]`.
type Mask<B> = Tensor<B, 3, Bool>;

impl<B: Backend> Rwkv6Context<B> {
    pub(crate) fn new(span: &Span, device: &B::Device) -> Self {
        let places = span.past..span.past + span.len;
        let padded = span.left_pad.iter().any(|pad| *pad > span.past);
        let is_padding = |row: usize, at| at < span.left_pad[row];
        let is_gap = |row: usize, at: usize| span.starts[row].binary_search(&(at + 1)).is_ok();
        let packed = (0..span.starts.len()).any(|row| places.clone().any(|at| is_gap(row, at)));
        Self {
            padding: padded.then(|| mask(span, is_padding, device)),
            gaps: packed.then(|| mask(span, is_gap, device)),
        }
    }

    /// Returns `x` `[batch, len, size]` with zeros at tokens of no sequence.
    pub(crate) fn clear(&self, x: Tensor<B, 3>) -> Tensor<B, 3> {
        let x = fill(x, self.padding.as_ref(), 0.0);
        fill(x, self.gaps.as_ref(), 0.0)
    }

    /// Returns w, `[batch, len, size]`, with values that keep the state at padding and clear it at
    /// gaps.
    pub(crate) fn decay(&self, w: Tensor<B, 3>) -> Tensor<B, 3> {
        let w = fill(w, self.padding.as_ref(), NO_DECAY);
        fill(w, self.gaps.as_ref(), LARGEST_DECAY)
    }
}

fn mask<B: Backend>(
    span: &Span,
    holds: impl Fn(usize, usize) -> bool,
    device: &B::Device,
) -> Mask<B> {
    let places = span.past..span.past + span.len;
    let values: Vec<bool> = (0..span.batch)
        .flat_map(|row| places.clone().map(move |at| (row, at)))
        .map(|(row, at)| holds(row, at))
        .collect();
    Tensor::from_data(TensorData::new(values, [span.batch, span.len, 1]), device)
}

fn fill<B: Backend>(x: Tensor<B, 3>, mask: Option<&Mask<B>>, value: f64) -> Tensor<B, 3> {
    match mask {
        None => x,
        Some(mask) => {
            let mask = mask.clone().expand(x.dims());
            x.mask_fill(mask, value)
        }
    }
}
