//! Prints many layers with the same fault in few lines.

use super::{LayerError, Misfit};
use crate::target::without_numbers;
use bone_files::wording::joined;
use std::fmt;

/// Limit of the trial division for divisors: enough for widths up to 2³².
const MOST_TRIALS: usize = 1 << 16;

/// Layers that cannot carry or use an adapter, grouped by path without its numbers.
pub(super) struct Grouped<'a>(pub(super) &'a [LayerError]);

impl fmt::Display for Grouped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [layer] = self.0 {
            write!(f, "\n  {layer}")?;
            return self.ranks(f);
        }
        if self.common_rank().is_some() {
            return self.ranks(f);
        }
        let alike = |a: &LayerError, b: &LayerError| {
            (a.d_input, a.d_output, &a.reason) == (b.d_input, b.d_output, &b.reason)
                && without_numbers(&a.module) == without_numbers(&b.module)
        };
        let lines = groups(self.0, alike)
            .into_iter()
            .map(|(layer, count)| match count {
                1 => layer.to_string(),
                _ => {
                    let (inputs, outputs) = (layer.d_input, layer.d_output);
                    let path = without_numbers(&layer.module);
                    let reason = &layer.reason;
                    format!("{path} (x{count}, {inputs} inputs, {outputs} outputs): {reason}")
                }
            });
        write!(f, "\n  {}", joined(lines, "\n  "))
    }
}

impl Grouped<'_> {
    /// Returns the rank that divides none of the layers' widths, if every layer has this fault.
    fn common_rank(&self) -> Option<usize> {
        let rank_of = |layer: &LayerError| match layer.reason {
            Misfit::Rank { rank, .. } => Some(rank),
            Misfit::Other(_) => None,
        };
        let rank = rank_of(self.0.first()?)?;
        let same = |layer: &LayerError| rank_of(layer) == Some(rank);
        self.0.iter().all(same).then_some(rank)
    }

    /// Writes the widths that the rank does not divide, and the ranks that would divide all.
    fn ranks(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(rank) = self.common_rank() else {
            return Ok(());
        };
        let all = self
            .0
            .iter()
            .flat_map(|layer| [layer.d_input, layer.d_output]);
        let fitting = ranks_near(rank, all.clone().fold(0, gcd));
        let advice = match &fitting[..] {
            [] => "no rank greater than 1 fits all of them; use miss, which supports any rank"
                .to_owned(),
            ranks => format!(
                "ranks that fit: {}; miss supports any rank",
                joined(ranks, ", ")
            ),
        };
        if self.0.len() == 1 {
            return write!(f, " ({advice})");
        }
        let mut odd: Vec<_> = all.filter(|width| width % rank != 0).collect();
        odd.sort_unstable();
        odd.dedup();
        let alike = |a: &LayerError, b: &LayerError| {
            without_numbers(&a.module) == without_numbers(&b.module)
        };
        let paths = groups(self.0, alike)
            .into_iter()
            .map(|(layer, count)| match count {
                1 => layer.module.clone(),
                _ => format!("{} (x{count})", without_numbers(&layer.module)),
            });
        write!(
            f,
            " rank {rank} does not divide their widths of {}; {advice}; layers: {}",
            joined(&odd, ", "),
            joined(paths, ", ")
        )
    }
}

/// Returns the first layer of every group, in order, and the group's size.
fn groups(
    layers: &[LayerError],
    alike: impl Fn(&LayerError, &LayerError) -> bool,
) -> Vec<(&LayerError, usize)> {
    let mut groups: Vec<(&LayerError, usize)> = Vec::new();
    for layer in layers {
        match groups.iter_mut().find(|(first, _)| alike(first, layer)) {
            Some((_, count)) => *count += 1,
            None => groups.push((layer, 1)),
        }
    }
    groups
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Returns the divisors of `width` above 1 that are nearest to `rank`: up to three below, two
/// above.
fn ranks_near(rank: usize, width: usize) -> Vec<usize> {
    let mut divisors: Vec<_> = (1..=width.isqrt().min(MOST_TRIALS))
        .filter(|divisor| width.is_multiple_of(*divisor))
        .flat_map(|divisor| [divisor, width / divisor])
        .filter(|divisor| *divisor > 1)
        .collect();
    divisors.sort_unstable();
    divisors.dedup();
    let above = divisors.partition_point(|divisor| *divisor < rank);
    let last = (above + 2).min(divisors.len());
    divisors[above.saturating_sub(3)..last].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AttachError, BlockAxis, MergeError, Variant};
    use proptest::prelude::*;

    fn misfits(rank: usize, blocks: usize, kinds: &[(&str, usize, usize)]) -> Vec<LayerError> {
        let bone = Variant::Bone(BlockAxis::Output);
        (0..blocks)
            .flat_map(|block| {
                kinds.iter().filter_map(move |(name, d_input, d_output)| {
                    Some(LayerError {
                        module: format!("model.layers.{block}.{name}"),
                        d_input: *d_input,
                        d_output: *d_output,
                        reason: bone.check(rank, *d_input, *d_output).err()?,
                    })
                })
            })
            .collect()
    }

    #[test]
    fn misfitting_rank_error_takes_a_single_line() {
        let kinds = [("q_proj", 288, 288), ("up_proj", 288, 768)];
        let error = AttachError::Layers(misfits(7, 5, &kinds)).to_string();
        assert_eq!(error.lines().count(), 1, "{error}");
        for part in [
            "10 layer(s)",
            "rank 7 ",
            " 288, 768;",
            ": 3, 4, 6, 8, 12;",
            "model.layers.N.q_proj (x5), model.layers.N.up_proj (x5)",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }

    #[test]
    fn rank_error_names_only_misfitting_widths() {
        let error = AttachError::Layers(misfits(8, 2, &[("a", 32, 44), ("b", 32, 32)])).to_string();
        for part in [" 44;", ": 2, 4;"] {
            assert!(error.contains(part), "{part}: {error}");
        }
        assert!(!error.contains(".b"), "{error}");
    }

    #[test]
    fn coprime_widths_error_says_no_rank_fits() {
        let error = AttachError::Layers(misfits(4, 2, &[("a", 9, 4)])).to_string();
        assert!(error.contains("no rank greater than 1"), "{error}");
    }

    #[test]
    fn rank_error_names_single_layer_in_full() {
        let error = AttachError::Layers(misfits(8, 1, &[("a", 32, 44)])).to_string();
        for part in [
            "model.layers.0.a (32 inputs, 44 outputs): rank 8 ",
            ": 2, 4;",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }

    #[test]
    fn merge_error_groups_layers_by_kind_and_reason() {
        let layer = |module: &str, reason: &str| LayerError {
            module: module.into(),
            d_input: 4,
            d_output: 8,
            reason: reason.into(),
        };
        let error = MergeError::Layers(vec![
            layer("layers.0.q", "merged"),
            layer("layers.1.q", "merged"),
            layer("layers.2.q", "not finite"),
            layer("layers.0.k", "merged"),
        ]);
        let message = error.to_string();
        let lines: Vec<_> = message.lines().collect();
        assert!(lines[0].contains("4 layer(s)"), "{message}");
        assert_eq!(
            lines[1..],
            [
                "  layers.N.q (x2, 4 inputs, 8 outputs): merged",
                "  layers.2.q (4 inputs, 8 outputs): not finite",
                "  layers.0.k (4 inputs, 8 outputs): merged",
            ]
        );
    }

    proptest! {
        #[test]
        fn suggested_ranks_fit_the_layer(rank in 1..500_usize, inputs in 1..5000_usize, outputs in 1..5000_usize) {
            let ranks = ranks_near(rank, gcd(inputs, outputs));
            for rank in &ranks {
                prop_assert!(*rank > 1);
                let bone = Variant::Bone(BlockAxis::Input);
                prop_assert_eq!(bone.check(*rank, inputs, outputs), Ok(()));
            }
            prop_assert_eq!(ranks.is_empty(), gcd(inputs, outputs) == 1);
        }
    }

    #[test]
    fn zero_width_suggests_no_rank() {
        assert!(ranks_near(7, 0).is_empty());
        assert!(!ranks_near(usize::MAX, usize::MAX).is_empty());
    }
}
