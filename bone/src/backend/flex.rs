//! On the processor.

use super::{Backend, BoneGrads, BoneWants};
use burn::tensor::ops::FloatTensor;
use burn::tensor::{DType, Tensor};
use burn_flex::{Flex, FlexTensor};

mod bone_input;
mod product;
#[cfg(test)]
mod tests;

fn cast(tensor: FlexTensor, dtype: DType) -> FlexTensor {
    let tensor: Tensor<Flex, 2> = super::tensor(tensor);
    super::primitive(tensor.cast(dtype))
}

/// A weight in the precision of `other`.
fn weight_like(weight: FlexTensor, other: &FlexTensor) -> FlexTensor {
    match weight.dtype() == other.dtype() {
        true => weight,
        false => cast(weight, other.dtype()),
    }
}

impl Backend for Flex {
    fn product(input: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        match input.dtype() {
            DType::F32 => product::forward::<f32>(input, weight),
            DType::F64 => product::forward::<f64>(input, weight),
            _ => super::product::forward::<Self>(input, weight),
        }
    }

    fn product_backward(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        wants: [bool; 2],
    ) -> [Option<FloatTensor<Self>>; 2] {
        match input.dtype() {
            DType::F32 => product::backward::<f32>(input, weight, grad, wants),
            DType::F64 => product::backward::<f64>(input, weight, grad, wants),
            _ => super::product::backward::<Self>(input, weight, grad, wants),
        }
    }

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
