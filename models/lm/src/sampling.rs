//! Chooses the next token from a model's logits.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha12Rng;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Settings for choosing the next token. The steps follow transformers' `generate`, in its order:
/// repetition penalty, temperature, top-k, top-p.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SamplingConfig {
    /// Divisor of the logits; 0 chooses the most likely token.
    pub temperature: f32,
    /// Keeps only the `k` most likely tokens, and tokens as likely as the last of them.
    pub top_k: Option<usize>,
    /// Keeps only the most likely tokens that together reach this probability.
    pub top_p: Option<f32>,
    /// Divides positive logits of the history's tokens, and multiplies negative ones, by this
    /// number (Keskar et al. 2019, CTRL, section 4.1); 1 changes nothing.
    pub repetition_penalty: f32,
    /// Seed of the random numbers: the same seed gives the same text.
    pub seed: u64,
}

impl Default for SamplingConfig {
    /// Returns greedy sampling, without a penalty.
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: None,
            top_p: None,
            repetition_penalty: 1.0,
            seed: 0,
        }
    }
}

impl SamplingConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Lists all fields that are out of range.
    pub fn validate(&self) -> Result<(), SamplingError> {
        let mut problems = Vec::new();
        if !(self.temperature.is_finite() && self.temperature >= 0.0) {
            problems.push(format!(
                "temperature must be at least 0, not {}",
                self.temperature
            ));
        }
        if self.top_k == Some(0) {
            problems.push("top_k must be at least 1, not 0; remove it to disable it".to_owned());
        }
        if let Some(top_p) = self.top_p
            && !(top_p > 0.0 && top_p <= 1.0)
        {
            problems.push(format!(
                "top_p must be greater than 0 and at most 1, not {top_p}"
            ));
        }
        if !(self.repetition_penalty.is_finite() && self.repetition_penalty > 0.0) {
            problems.push(format!(
                "repetition_penalty must be greater than 0, not {}; 1 disables it",
                self.repetition_penalty
            ));
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(SamplingError::Config { problems })
        }
    }
}

/// Why no token could be chosen.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SamplingError {
    /// Fields of the configuration are out of range.
    #[error("invalid sampling settings: {}", problems.join("; "))]
    Config {
        /// One message per field.
        problems: Vec<String>,
    },
    /// The model gave no logits.
    #[error("there are no logits to choose a token from")]
    NoLogits,
    /// The model's output holds values that are not finite.
    #[error(
        "{count} of {total} logits are not finite, the first is that of token {first}: the \
         weights are damaged, or their type overflows (try f32)"
    )]
    NotFinite {
        /// Number of such logits.
        count: usize,
        /// Number of all logits.
        total: usize,
        /// The first such token.
        first: usize,
    },
    /// The history holds a token without a logit.
    #[error("token {token} of the history is outside the vocabulary of {vocab_size} tokens")]
    UnknownToken {
        /// The token.
        token: u32,
        /// Number of logits.
        vocab_size: usize,
    },
}

/// Chooses tokens one after another, with its own random sequence.
#[derive(Debug, Clone)]
pub struct Sampler {
    config: SamplingConfig,
    rng: ChaCha12Rng,
    // Reused between calls, because a vocabulary is large.
    scores: Vec<f64>,
    order: Vec<u32>,
    seen: Vec<bool>,
}

impl Sampler {
    /// Makes a sampler at the start of its random sequence.
    ///
    /// # Errors
    /// Same as [`SamplingConfig::validate`].
    pub fn new(config: SamplingConfig) -> Result<Self, SamplingError> {
        config.validate()?;
        Ok(Self {
            rng: ChaCha12Rng::seed_from_u64(config.seed),
            config,
            scores: Vec::new(),
            order: Vec::new(),
            seen: Vec::new(),
        })
    }

    /// Chooses the next token by `logits` `[vocab_size]`, after the tokens `history`.
    ///
    /// # Errors
    /// If there are no logits, if some are not finite, or if `history` has a token without a logit.
    /// The random sequence then does not advance.
    pub fn sample(&mut self, logits: &[f32], history: &[u32]) -> Result<u32, SamplingError> {
        self.score(logits, history)?;
        if self.config.temperature == 0.0 {
            return Ok(argmax(&self.scores));
        }
        let kept = self.keep_likely();
        Ok(self.draw(kept))
    }

    /// Returns the distance, in logits after the repetition penalty, between the token that
    /// [`sample`](Self::sample) last chose and the second most likely one. Infinite without a
    /// second token. `None` if tokens are sampled at random.
    pub fn lead(&self) -> Option<f64> {
        if self.config.temperature != 0.0 {
            return None;
        }
        let two = [f64::NEG_INFINITY; 2];
        let [best, second] = self.scores.iter().fold(two, |[best, second], &score| {
            [best.max(score), second.max(score.min(best))]
        });
        Some(best - second)
    }

    /// Fills `scores` with the logits after the repetition penalty.
    fn score(&mut self, logits: &[f32], history: &[u32]) -> Result<(), SamplingError> {
        if logits.is_empty() {
            return Err(SamplingError::NoLogits);
        }
        let mut broken = (0..logits.len()).filter(|&token| !logits[token].is_finite());
        if let Some(first) = broken.next() {
            return Err(SamplingError::NotFinite {
                count: 1 + broken.count(),
                total: logits.len(),
                first,
            });
        }
        let vocab_size = logits.len();
        if let Some(&token) = history.iter().find(|&&token| token as usize >= vocab_size) {
            return Err(SamplingError::UnknownToken { token, vocab_size });
        }
        // In f64 neither the penalty nor the temperature can overflow.
        self.scores.clear();
        self.scores
            .extend(logits.iter().map(|&logit| f64::from(logit)));
        let penalty = f64::from(self.config.repetition_penalty);
        if penalty != 1.0 {
            self.seen.clear();
            self.seen.resize(vocab_size, false);
            for &token in history {
                // Each token once, however often it occurs.
                if !std::mem::replace(&mut self.seen[token as usize], true) {
                    let score = &mut self.scores[token as usize];
                    *score = if *score > 0.0 {
                        *score / penalty
                    } else {
                        *score * penalty
                    };
                }
            }
        }
        Ok(())
    }

    /// Turns `scores` into weights in place, and leaves the candidates in `order`, most likely
    /// first if needed. Returns their total weight.
    fn keep_likely(&mut self) -> f64 {
        let max = self
            .scores
            .iter()
            .copied()
            .fold(f64::NEG_INFINITY, f64::max);
        let temperature = f64::from(self.config.temperature);
        // Subtract the maximum first: dividing the difference cannot give infinity minus infinity.
        for score in &mut self.scores {
            *score = ((*score - max) / temperature).exp();
        }
        let weights = &self.scores;
        let order = &mut self.order;
        order.clear();
        order.extend(0..weights.len() as u32);
        let weight = |token: u32| weights[token as usize];
        let descending =
            |a: &u32, b: &u32| weight(*b).total_cmp(&weight(*a)).then_with(|| a.cmp(b));
        if let Some(k) = self.config.top_k
            && k < order.len()
        {
            let (_, &mut last, _) = order.select_nth_unstable_by(k - 1, descending);
            order.retain(|&token| weight(token) >= weight(last));
        }
        let total: f64 = order.iter().map(|&token| weight(token)).sum();
        let Some(top_p) = self.config.top_p else {
            // Restore a fixed order after the selection, so that one seed gives one text.
            order.sort_unstable();
            return total;
        };
        order.sort_unstable_by(descending);
        let mut kept = 0.0;
        let mut count = 0;
        while count < order.len() && (count == 0 || kept < f64::from(top_p) * total) {
            kept += weight(order[count]);
            count += 1;
        }
        order.truncate(count);
        kept
    }

    /// Draws one of the candidates, whose weights add up to `total`.
    fn draw(&mut self, total: f64) -> u32 {
        // 53 random bits, in [0, 1).
        let uniform = (self.rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        let mut left = uniform * total;
        let mut last = argmax(&self.scores);
        for &token in &self.order {
            let weight = self.scores[token as usize];
            if weight > 0.0 {
                last = token;
                if left < weight {
                    return token;
                }
                left -= weight;
            }
        }
        // Only rounding reaches this line.
        last
    }
}

/// Returns the index of the largest value, the first of several.
fn argmax(values: &[f64]) -> u32 {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = index;
        }
    }
    best as u32
}

#[cfg(test)]
mod tests;
