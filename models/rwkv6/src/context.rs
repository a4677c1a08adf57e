use crate::Backend;
use bone_lm::Span;
use burn::tensor::{Bool, Tensor, TensorData};

/// What all blocks of one forward share: which positions are padding.
#[derive(Debug, Clone)]
pub struct Rwkv6Context<B: Backend> {
    /// True at padding, `[batch, len, 1]`; `None` where nothing is padded.
    padding: Option<Tensor<B, 3, Bool>>,
}

impl<B: Backend> Rwkv6Context<B> {
    pub(crate) fn new(span: &Span, device: &B::Device) -> Self {
        let padded = span.left_pad.iter().any(|pad| *pad > span.past);
        let padding = padded.then(|| {
            let positions = span.past..span.past + span.len;
            let values: Vec<bool> = span
                .left_pad
                .iter()
                .flat_map(|pad| positions.clone().map(move |at| at < *pad))
                .collect();
            Tensor::from_data(TensorData::new(values, [span.batch, span.len, 1]), device)
        });
        Self { padding }
    }

    /// `x` `[batch, len, size]` with `value` at padding.
    pub(crate) fn fill(&self, x: Tensor<B, 3>, value: f64) -> Tensor<B, 3> {
        match &self.padding {
            None => x,
            Some(padding) => {
                let padding = padding.clone().expand(x.dims());
                x.mask_fill(padding, value)
            }
        }
    }
}
