use bone::graph::cat;
use bone_lm::{Backend, BlockState, append_rows};
use burn::module::Module;
use burn::tensor::{Int, Tensor};

/// Number of tokens per allocation.
const STEP: usize = 64;

/// Keys and values of the tokens so far.
///
/// The cache allocates room for many tokens at once and writes a generated token into it. So it is
/// copied every 64 tokens, not for every token.
#[derive(Module, Debug)]
pub struct KeyValueCache<B: Backend> {
    /// `[batch, kv_heads, tokens and room for more, head_dim]`.
    keys: Option<Tensor<B, 4>>,
    /// Likewise.
    values: Option<Tensor<B, 4>>,
    tokens: usize,
}

impl<B: Backend> Default for KeyValueCache<B> {
    fn default() -> Self {
        Self {
            keys: None,
            values: None,
            tokens: 0,
        }
    }
}

/// Returns how many keys a piece of `len` tokens after `past` others sees: the keys of all tokens,
/// or all keys that the cache then has room for. The unused ones must be masked.
pub(crate) fn visible_keys<B: Backend>(past: usize, len: usize, device: &B::Device) -> usize {
    let tokens = past + len;
    // On an autodiff graph, nothing overwrites a tensor that others may hold.
    if past > 0 && len == 1 && !B::ad_enabled(device) {
        tokens.next_multiple_of(STEP)
    } else {
        tokens
    }
}

impl<B: Backend> KeyValueCache<B> {
    /// Adds a piece's keys and values and returns all, as many as [`visible_keys`] says.
    ///
    /// # Shapes
    ///
    /// - key, value: `[batch, kv_heads, len, head_dim]`
    /// - output: `[batch, kv_heads, visible keys, head_dim]`
    pub(crate) fn extend(
        &mut self,
        key: Tensor<B, 4>,
        value: Tensor<B, 4>,
    ) -> (Tensor<B, 4>, Tensor<B, 4>) {
        let (past, len) = (self.tokens, key.dims()[2]);
        let visible = visible_keys::<B>(past, len, &key.device());
        self.tokens = past + len;
        let add = |seen: &mut Option<Tensor<B, 4>>, new: Tensor<B, 4>| {
            let all = match seen.take() {
                None => new,
                Some(old) if visible == past + len => cat(vec![old.narrow(2, 0, past), new], 2),
                Some(old) => write(with_room(old, past, visible), past, new),
            };
            *seen = Some(all.clone());
            all
        };
        (add(&mut self.keys, key), add(&mut self.values, value))
    }

    /// Replaces keys and values by the result of `change`, which does not see the unused room.
    fn change(&mut self, change: impl Fn(Tensor<B, 4>) -> Tensor<B, 4>) {
        for tensor in [&mut self.keys, &mut self.values] {
            *tensor = tensor
                .take()
                .map(|tensor| change(tensor.narrow(2, 0, self.tokens)));
        }
    }
}

/// Returns the first `tokens` of `old`, with room for `room` tokens in total.
fn with_room<B: Backend>(old: Tensor<B, 4>, tokens: usize, room: usize) -> Tensor<B, 4> {
    if old.dims()[2] == room {
        return old;
    }
    let more = zeros(&old, room - tokens);
    cat(vec![old.narrow(2, 0, tokens), more], 2)
}

/// Returns zeros for `tokens`, to append to `like`. Masked values have weight zero, but zero times
/// NaN is NaN; so the unused room must hold numbers.
fn zeros<B: Backend>(like: &Tensor<B, 4>, tokens: usize) -> Tensor<B, 4> {
    let [batch, heads, _, width] = like.dims();
    let shape = [batch, heads, tokens, width];
    Tensor::zeros(shape, (&like.device(), like.dtype()))
}

/// Writes a token into the room at `at`, in place if `buffer` is not shared.
fn write<B: Backend>(buffer: Tensor<B, 4>, at: usize, token: Tensor<B, 4>) -> Tensor<B, 4> {
    bone_lm::write_positions(buffer, at, token)
}

impl<B: Backend> BlockState<B> for KeyValueCache<B> {
    fn select_rows(&mut self, rows: &Tensor<B, 1, Int>) {
        for tensor in [&mut self.keys, &mut self.values] {
            *tensor = tensor.take().map(|tensor| tensor.select(0, rows.clone()));
        }
    }

    fn append_rows(&mut self, mut other: Self) {
        self.change(|tensor| tensor);
        other.change(|tensor| tensor);
        append_rows(&mut self.keys, other.keys);
        append_rows(&mut self.values, other.values);
        self.tokens = self.tokens.max(other.tokens);
    }

    fn pad_left(&mut self, count: usize) {
        if self.keys.is_some() && count > 0 {
            self.change(|tensor| cat(vec![zeros(&tensor, count), tensor], 2));
            self.tokens += count;
        }
    }

    fn trim_left(&mut self, count: usize) {
        if self.keys.is_some() && count > 0 {
            let left = self.tokens - count;
            self.change(|tensor| tensor.narrow(2, count, left));
            self.tokens = left;
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests;
