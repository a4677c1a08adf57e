use super::{Backend, BoneGrads, BoneWants, DeviceMemory, LoraTerm, LoraWants};
use crate::graph::record;
use crate::kernels::Kernel;
use burn::backend::autodiff::{Autodiff, checkpoint::strategy::CheckpointStrategy};
use burn::tensor::DType;
use burn::tensor::ops::FloatTensor;

type Product<T> = fn(T, T, T) -> T;
type ProductBackward<T> = fn(T, T, T, T, BoneWants) -> BoneGrads<T>;

/// Input, weight and adapter. All three exist anyway, so saving them costs no memory.
#[derive(Debug, Clone)]
struct Saved<T> {
    inputs: [T; 3],
    backward: ProductBackward<T>,
}

fn backward<T>(saved: Saved<T>, grads: [Option<T>; 1], wants: [bool; 3]) -> [Option<T>; 3] {
    let [x, w, b] = saved.inputs;
    let [Some(grad)] = grads else {
        return [const { None }; 3];
    };
    let _span = tracing::trace_span!("adapter").entered();
    let grads = (saved.backward)(x, w, b, grad, wants.into());
    [grads.input, grads.weight, grads.block]
}

fn product<B: Backend, C: CheckpointStrategy>(
    product: Product<FloatTensor<B>>,
    product_backward: ProductBackward<FloatTensor<B>>,
    inputs: [FloatTensor<Autodiff<B, C>>; 3],
) -> FloatTensor<Autodiff<B, C>> {
    let [x, w, b] = inputs.each_ref().map(|input| input.primitive.clone());
    let output = product(x.clone(), w.clone(), b.clone());
    let saved = Saved {
        inputs: [x, w, b],
        backward: product_backward,
    };
    let inputs = inputs.each_ref().map(Some);
    let [output] = record::<B, C, _, 3, 1>(inputs, [output], saved, backward);
    output
}

fn base_backward<B: Backend>(
    [input, weight]: [FloatTensor<B>; 2],
    grads: [Option<FloatTensor<B>>; 1],
    wants: [bool; 2],
) -> [Option<FloatTensor<B>>; 2] {
    match grads {
        [Some(grad)] => B::product_backward(input, weight, grad, wants),
        [None] => [None, None],
    }
}

type MissSaved<T> = ([T; 3], Option<T>);

fn miss_backward<B: Backend>(
    ([x, w, b], mask): MissSaved<FloatTensor<B>>,
    grads: [Option<FloatTensor<B>>; 1],
    wants: [bool; 3],
) -> [Option<FloatTensor<B>>; 3] {
    let [Some(grad)] = grads else {
        return [const { None }; 3];
    };
    let _span = tracing::trace_span!("adapter").entered();
    let grads = B::miss_backward(x, w, b, mask, grad, wants.into());
    [grads.input, grads.weight, grads.block]
}

type LoraSaved<T> = ([T; 2], LoraTerm<T>);

fn lora_backward<B: Backend>(
    ([x, w], term): LoraSaved<FloatTensor<B>>,
    grads: [Option<FloatTensor<B>>; 1],
    [input, weight, of_a, of_b]: [bool; 4],
) -> [Option<FloatTensor<B>>; 4] {
    let [Some(grad)] = grads else {
        return [const { None }; 4];
    };
    let _span = tracing::trace_span!("adapter").entered();
    let wants = LoraWants {
        input,
        weight,
        a: of_a,
        b: of_b,
    };
    B::lora_backward(x, w, term, grad, wants)
}

impl<B: Backend, C: CheckpointStrategy> Backend for Autodiff<B, C> {
    fn multiplies_in(dtype: DType, device: &Self::Device) -> bool {
        B::multiplies_in(dtype, device)
    }

    fn device_memory(device: &Self::Device) -> Option<DeviceMemory> {
        B::device_memory(device)
    }

    fn has_kernel(kernel: Kernel, dtype: DType, device: &Self::Device) -> bool {
        B::has_kernel(kernel, dtype, device)
    }

    fn product(input: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        let saved = [input.primitive.clone(), weight.primitive.clone()];
        let [x, w] = saved.clone();
        let output = B::product(x, w);
        let inputs = [Some(&input), Some(&weight)];
        let [output] = record::<B, C, _, 2, 1>(inputs, [output], saved, base_backward::<B>);
        output
    }

    fn bone_output_product(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        block: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        product::<B, C>(
            B::bone_output_product,
            B::bone_output_backward,
            [input, weight, block],
        )
    }

    fn bone_input_product(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        block: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        product::<B, C>(
            B::bone_input_product,
            B::bone_input_backward,
            [input, weight, block],
        )
    }

    fn miss_product(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        block: FloatTensor<Self>,
        mask: Option<FloatTensor<Self>>,
    ) -> FloatTensor<Self> {
        let inputs = [input, weight, block];
        let saved = inputs.each_ref().map(|input| input.primitive.clone());
        let mask = mask.map(|mask| mask.primitive);
        let [x, w, b] = saved.clone();
        let output = B::miss_product(x, w, b, mask.clone());
        let inputs = inputs.each_ref().map(Some);
        let saved = (saved, mask);
        let [output] = record::<B, C, _, 3, 1>(inputs, [output], saved, miss_backward::<B>);
        output
    }

    fn lora_product(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        term: LoraTerm<FloatTensor<Self>>,
    ) -> FloatTensor<Self> {
        let [a, b] = term.factors;
        let inputs = [input, weight, a, b];
        let [x, w, a, b] = inputs.each_ref().map(|input| input.primitive.clone());
        let term = LoraTerm {
            factors: [a, b],
            scale: term.scale,
            trained: term.trained,
            mask: term.mask.map(|mask| mask.primitive),
        };
        let output = B::lora_product(x.clone(), w.clone(), term.clone());
        let inputs = inputs.each_ref().map(Some);
        let saved = ([x, w], term);
        let [output] = record::<B, C, _, 4, 1>(inputs, [output], saved, lora_backward::<B>);
        output
    }
}
