use super::{Backend, BoneOutputWants};
use burn::backend::autodiff::{
    Autodiff,
    checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
    grads::Gradients,
    ops::{Backward, Ops, OpsKind},
};
use burn::tensor::ops::FloatTensor;

/// Input, weight and adapter: all three exist anyway, none is made for the backward.
#[derive(Debug, Clone)]
struct Saved<T> {
    input: T,
    weight: T,
    block: T,
}

#[derive(Debug)]
struct BoneOutput;

impl<B: Backend> Backward<B, 3> for BoneOutput {
    type State = Saved<FloatTensor<B>>;

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let [input, weight, block] = ops.parents;
        let grad = grads.consume::<B>(&ops.node);
        let Saved {
            input: x,
            weight: w,
            block: b,
        } = ops.state;
        let wants = BoneOutputWants {
            input: input.is_some(),
            weight: weight.is_some(),
            block: block.is_some(),
        };
        let result = B::bone_output_backward(x, w, b, grad, wants);
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

impl<B: Backend, C: CheckpointStrategy> Backend for Autodiff<B, C> {
    fn bone_output_product(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        block: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let nodes = [input.node.clone(), weight.node.clone(), block.node.clone()];
        let output = B::bone_output_product(
            input.primitive.clone(),
            weight.primitive.clone(),
            block.primitive.clone(),
        );
        match BoneOutput.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(
                Saved {
                    input: input.primitive,
                    weight: weight.primitive,
                    block: block.primitive,
                },
                output,
            ),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }
}
