use super::{Backend, BoneGrads, BoneWants};
use burn::backend::autodiff::{
    Autodiff,
    checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};
use burn::tensor::ops::FloatTensor;

type Product<T> = fn(T, T, T) -> T;
type ProductBackward<T> = fn(T, T, T, T, BoneWants) -> BoneGrads<T>;

/// Input, weight and adapter: all three exist anyway, none is made for the backward.
#[derive(Debug, Clone)]
struct Saved<T> {
    input: T,
    weight: T,
    block: T,
    backward: ProductBackward<T>,
}

#[derive(Debug)]
struct BoneProduct;

impl<B: Backend> Backward<B, 3> for BoneProduct {
    type State = Saved<FloatTensor<B>>;

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let [input, weight, block] = ops.parents;
        let grad = grads.consume::<B>(&ops.node);
        let saved = ops.state;
        let wants = BoneWants {
            input: input.is_some(),
            weight: weight.is_some(),
            block: block.is_some(),
        };
        let result = (saved.backward)(saved.input, saved.weight, saved.block, grad, wants);
        for (node, grad) in [
            (input, result.input),
            (weight, result.weight),
            (block, result.block),
        ] {
            if let (Some(node), Some(grad)) = (node, grad) {
                grads.register::<B>(node.id, grad);
            }
        }
    }
}

fn product<B: Backend, C: CheckpointStrategy>(
    product: Product<FloatTensor<B>>,
    backward: ProductBackward<FloatTensor<B>>,
    [input, weight, block]: [FloatTensor<Autodiff<B, C>>; 3],
) -> FloatTensor<Autodiff<B, C>> {
    let nodes = [input.node, weight.node, block.node];
    let (input, weight, block) = (input.primitive, weight.primitive, block.primitive);
    let output = product(input.clone(), weight.clone(), block.clone());
    let prepared = Backward::<B, 3>::prepare::<C>(BoneProduct, nodes);
    match prepared.compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(
            Saved {
                input,
                weight,
                block,
                backward,
            },
            output,
        ),
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}

impl<B: Backend, C: CheckpointStrategy> Backend for Autodiff<B, C> {
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
}
