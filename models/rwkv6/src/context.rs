use crate::Backend;
use crate::wkv6::LARGEST_DECAY;
use bone_lm::Span;
use burn::tensor::{Bool, Tensor, TensorData};

/// Under this w the decay `exp(−exp(w))` is 1 in any float.
const NO_DECAY: f64 = -1e4;

/// What all blocks of one forward share: which tokens belong to no sequence. With nothing of
/// theirs added to the state, and zeros as what the next token has before it, a padding leaves a
/// sequence's start as it is, and a gap between packed sequences makes one.
#[derive(Debug, Clone)]
pub struct Rwkv6Context<B: Backend> {
    /// Padding on the left, where the state stays.
    padding: Option<Mask<B>>,
    /// Gaps between packed sequences, where it goes.
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

    /// `x` `[batch, len, size]` with zeros at tokens of no sequence.
    pub(crate) fn clear(&self, x: Tensor<B, 3>) -> Tensor<B, 3> {
        let x = fill(x, self.padding.as_ref(), 0.0);
        fill(x, self.gaps.as_ref(), 0.0)
    }

    /// w, `[batch, len, size]`, with what keeps the state at padding and what ends it at gaps.
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
