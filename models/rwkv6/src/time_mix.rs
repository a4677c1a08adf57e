use crate::state::last;
use crate::token_mix::token_mix;
use crate::{Backend, Form, HeadNorm, Rwkv6Context, Rwkv6State, Wkv6, wkv6};
use bone::BoneLinear;
use bone_lm::{Gate, gated, tanh};
use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor};

/// RWKV6's counterpart of attention: token shift, low-rank mixing, the wkv6 recurrence, gate and
/// output.
#[derive(Module, Debug)]
pub struct TimeMix<B: Backend> {
    /// Token shift of the mixing itself, `[1, 1, hidden_size]`.
    pub time_maa_x: Param<Tensor<B, 3>>,
    /// Token shift of the decay, `[1, 1, hidden_size]`.
    pub time_maa_w: Param<Tensor<B, 3>>,
    /// Token shift of the keys, `[1, 1, hidden_size]`.
    pub time_maa_k: Param<Tensor<B, 3>>,
    /// Token shift of the values, `[1, 1, hidden_size]`.
    pub time_maa_v: Param<Tensor<B, 3>>,
    /// Token shift of the receptance, `[1, 1, hidden_size]`.
    pub time_maa_r: Param<Tensor<B, 3>>,
    /// Token shift of the gate, `[1, 1, hidden_size]`.
    pub time_maa_g: Param<Tensor<B, 3>>,
    /// First half of the data-dependent token shift, `[hidden_size, 5 · rank]`.
    pub time_maa_w1: Param<Tensor<B, 2>>,
    /// Second half, `[5, rank, hidden_size]`, in the order w, k, v, r, g.
    pub time_maa_w2: Param<Tensor<B, 3>>,
    /// w before its data-dependent part, `[1, 1, hidden_size]`.
    pub time_decay: Param<Tensor<B, 3>>,
    /// First half of the data-dependent decay, `[hidden_size, rank]`.
    pub time_decay_w1: Param<Tensor<B, 2>>,
    /// Second half, `[rank, hidden_size]`.
    pub time_decay_w2: Param<Tensor<B, 2>>,
    /// u, the bonus of the current token, `[heads, head_size]`.
    pub time_faaaa: Param<Tensor<B, 2>>,
    /// `hidden_size → hidden_size`.
    pub receptance: BoneLinear<B>,
    /// `hidden_size → hidden_size`.
    pub key: BoneLinear<B>,
    /// `hidden_size → hidden_size`.
    pub value: BoneLinear<B>,
    /// `hidden_size → hidden_size`.
    pub gate: BoneLinear<B>,
    /// `hidden_size → hidden_size`.
    pub output: BoneLinear<B>,
    /// Norm of every head.
    pub ln_x: HeadNorm<B>,
    /// Initial state of every sequence, `[heads, head_size (value), head_size (key)]`. It is the
    /// transpose of the running state, like in RWKV's files. `None` means zero.
    pub time_state: Option<Param<Tensor<B, 3>>>,
    #[module(skip)]
    pub(crate) form: Option<Form>,
}

impl<B: Backend> TimeMix<B> {
    /// Applies the time mix to a piece.
    ///
    /// # Shapes
    ///
    /// - hidden: `[batch, len, hidden_size]`; the output has the same shape
    pub fn forward(
        &self,
        hidden: Tensor<B, 3>,
        context: &Rwkv6Context<B>,
        state: &mut Rwkv6State<B>,
    ) -> Tensor<B, 3> {
        let dtype = hidden.dtype();
        let x = context.clear(hidden);
        let before = state.att_shift.replace(last(&x));
        let [xw, xk, xv, xr, xg] = self.mix(x, before);

        let receptance = self.receptance.forward(xr);
        let key = context.clear(self.key.forward(xk));
        let value = self.value.forward(xv);
        let gate = self.gate.forward(xg);
        let low_rank =
            |x: Tensor<B, 3>, w: &Param<Tensor<B, 2>>| x.matmul(w.val().cast(dtype).unsqueeze());
        let low = tanh(low_rank(xw, &self.time_decay_w1));
        let decay = low_rank(low, &self.time_decay_w2);
        let decay = decay + self.time_decay.val().cast(dtype);

        let batch = receptance.dims()[0];
        let (mixed, after) = wkv6(
            Wkv6 {
                receptance,
                key,
                value,
                decay: context.decay(decay),
                bonus: self.time_faaaa.val().cast(dtype),
                state: state.wkv.take().or_else(|| self.initial_state(batch)),
            },
            self.form,
        );
        state.wkv = Some(after);
        let gated = gated(gate, self.ln_x.forward(mixed), Gate::Silu);
        self.output.forward(gated)
    }

    /// Returns the inputs of w, k, v, r and g: each token mixed with its predecessor.
    fn mix(&self, x: Tensor<B, 3>, before: Option<Tensor<B, 2>>) -> [Tensor<B, 3>; 5] {
        let dtype = x.dtype();
        let [batch, len, size] = x.dims();
        let [_, rank, _] = self.time_maa_w2.lazy_shape().dims();
        let [low] = token_mix(x.clone(), before.clone(), [&self.time_maa_x], None);
        let low = low
            .reshape([batch * len, size])
            .matmul(self.time_maa_w1.val().cast(dtype));
        let fifths = tanh(low).reshape([batch * len, 5, rank]).swap_dims(0, 1);
        // [5, tokens, hidden_size]
        let by_data = fifths.matmul(self.time_maa_w2.val().cast(dtype));
        let maas = [
            &self.time_maa_w,
            &self.time_maa_k,
            &self.time_maa_v,
            &self.time_maa_r,
            &self.time_maa_g,
        ];
        token_mix(x, before, maas, Some(by_data))
    }

    /// Returns `time_state` for every row, transposed to the running state.
    fn initial_state(&self, batch: usize) -> Option<Tensor<B, 4>> {
        let state = self.time_state.as_ref()?.val();
        let [heads, size, _] = state.dims();
        let state = match state.dtype() {
            DType::F64 => state,
            _ => state.cast(DType::F32),
        };
        let state = state.swap_dims(1, 2).reshape([1, heads, size, size]);
        Some(state.expand([batch, heads, size, size]))
    }
}
