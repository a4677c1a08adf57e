//! Training on a half-precision base matches training on an f32 base.

use crate::command::{bone_with, fixture};
use crate::runs::{Place, Run};
use crate::rwkv6::model as copied;

/// At three times this rate, a rounding difference grows by itself in the tiny RWKV6.
const STEPS: [&str; 4] = ["--max-steps", "50", "--learning-rate", "0.001"];

#[test]
fn half_precision_bases_train_like_f32() {
    let place = Place::new();
    // The weights of our f32 RWKV6 fixture are exact bf16 numbers; trained weights are not.
    let rwkv6 = copied(&place, "rwkv6-tiny");
    let args = ["--method", "full", "--learning-rate", "0.0003"];
    let trained = place.train_on(&rwkv6, &place.rows, "trained", &args);
    for (model, folder, rank, rounds) in [
        ("llama-tiny", fixture("llama-tiny"), "4", true),
        ("rwkv6-tiny", trained.out.join("model"), "8", true),
        // Both files store bf16 weights.
        ("llama-tiny-tied", fixture("llama-tiny-tied"), "4", false),
        (
            "rwkv6-tiny-head12",
            fixture("rwkv6-tiny-head12"),
            "2",
            false,
        ),
    ] {
        let losses = |dtype: &str| {
            let args = [&STEPS[..], &["--rank", rank, "--dtype", dtype]].concat();
            let out = format!("{model}-{dtype}");
            place.train_on(&folder, &place.rows, &out, &args).losses()
        };
        let single = losses("f32");
        assert!(single[49] < 0.9 * single[0], "{model}: {single:?}");
        for dtype in ["bf16", "f16"] {
            let half = losses(dtype);
            assert_eq!(half.len(), single.len());
            assert!(
                !rounds || half != single,
                "{model} {dtype}: nothing was rounded"
            );
            for (step, (single, half)) in single.iter().zip(&half).enumerate() {
                let off = (single - half).abs() / single;
                assert!(off < 0.01, "{model} {dtype} {step}: {half}, not {single}");
            }
        }
    }
}

/// Emulates the products of a CPU with AVX512-BF16 on any CPU.
#[test]
fn bf16_products_train_like_f32_products() {
    let place = Place::new();
    let model = fixture("llama-tiny");
    for (name, method) in [
        ("miss", &["--method", "miss"][..]),
        ("output", &["--method", "bone", "--block-axis", "output"]),
        ("input", &["--method", "bone", "--block-axis", "input"]),
        ("lora", &["--method", "lora"]),
    ] {
        let losses = |dtype: &str, products: &str| {
            let out = format!("{name}-{dtype}-{products}");
            let args = [&STEPS[..], method, &["--rank", "4", "--dtype", dtype]].concat();
            let environment = [("BONE_BF16", products)];
            let ran = place.try_with(&environment, &model, &place.rows, &out, &args);
            ran.succeeded();
            Run::read(place.path(&out)).losses()
        };
        let single = losses("f32", "off");
        let [widened, rounded] = ["off", "portable"].map(|products| losses("bf16", products));
        assert_ne!(widened, rounded, "{name}: nothing was rounded");
        assert!(rounded.len() >= 50);
        for (step, (single, rounded)) in single.iter().zip(&rounded).enumerate() {
            let off = (single - rounded).abs() / single;
            assert!(off < 0.01, "{name} {step}: {rounded}, not {single}");
        }
    }
    let ran = bone_with(["devices"], &[("BONE_BF16", "fast")]);
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.stderr.contains("auto, off or portable"),
        "{}",
        ran.stderr
    );
}

#[test]
fn unknown_kernel_names_are_listed() {
    let ran = bone_with(["devices"], &[("BONE_KERNELS", "wkv7,no-rest")]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    for named in ["BONE_KERNELS", "\"wkv7\", \"no-rest\"", "wkv6"] {
        assert!(ran.stderr.contains(named), "{named}: {}", ran.stderr);
    }
}
