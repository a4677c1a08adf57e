#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use burn::backend::Flex;
use burn::tensor::{TensorData, bf16};

use super::*;
use bone_files::save;

fn folder(tensors: Vec<(&str, TensorData)>) -> (tempfile::TempDir, Checkpoint) {
    let dir = tempfile::tempdir().unwrap();
    let tensors = tensors
        .into_iter()
        .map(|(name, data)| (name.to_owned(), data));
    save(dir.path(), tensors, u64::MAX, BTreeMap::new()).unwrap();
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    (dir, checkpoint)
}

fn loader(checkpoint: &Checkpoint, dtype: Option<FloatDType>) -> Loader<'_, Flex> {
    Loader::new(checkpoint, Default::default(), dtype)
}

#[test]
fn linear_is_a_transposed_view_of_the_file() {
    let (_dir, checkpoint) = folder(vec![
        ("q.weight", TensorData::from([[1f32, 2., 3.], [4., 5., 6.]])),
        ("q.bias", TensorData::from([7f32, 8.])),
    ]);
    let mut loader = loader(&checkpoint, Some(FloatDType::F32));
    let linear = loader.linear("q", 3, 2, true);
    loader.finish().unwrap();

    let input = Tensor::<Flex, 2>::from_floats([[1., 10., 100.]], &Default::default());
    let output = linear.forward(input);
    assert_eq!(output.into_data(), TensorData::from([[328f32, 662.]]));

    let in_file = checkpoint.data("q.weight").unwrap().bytes.as_ptr();
    let weight = linear.weight.into_value();
    assert!(!weight.is_require_grad());
    assert_eq!(
        weight.clone().into_data(),
        TensorData::from([[1f32, 4.], [2., 5.], [3., 6.]])
    );
    let as_stored = weight.transpose().into_data();
    assert_eq!(as_stored.bytes.as_ptr(), in_file, "the weight was copied");
}

#[test]
fn tensor_type_is_kept_or_converted() {
    let values = [1.5f32, -2.0, 3.25];
    let half = TensorData::from(values.map(bf16::from_f32));
    let (_dir, checkpoint) = folder(vec![("n", half.clone())]);

    let kept = loader(&checkpoint, None).tensor("n", [3]).into_value();
    assert_eq!(kept.dtype(), DType::BF16);
    assert_eq!(kept.into_data(), half);

    let converted = loader(&checkpoint, Some(FloatDType::F32))
        .tensor("n", [3])
        .into_value();
    assert_eq!(converted.into_data(), TensorData::from(values));
}

#[test]
fn loader_error_lists_every_misfit() {
    let (_dir, checkpoint) = folder(vec![
        ("a", TensorData::from([1f32, 2.])),
        ("b", TensorData::from([1i64, 2])),
        ("c.weight", TensorData::from([[1f32, 2.]])),
        ("known", TensorData::from([1f32])),
        ("layer.0.known", TensorData::from([1f32])),
        ("left", TensorData::from([1f32])),
        ("over", TensorData::from([1f32])),
    ]);
    let mut loader = loader(&checkpoint, None);
    let placeholder = loader.tensor("a", [3]);
    assert_eq!(placeholder.lazy_shape(), Shape::from([3]));
    assert!(!placeholder.is_initialized());
    loader.tensor("b", [2]);
    let linear = loader.linear("c", 1, 2, true);
    assert_eq!(linear.weight.lazy_shape(), Shape::from([1, 2]));
    loader.tensor("d", [1]);
    // Requested twice, like a tied tensor: still one problem each.
    loader.tensor("a", [3]);
    loader.tensor("b", [2]);
    loader.tensor("d", [1]);
    loader.skip("known");
    loader.skip("known and absent");
    loader.skip_matching(|name| name.ends_with(".known"));
    assert_eq!(loader.peek("left").unwrap().shape, [1]);
    assert!(loader.peek("d").is_none());

    let error = loader.finish().unwrap_err();
    assert_eq!(error.missing, ["c.bias", "d"]);
    assert_eq!(error.extra, ["left", "over"]);
    let shapes = |name: &str, expected: &[usize], found: &[usize]| Misshapen {
        name: name.to_owned(),
        expected: expected.to_vec(),
        found: found.to_vec(),
    };
    assert_eq!(
        error.misshapen,
        [
            shapes("a", &[3], &[2]),
            shapes("c.weight", &[2, 1], &[1, 2])
        ]
    );
    assert_eq!(error.unsupported.len(), 1);
    assert_eq!(error.unsupported[0].name, "b");
    assert_eq!(error.unsupported[0].dtype, Dtype::I64);
    let message = error.to_string();
    for part in [
        "2 tensor(s) missing:\n  - \"c.bias\"\n  - \"d\"",
        "\"a\": expected shape [3], found [2]",
        "\"b\" (I64): ",
        "2 unknown tensor(s):\n  - \"left\"\n  - \"over\"",
    ] {
        assert!(message.contains(part), "no {part:?} in: {message}");
    }
}
