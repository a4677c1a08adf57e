#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn sampler(config: SamplingConfig) -> Sampler {
    Sampler::new(config).unwrap()
}

fn warm() -> SamplingConfig {
    SamplingConfig {
        temperature: 1.0,
        ..SamplingConfig::default()
    }
}

/// Returns how often each token is drawn in 20,000 draws.
fn counts(config: SamplingConfig, logits: &[f32]) -> Vec<f64> {
    let mut sampler = sampler(config);
    let mut counts = vec![0.0; logits.len()];
    for _ in 0..20_000 {
        counts[sampler.sample(logits, &[]).unwrap() as usize] += 1.0 / 20_000.0;
    }
    counts
}

fn drawn(config: SamplingConfig, logits: &[f32]) -> Vec<usize> {
    let counts = counts(config, logits);
    (0..logits.len())
        .filter(|&token| counts[token] > 0.0)
        .collect()
}

/// Returns logits whose softmax is `probabilities`.
fn logits(probabilities: &[f32]) -> Vec<f32> {
    probabilities.iter().map(|p| p.ln() + 3.0).collect()
}

#[test]
fn greedy_takes_first_largest_logit() {
    let mut sampler = sampler(SamplingConfig::default());
    assert_eq!(sampler.sample(&[1.0, 3.0, 2.0, 3.0], &[]).unwrap(), 1);
    assert_eq!(sampler.sample(&[-3.0, -1.0], &[0, 1]).unwrap(), 1);
    assert_eq!(sampler.sample(&[0.0], &[]).unwrap(), 0);
}

#[test]
fn draws_follow_softmax_at_temperature() {
    let logits = [0.0f32, 1.0, -1.0, 0.5];
    for temperature in [0.5f32, 1.0, 2.0] {
        let weights = logits.map(|logit| f64::from(logit / temperature).exp());
        let total: f64 = weights.iter().sum();
        let config = SamplingConfig {
            temperature,
            ..warm()
        };
        for (count, weight) in counts(config, &logits).iter().zip(weights) {
            // Four standard deviations of 20,000 draws are at most 0.0142.
            assert!((count - weight / total).abs() < 0.0142, "{count} {weight}");
        }
    }
}

#[test]
fn top_k_keeps_the_most_likely_and_ties() {
    let probabilities = logits(&[0.1, 0.4, 0.2, 0.2, 0.1]);
    let top = |k| {
        let config = SamplingConfig {
            top_k: Some(k),
            ..warm()
        };
        drawn(config, &probabilities)
    };
    assert_eq!(top(1), [1]);
    assert_eq!(top(2), [1, 2, 3]);
    assert_eq!(top(3), [1, 2, 3]);
    assert_eq!(top(9), [0, 1, 2, 3, 4]);
}

#[test]
fn top_p_keeps_the_fewest_that_reach_it() {
    let probabilities = logits(&[0.15, 0.5, 0.05, 0.3]);
    let top = |top_p, top_k| {
        let config = SamplingConfig {
            top_p: Some(top_p),
            top_k,
            ..warm()
        };
        drawn(config, &probabilities)
    };
    assert_eq!(top(0.01, None), [1]);
    assert_eq!(top(0.49, None), [1]);
    assert_eq!(top(0.6, None), [1, 3]);
    assert_eq!(top(0.9, None), [0, 1, 3]);
    assert_eq!(top(1.0, None), [0, 1, 2, 3]);
    // After top-k: 0.5 of the 0.8 kept is 0.625 of the whole.
    assert_eq!(top(0.6, Some(2)), [1]);
    assert_eq!(top(0.65, Some(2)), [1, 3]);
}

#[test]
fn kept_tokens_keep_their_proportions() {
    let config = SamplingConfig {
        top_k: Some(2),
        ..warm()
    };
    let counts = counts(config, &logits(&[0.1, 0.6, 0.3]));
    assert!((counts[1] - 2.0 / 3.0).abs() < 0.0142, "{counts:?}");
}

#[test]
fn penalty_divides_positive_and_multiplies_negative_logits_once() {
    let mut sampler = sampler(SamplingConfig {
        repetition_penalty: 2.0,
        ..SamplingConfig::default()
    });
    sampler
        .score(&[4.0, -3.0, 1.0, 0.0], &[0, 1, 1, 0, 3])
        .unwrap();
    assert_eq!(sampler.scores, [2.0, -6.0, 1.0, 0.0]);
    assert_eq!(sampler.sample(&[3.0, 2.0], &[0]).unwrap(), 1);
}

#[test]
fn seed_determines_sampled_tokens() {
    let text = |seed| -> Vec<u32> {
        let mut sampler = sampler(SamplingConfig {
            seed,
            top_k: Some(40),
            ..warm()
        });
        let logits: Vec<f32> = (0..50).map(|token| (token % 7) as f32 / 3.0).collect();
        (0..50)
            .map(|_| sampler.sample(&logits, &[]).unwrap())
            .collect()
    };
    assert_eq!(text(1), text(1));
    assert_ne!(text(1), text(2));
    let mut fixed = sampler(warm());
    let draws: Vec<u32> = (0..8)
        .map(|_| fixed.sample(&[0.0; 1000], &[]).unwrap())
        .collect();
    // A seed must give the same text in every release.
    assert_eq!(draws, [731, 773, 25, 584, 262, 771, 218, 793]);
}

#[test]
fn out_of_range_fields_are_all_listed() {
    let config = SamplingConfig {
        temperature: f32::NAN,
        top_k: Some(0),
        top_p: Some(1.5),
        repetition_penalty: 0.0,
        seed: 0,
    };
    let message = Sampler::new(config).unwrap_err().to_string();
    for field in ["temperature", "top_k", "top_p", "repetition_penalty"] {
        assert!(message.contains(field), "no {field} in: {message}");
    }
    assert_eq!(SamplingConfig::default().validate(), Ok(()));
}

#[test]
fn invalid_logits_and_tokens_are_errors() {
    let mut sampler = sampler(warm());
    assert_eq!(sampler.sample(&[], &[]), Err(SamplingError::NoLogits));
    assert_eq!(
        sampler.sample(&[0.0, f32::NAN, 1.0, f32::INFINITY], &[]),
        Err(SamplingError::NotFinite {
            count: 2,
            total: 4,
            first: 1
        })
    );
    assert_eq!(
        sampler.sample(&[0.0, 1.0], &[0, 2]),
        Err(SamplingError::UnknownToken {
            token: 2,
            vocab_size: 2
        })
    );
}

proptest! {
    #[test]
    fn any_finite_logits_give_a_likely_token(
        logits in prop::collection::vec(
            prop_oneof![-10f32..10.0, any::<f32>().prop_filter("finite", |x| x.is_finite())], 1..50),
        temperature in prop_oneof![Just(0f32), Just(f32::MIN_POSITIVE), 0.01f32..5.0, Just(f32::MAX)],
        top_k in prop::option::of(1usize..60),
        top_p in prop::option::of(0.001f32..=1.0),
        repetition_penalty in prop_oneof![Just(1f32), Just(f32::MIN_POSITIVE), 0.5f32..2.0],
        seed in any::<u64>(),
    ) {
        let config = SamplingConfig { temperature, top_k, top_p, repetition_penalty, seed };
        let token = sampler(config).sample(&logits, &[0]).unwrap() as usize;
        prop_assert!(token < logits.len());
        if let Some(k) = top_k && repetition_penalty == 1.0 {
            let larger = logits.iter().filter(|&&logit| logit > logits[token]).count();
            // At a very high temperature, different logits get equal weights and tie.
            prop_assert!(larger < k || temperature > 5.0);
        }
    }
}

#[test]
fn lead_is_gap_between_two_best_scores() {
    let mut greedy = sampler(SamplingConfig::default());
    for (logits, lead) in [
        (&[1.0, 4.0, 3.5][..], 0.5),
        (&[4.0, 1.0, -3.5], 3.0),
        (&[-2.0, -1.0], 1.0),
        (&[2.0, 2.0, 1.0], 0.0),
        (&[7.0], f64::INFINITY),
    ] {
        greedy.sample(logits, &[]).unwrap();
        assert_eq!(greedy.lead(), Some(lead), "{logits:?}");
    }
    let mut penalised = sampler(SamplingConfig {
        repetition_penalty: 2.0,
        ..SamplingConfig::default()
    });
    assert_eq!(penalised.sample(&[4.0, 3.0, 1.0], &[0]).unwrap(), 1);
    assert_eq!(penalised.lead(), Some(1.0));

    let mut drawing = sampler(warm());
    drawing.sample(&[1.0, 4.0], &[]).unwrap();
    assert_eq!(drawing.lead(), None);
}
