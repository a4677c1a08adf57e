//! A base in half precision learns what one in f32 learns.

use crate::command::fixture;
use crate::runs::Place;

const STEPS: [&str; 4] = ["--max-steps", "50", "--learning-rate", "0.003"];

#[test]
fn bases_in_bf16_and_f16_train_as_one_in_f32() {
    let place = Place::new();
    // Both hold their weights in bf16.
    for (model, rank) in [("llama-tiny-tied", "4"), ("rwkv6-tiny-head12", "2")] {
        let losses = |dtype: &str| {
            let args = [&STEPS[..], &["--rank", rank, "--dtype", dtype]].concat();
            let out = format!("{model}-{dtype}");
            place
                .train_on(&fixture(model), &place.rows, &out, &args)
                .losses()
        };
        let single = losses("f32");
        assert!(single[49] < 0.8 * single[0], "{model}: {single:?}");
        for dtype in ["bf16", "f16"] {
            let half = losses(dtype);
            assert_eq!(half.len(), single.len());
            for (step, (single, half)) in single.iter().zip(&half).enumerate() {
                let off = (single - half).abs() / single;
                assert!(off < 0.01, "{model} {dtype} {step}: {half}, not {single}");
            }
        }
    }
}
