//! Several samples in one row.

use crate::command::fixture;
use crate::runs::{Place, number};

#[test]
fn packed_rows_train_both_models() {
    let place = Place::new();
    for name in ["llama-tiny", "rwkv6-tiny-pth"] {
        let model = crate::rwkv6::named(&place, name);
        let train = |out: &str, args: &[&str]| {
            let common = ["--method", "miss", "--rank", "4", "--max-seq-len", "96"];
            let args = [&common[..], args].concat();
            place.train_on(&model, &place.rows, &format!("{name}-{out}"), &args)
        };
        // 32 training rows of up to 22 tokens. All of them fit into one step, so the steps are the same
        // with and without packing.
        let alone = train("alone", &["--batch-size", "32"]);
        let packed = train("packed", &["--packing", "--batch-size", "32"]);
        assert_eq!(alone.steps.len(), packed.steps.len());
        for (a, b) in alone.steps.iter().zip(&packed.steps) {
            assert_eq!(a["tokens"], b["tokens"], "{name}");
            let off = (number(a, "loss") - number(b, "loss")).abs();
            assert!(off < 1e-4, "{name}: {a} and {b}");
        }
        let (first, last) = packed.first_and_last_validation();
        assert!(last < 0.9 * first, "{name}: held-out loss {first} → {last}");
    }
}

#[test]
fn packing_losses_do_not_depend_on_memory_settings() {
    let place = Place::new();
    let common = [
        "--method",
        "bone",
        "--rank",
        "4",
        "--max-seq-len",
        "96",
        "--packing",
    ];
    let losses = |name: &str, args: &[&str]| {
        let args = [&common[..], args].concat();
        place
            .train_on(&fixture("llama-tiny"), &place.rows, name, &args)
            .losses()
    };
    let expected = losses("plain", &[]);
    let without = losses("without", &["--recompute=false", "--chunked-head=false"]);
    for (a, b) in expected.iter().zip(&without) {
        assert!((a - b).abs() < 1e-4, "{a} and {b}");
    }
}

#[test]
fn packing_with_state_tuning_is_rejected() {
    let place = Place::new();
    let args = ["--method", "state", "--packing"];
    let ran = place.try_on(&fixture("rwkv6-tiny"), &place.rows, "state", &args);
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.stderr
            .contains("--packing: is not supported with method state"),
        "{}",
        ran.stderr
    );
}
