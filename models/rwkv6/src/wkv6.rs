//! The wkv6 recurrence of RWKV6.
//!
//! For each head with state `S` (key index i, value index j), decay `d = exp(−exp(w))`:
//! `y_t[j] = Σ_i r_t[i]·(u[i]·k_t[i]·v_t[j] + S[i,j])`, then
//! `S[i,j] ← d_t[i]·S[i,j] + k_t[i]·v_t[j]` (Peng et al. 2024, "Eagle and Finch").

use crate::Backend;
use crate::backend::Wkv6Inputs;
use burn::tensor::{DType, Tensor, TensorPrimitive};

mod chunked;
mod recurrence;
#[cfg(all(test, feature = "flex"))]
mod tests;

/// From this w on the decay is zero, in f64 and in f32: `exp(−exp(10)) < 1e-9000`. Every form
/// bounds w by this value or a lower one: `exp(w)` soon overflows, and its gradient would be
/// `0 · ∞`.
pub(crate) const LARGEST_DECAY: f64 = 10.0;

/// The longest piece that runs token by token by default without a kernel. For so short a
/// piece the chunked form needs more operations.
const SHORT: usize = 4;

/// How the recurrence is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Token by token in tensor operations: the reference.
    Recurrence,
    /// Chunk by chunk in tensor operations.
    Chunked,
    /// The backend's own kernel.
    Kernel,
}

impl Form {
    /// Returns whether backend `B` has this form for these inputs on their device.
    pub fn available<B: Backend>(self, inputs: &Wkv6<B>) -> bool {
        match self {
            Form::Recurrence | Form::Chunked => true,
            Form::Kernel => {
                let dtype = inputs.receptance.dtype();
                inputs.has_kernel(dtype) || inputs.has_kernel(compute_dtype(dtype))
            }
        }
    }

    /// Returns the form that [`wkv6`] uses if none is forced.
    pub fn chosen<B: Backend>(inputs: &Wkv6<B>) -> Self {
        let [_, len, _] = inputs.receptance.dims();
        if Form::Kernel.available(inputs) {
            Form::Kernel
        } else if len <= SHORT {
            Form::Recurrence
        } else {
            Form::Chunked
        }
    }
}

/// Inputs of the recurrence.
#[derive(Debug, Clone)]
pub struct Wkv6<B: Backend> {
    /// r, `[batch, len, heads · head_size]`.
    pub receptance: Tensor<B, 3>,
    /// k, same shape as receptance.
    pub key: Tensor<B, 3>,
    /// v, same shape as receptance.
    pub value: Tensor<B, 3>,
    /// w, same shape as receptance; the state decays by `exp(−exp(w))`.
    pub decay: Tensor<B, 3>,
    /// u, `[heads, head_size]`.
    pub bonus: Tensor<B, 2>,
    /// State before the first token, `[batch, heads, head_size (key), head_size (value)]`; `None`
    /// means zero.
    pub state: Option<Tensor<B, 4>>,
}

/// Applies the recurrence; `form` forces a form. Returns the output, in the shape of receptance,
/// and the state after the last token.
///
/// Gradients flow to every input, from the output and from the state. The computation runs in f64
/// if the receptance is f64, otherwise in f32, for all dtypes of the inputs. The state has that
/// dtype; the output has the receptance's.
///
/// # Panics
///
/// If a shape differs from [`Wkv6`]'s, without tokens, or if `form` forces a kernel that the
/// backend lacks; check with [`Form::available`].
pub fn wkv6<B: Backend>(inputs: Wkv6<B>, form: Option<Form>) -> (Tensor<B, 3>, Tensor<B, 4>) {
    inputs.check();
    let _span = tracing::trace_span!("wkv6").entered();
    let dtype = inputs.receptance.dtype();
    let form = form.unwrap_or_else(|| Form::chosen(&inputs));
    // A kernel that reads half precision as f32 avoids a copy of each input.
    let rows = match form == Form::Kernel && inputs.has_kernel(dtype) {
        true => dtype,
        false => compute_dtype(dtype),
    };
    let inputs = inputs.cast(rows, compute_dtype(dtype));
    let (output, state) = match form {
        Form::Recurrence => recurrence::wkv6(inputs),
        Form::Chunked => chunked::wkv6(inputs),
        Form::Kernel => kernel(inputs),
    };
    (output.cast(dtype), state)
}

fn compute_dtype(dtype: DType) -> DType {
    match dtype {
        DType::F64 => DType::F64,
        _ => DType::F32,
    }
}

fn kernel<B: Backend>(inputs: Wkv6<B>) -> (Tensor<B, 3>, Tensor<B, 4>) {
    let dtype = inputs.receptance.dtype();
    let ([_, size], device) = (inputs.bonus.dims(), inputs.receptance.device());
    let Some(kernel) = B::wkv6_kernel(dtype, size, &device) else {
        panic!(
            "wkv6 was forced to a kernel, and {device:?} has none for {dtype:?} and heads of {size}: \
             ask Form::available first, or let the form be chosen"
        );
    };
    let outputs = (kernel.forward)(Wkv6Inputs {
        receptance: inputs.receptance.into_primitive().tensor(),
        key: inputs.key.into_primitive().tensor(),
        value: inputs.value.into_primitive().tensor(),
        decay: inputs.decay.into_primitive().tensor(),
        bonus: inputs.bonus.into_primitive().tensor(),
        state: inputs.state.map(|state| state.into_primitive().tensor()),
    });
    (
        Tensor::from_primitive(TensorPrimitive::Float(outputs.output)),
        Tensor::from_primitive(TensorPrimitive::Float(outputs.state)),
    )
}

impl<B: Backend> Wkv6<B> {
    fn check(&self) {
        let rows = self.receptance.dims();
        let [batch, len, width] = rows;
        let [heads, size] = self.bonus.dims();
        assert!(len > 0, "wkv6 needs at least one token");
        assert_eq!(
            width,
            heads * size,
            "wkv6: the widths of receptance and bonus differ"
        );
        for (name, tensor) in [
            ("key", &self.key),
            ("value", &self.value),
            ("decay", &self.decay),
        ] {
            assert_eq!(
                tensor.dims(),
                rows,
                "wkv6: the shapes of {name} and receptance differ"
            );
        }
        if let Some(state) = &self.state {
            assert_eq!(
                state.dims(),
                [batch, heads, size, size],
                "wkv6: shape of the state"
            );
        }
    }

    /// Returns whether the backend has a kernel for these inputs with rows of `dtype`.
    fn has_kernel(&self, dtype: DType) -> bool {
        let [_, head_size] = self.bonus.dims();
        B::wkv6_kernel(dtype, head_size, &self.receptance.device()).is_some()
    }

    /// Casts the rows to one dtype, bonus and state to another.
    fn cast(self, rows: DType, others: DType) -> Self {
        Self {
            receptance: self.receptance.cast(rows),
            key: self.key.cast(rows),
            value: self.value.cast(rows),
            decay: self.decay.cast(rows),
            bonus: self.bonus.cast(others),
            state: self.state.map(|state| state.cast(others)),
        }
    }

    /// Returns the state before the first token.
    fn first_state(&self) -> Tensor<B, 4> {
        self.state.clone().unwrap_or_else(|| {
            let [batch, _, _] = self.receptance.dims();
            let [heads, size] = self.bonus.dims();
            let options = (&self.receptance.device(), self.receptance.dtype());
            Tensor::zeros([batch, heads, size, size], options)
        })
    }
}

/// Returns the slices of length one along a dimension.
///
/// A slice's backward makes a gradient of its whole source. So the tensor is cut in two steps; with
/// one step the backward's cost would grow with the square of the length.
fn unbind<B: Backend, const D: usize>(tensor: Tensor<B, D>, dim: usize) -> Vec<Tensor<B, D>> {
    const STEP: usize = 16;
    let len = tensor.dims()[dim];
    let mut slices = Vec::with_capacity(len);
    for first in (0..len).step_by(STEP) {
        let step = STEP.min(len - first);
        let piece = tensor.clone().narrow(dim, first, step);
        slices.extend((0..step).map(|n| piece.clone().narrow(dim, n, 1)));
    }
    slices
}
