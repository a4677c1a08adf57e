//! A test model: its blocks carry tensors of different ranks and have a trainable initial state.

use super::*;
use bone::graph::cat;
use bone_lm::{BlockState, Part, Span};

/// The last token's hidden state and a decaying sum over all tokens.
#[derive(Module, Debug)]
pub(super) struct RecurrentState<B: Backend> {
    /// `[batch, size]`.
    shift: Option<Tensor<B, 2>>,
    /// `[batch, 1, size]`.
    memory: Option<Tensor<B, 3>>,
}

impl<B: Backend> Default for RecurrentState<B> {
    fn default() -> Self {
        Self {
            shift: None,
            memory: None,
        }
    }
}

impl<B: Backend> BlockState<B> for RecurrentState<B> {
    fn select_rows(&mut self, rows: &Tensor<B, 1, Int>) {
        self.shift = self.shift.take().map(|x| x.select(0, rows.clone()));
        self.memory = self.memory.take().map(|x| x.select(0, rows.clone()));
    }

    fn append_rows(&mut self, other: Self) {
        bone_lm::append_rows(&mut self.shift, other.shift);
        bone_lm::append_rows(&mut self.memory, other.memory);
    }
}

#[derive(Module, Debug)]
pub(super) struct RecurrentBlock<B: Backend> {
    /// `[size, size]`.
    mix: Param<Tensor<B, 2>>,
    /// The memory at the start of a sequence, `[1, size]`; `None` means zero.
    initial: Option<Param<Tensor<B, 2>>>,
}

impl<B: Backend> Block<B> for RecurrentBlock<B> {
    type Context = ();
    type State = RecurrentState<B>;

    fn forward(
        &self,
        hidden: Tensor<B, 3>,
        (): &(),
        state: Option<&mut RecurrentState<B>>,
    ) -> Tensor<B, 3> {
        let mut own = RecurrentState::default();
        let state = state.unwrap_or(&mut own);
        let [batch, len, size] = hidden.dims();
        let zeros = hidden.clone().narrow(1, 0, 1).zeros_like();
        let before = match state.shift.take() {
            Some(shift) => shift.reshape([batch, 1, size]),
            None => zeros.clone(),
        };
        let mut memory = match (state.memory.take(), &self.initial) {
            (Some(memory), _) => memory,
            (None, Some(initial)) => zeros + initial.val().reshape([1, 1, size]),
            (None, None) => zeros,
        };
        let moved = cat(vec![before, hidden.clone()], 1).narrow(1, 0, len);
        let seen = hidden.clone() + moved.mul_scalar(0.5);
        let mixed = burn::tensor::module::linear(seen, self.mix.val(), None);
        let mut outputs = Vec::new();
        for t in 0..len {
            memory = memory.mul_scalar(0.7) + mixed.clone().narrow(1, t, 1);
            outputs.push(memory.clone().tanh());
        }
        let last = hidden.clone().narrow(1, len - 1, 1);
        state.shift = Some(last.reshape([batch, size]));
        state.memory = Some(memory);
        hidden + cat(outputs, 1)
    }
}

#[derive(Module, Debug)]
pub(super) struct Recurrent<B: Backend> {
    /// `[vocab, size]`; also used as the head.
    embedding: Param<Tensor<B, 2>>,
    blocks: Vec<RecurrentBlock<B>>,
}

impl<B: Backend> CausalLm<B> for Recurrent<B> {
    type Block = RecurrentBlock<B>;

    fn embed(&self, tokens: Tensor<B, 2, Int>) -> Tensor<B, 3> {
        burn::tensor::module::embedding(self.embedding.val(), tokens)
    }

    fn blocks(&self) -> &[RecurrentBlock<B>] {
        &self.blocks
    }

    fn context(&self, _: &Span) {}

    fn head(&self, hidden: Tensor<B, 3>) -> Tensor<B, 3> {
        burn::tensor::module::linear(hidden, self.embedding.val().transpose(), None)
    }

    fn vocab_size(&self) -> usize {
        self.embedding.dims()[0]
    }

    fn part_of(&self, _: &str) -> Option<Part> {
        None
    }

    fn with_initial_state(mut self) -> Option<Self> {
        for block in &mut self.blocks {
            let zero = block.mix.val().narrow(0, 0, 1).zeros_like();
            block.initial = Some(Param::from_tensor(zero));
        }
        Some(self)
    }
}

impl<B: TrainBackend> TrainModel<B> for Recurrent<B> {
    type Inner = Recurrent<B::InnerBackend>;
}

/// Returns a model in which everything trains, or only the initial state.
pub(super) fn recurrent(only_initial: bool, dtype: DType) -> Recurrent<B> {
    const SIZE: usize = 6;
    let device = Default::default();
    let wave = |rows: usize, frequency: f64, height: f64| {
        let values: Vec<f64> = (0..rows * SIZE)
            .map(|i| height * (i as f64 * frequency).sin())
            .collect();
        let data = burn::tensor::TensorData::new(values, [rows, SIZE]);
        Param::from_tensor(Tensor::<B, 2>::from_data(data, (&device, dtype)))
    };
    let block = |frequency| RecurrentBlock {
        mix: wave(SIZE, frequency, 0.4),
        initial: None,
    };
    let model = Recurrent {
        embedding: wave(20, 0.71, 1.0),
        blocks: vec![block(0.37), block(0.53)],
    };
    let model = model.with_initial_state().expect("it has one");
    let model = bone::unfreeze_all(model.map(&mut Shift).map(&mut Cast(dtype)));
    if !only_initial {
        return model;
    }
    let mut model = bone::freeze_base(model);
    for block in &mut model.blocks {
        let initial = block.initial.take();
        block.initial = initial.map(|initial| initial.set_require_grad(true));
    }
    model
}
