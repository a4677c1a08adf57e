//! LoRA's own settings.

use std::fmt;
use std::str::FromStr;

/// The scale of LoRA's product, and the initial values of its factors.
///
/// ```
/// use bone::{AdapterConfig, LoraConfig, LoraStart, Selection, SvdMethod, Targets, Variant};
///
/// let pissa = LoraConfig {
///     alpha: 16.0,
///     rslora: false,
///     start: LoraStart::Pissa(SvdMethod::Exact),
/// };
/// assert_eq!(pissa.scale(8), 2.0);
/// assert!(pissa.has_residual());
/// // Files contain the equivalent LoRA of twice the rank.
/// let config = AdapterConfig::new(Variant::Lora(pissa), 8, Targets::new(Selection::AllLinear));
/// assert_eq!(config.saved().rank, 16);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoraConfig {
    /// The product is multiplied by `alpha / r`, or with `rslora` by `alpha / √r`.
    pub alpha: f64,
    /// Rank-stabilised: the scale is divided by the root of the rank.
    pub rslora: bool,
    /// Initial values of `A` and `B`.
    pub start: LoraStart,
}

/// Initial values of LoRA's `A` and `B`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LoraStart {
    /// `A` random, `B` zero: LoRA itself.
    #[default]
    Random,
    /// The largest singular values and vectors of the weight: PiSSA.
    Pissa(SvdMethod),
    /// Columns of `Q` and rows of `R` of the weight's QR decomposition: OLoRA.
    Olora,
}

/// How PiSSA finds singular vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SvdMethod {
    /// Computes all singular vectors and keeps the largest.
    Exact,
    /// Computes only the largest, by subspace iteration from a random start.
    Fast {
        /// Number of times the weight and its transpose are applied; 4 is enough for trained
        /// weights.
        iterations: usize,
    },
}

impl LoraConfig {
    /// Returns `s` of an adapter of `rank`.
    ///
    /// Example: [`LoraConfig`].
    pub fn scale(&self, rank: usize) -> f64 {
        let rank = rank as f64;
        match self.rslora {
            true => self.alpha / rank.sqrt(),
            false => self.alpha / rank,
        }
    }

    /// Returns whether the factors belong to the residual of the weight instead of the weight
    /// itself.
    ///
    /// Example: [`LoraConfig`].
    pub fn has_residual(&self) -> bool {
        self.start != LoraStart::Random
    }

    /// Returns the settings of a plain LoRA of the same scale and twice the rank.
    pub(crate) fn doubled(self) -> Self {
        let factor = match self.rslora {
            true => 2f64.sqrt(),
            false => 2.0,
        };
        Self {
            alpha: self.alpha * factor,
            start: LoraStart::Random,
            ..self
        }
    }
}

/// Prints PEFT's words for `init_lora_weights`.
impl fmt::Display for LoraStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Random => f.write_str("random"),
            Self::Pissa(SvdMethod::Exact) => f.write_str("pissa"),
            Self::Pissa(SvdMethod::Fast { iterations }) => write!(f, "pissa_niter_{iterations}"),
            Self::Olora => f.write_str("olora"),
        }
    }
}

impl FromStr for LoraStart {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "random" => Ok(Self::Random),
            "pissa" => Ok(Self::Pissa(SvdMethod::Exact)),
            "olora" => Ok(Self::Olora),
            _ => {
                let iterations = text.strip_prefix("pissa_niter_").ok_or(())?;
                let iterations = iterations.parse().map_err(|_| ())?;
                Ok(Self::Pissa(SvdMethod::Fast { iterations }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lora_start_names_parse_back() {
        for start in [
            LoraStart::Random,
            LoraStart::Olora,
            LoraStart::Pissa(SvdMethod::Exact),
            LoraStart::Pissa(SvdMethod::Fast { iterations: 4 }),
        ] {
            assert_eq!(start.to_string().parse(), Ok(start));
        }
        for other in ["gaussian", "pissa_niter_", "pissa_niter_-1", "PiSSA"] {
            assert_eq!(other.parse::<LoraStart>(), Err(()));
        }
    }

    #[test]
    fn doubled_rank_keeps_lora_scale() {
        for rslora in [false, true] {
            let config = LoraConfig {
                alpha: 12.0,
                rslora,
                start: LoraStart::Olora,
            };
            let doubled = config.doubled();
            assert!((doubled.scale(12) - config.scale(6)).abs() < 1e-12);
            assert_eq!(doubled.start, LoraStart::Random);
        }
    }
}
