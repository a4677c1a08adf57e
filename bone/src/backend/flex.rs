//! On the processor.

use super::{Backend, BoneGrads, BoneWants};
use burn::tensor::DType;
use burn::tensor::ops::FloatTensor;
use burn_flex::Flex;

mod bone_input;
#[cfg(test)]
mod tests;

impl Backend for Flex {
    fn bone_input_product(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        block: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        match block.dtype() {
            DType::F32 => bone_input::product::<f32>(input, weight, block),
            DType::F64 => bone_input::product::<f64>(input, weight, block),
            _ => super::bone_input::product::<Self>(input, weight, block),
        }
    }

    fn bone_input_backward(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        block: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        wants: BoneWants,
    ) -> BoneGrads<FloatTensor<Self>> {
        match block.dtype() {
            DType::F32 => bone_input::backward::<f32>(input, weight, block, grad, wants),
            DType::F64 => bone_input::backward::<f64>(input, weight, block, grad, wants),
            _ => super::bone_input::backward::<Self>(input, weight, block, grad, wants),
        }
    }
}
