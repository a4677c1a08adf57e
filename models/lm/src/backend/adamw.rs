//! A step of AdamW, and the sum of squares for gradient clipping, in ordinary operations.

use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{DType, FloatDType, TensorMetadata};

/// Exponential means of a parameter's gradient and of its square, in the parameter's shape.
#[derive(Debug, Clone)]
pub struct Moments<T> {
    /// Of the gradient.
    pub first: T,
    /// Of its square.
    pub second: T,
}

/// One step of AdamW: *Decoupled Weight Decay Regularization* (Loshchilov and Hutter, 2019), in
/// PyTorch's order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWStep {
    /// Learning rate.
    pub learning_rate: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Step number of the parameter, from 1.
    pub time: u32,
    /// Factor of the gradient, applied first: clipping, and the inverse of a loss scale.
    pub grad_factor: f64,
}

impl AdamWStep {
    /// Returns the factor of the parameter from weight decay.
    pub(super) fn decay(&self) -> f64 {
        1.0 - self.learning_rate * self.weight_decay
    }

    /// Returns `η / (1 − β₁ᵗ)` and `1 / √(1 − β₂ᵗ)`. A step is the first factor times the first
    /// moment, divided by the second factor times the root of the second moment, plus ε.
    pub(super) fn corrections(&self) -> [f64; 2] {
        let left = |beta: f64| 1.0 - beta.powf(self.time.into());
        [
            self.learning_rate / left(self.beta1),
            left(self.beta2).sqrt().recip(),
        ]
    }
}

/// Computes the reference result of [`adamw`](crate::Backend::adamw).
pub fn adamw<B: Backend>(
    param: FloatTensor<B>,
    grad: FloatTensor<B>,
    moments: Option<Moments<FloatTensor<B>>>,
    step: &AdamWStep,
) -> (FloatTensor<B>, Moments<FloatTensor<B>>) {
    let times = |tensor: FloatTensor<B>, factor: f64| match factor {
        1.0 => tensor,
        factor => B::float_mul_scalar(tensor, factor.into()),
    };
    let grad = times(grad, step.grad_factor);
    let square = B::float_mul(grad.clone(), grad.clone());
    let first = times(grad, 1.0 - step.beta1);
    let second = times(square, 1.0 - step.beta2);
    let Moments { first, second } = match moments {
        None => Moments { first, second },
        Some(old) => Moments {
            first: B::float_add(times(old.first, step.beta1), first),
            second: B::float_add(times(old.second, step.beta2), second),
        },
    };
    let [rate, root] = step.corrections();
    let divisor = times(B::float_sqrt(second.clone()), root);
    let divisor = B::float_add_scalar(divisor, step.epsilon.into());
    let change = B::float_div(times(first.clone(), rate), divisor);
    let param = B::float_sub(times(param, step.decay()), change);
    (param, Moments { first, second })
}

/// Computes the reference result of [`squared_sum`](crate::Backend::squared_sum).
pub fn squared_sum<B: Backend>(tensor: FloatTensor<B>) -> FloatTensor<B> {
    // Half precision would overflow.
    let tensor = match tensor.dtype() {
        DType::F64 | DType::F32 => tensor,
        _ => B::float_cast(tensor, FloatDType::F32),
    };
    B::float_sum(B::float_mul(tensor.clone(), tensor))
}
