use super::*;
use crate::saved::Contents;
use bone_files::save_pth;
use burn::tensor::TensorData;
use std::collections::BTreeMap;
use std::path::PathBuf;

const INPUT: Kind = Kind::Bone(BlockAxis::Input);
const OUTPUT: Kind = Kind::Bone(BlockAxis::Output);

/// Writes a file of tensors of these shapes.
fn file(tensors: &[(&str, &[usize])]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("adapter.pth");
    let tensors: BTreeMap<_, _> = tensors
        .iter()
        .map(|(name, shape)| {
            let len: usize = shape.iter().product();
            let values: Vec<f32> = (0..len).map(|i| i as f32).collect();
            (name.to_string(), TensorData::new(values, shape.to_vec()))
        })
        .collect();
    save_pth(&path, &tensors).expect("written");
    (folder, path)
}

fn found(tensors: &[(&str, &[usize])], kind: Option<Kind>) -> Result<(Variant, usize), String> {
    let (_folder, path) = file(tensors);
    let saved = scan(&path, kind)
        .and_then(Scan::finish)
        .map_err(|error| error.to_string())?;
    let config = saved.config.expect("an adapter");
    Ok((config.variant, config.rank))
}

const KEY: &str = "blocks.0.att.key";

#[test]
fn tensor_names_and_shapes_determine_variant() {
    let bone = format!("{KEY}.bone");
    let disha = format!("{KEY}.disha");
    let ffn = "blocks.0.ffn.key.bone";
    let llama = "model.layers.0.self_attn.q_proj.bone";
    let bone_input = Ok((Variant::Bone(BlockAxis::Input), 4));
    let bone_output = Ok((Variant::Bone(BlockAxis::Output), 4));
    let miss = |rank| Ok((Variant::Miss, rank));
    assert_eq!(found(&[(&bone, &[2, 4, 4])], None), bone_input);
    // Only JL-er uses these names, and it writes safetensors: `tests/fixtures/foreign/jl-er`.
    let error = found(&[(llama, &[2, 4, 4])], None).expect_err("no tool's");
    assert!(error.contains("--block-axis"), "{error}");
    assert_eq!(found(&[(llama, &[2, 4, 4])], Some(OUTPUT)), bone_output);
    assert_eq!(found(&[(&bone, &[4, 8])], None), miss(4));
    assert_eq!(found(&[(&disha, &[8, 4])], None), miss(8));
    assert_eq!(
        found(&[(&bone, &[8, 4]), (ffn, &[12, 4])], None),
        bone_output
    );
    // One layer that can have only one form decides for all.
    assert_eq!(found(&[(&bone, &[4, 4]), (ffn, &[4, 12])], None), miss(4));
}

#[test]
fn ambiguous_variant_requires_block_axis() {
    let square: &[(&str, &[usize])] = &[("blocks.0.att.key.bone", &[4, 4])];
    let error = found(square, None).expect_err("either");
    assert!(error.contains("--block-axis"), "{error}");
    let bone_output = Ok((Variant::Bone(BlockAxis::Output), 4));
    assert_eq!(found(square, Some(OUTPUT)), bone_output);
    assert_eq!(found(square, Some(Kind::Miss)), Ok((Variant::Miss, 4)));

    for name in ["blocks.0.att.key.miss_block", "transformer.h.0.bone"] {
        let blocks: &[(&str, &[usize])] = &[(name, &[2, 4, 4])];
        let error = found(blocks, None).expect_err("either");
        assert!(error.contains("--block-axis output or input"), "{error}");
        for (kind, axis) in [(INPUT, BlockAxis::Input), (OUTPUT, BlockAxis::Output)] {
            assert_eq!(found(blocks, Some(kind)), Ok((Variant::Bone(axis), 4)));
        }
    }
}

#[test]
fn invalid_adapter_tensors_are_refused() {
    let bone: (&str, &[usize]) = ("blocks.0.att.key.bone", &[2, 4, 4]);
    for (tensors, kind, part) in [
        (
            &[("blocks.0.att.key.weight", &[4, 4][..])][..],
            None,
            "LAYER.bone, .disha, .miss_block",
        ),
        (&[bone], Some(Kind::Miss), "three dimensions"),
        (&[("a.bone", &[4, 8])], Some(INPUT), "two dimensions"),
        (
            &[bone, ("blocks.0.att.value.bone", &[4, 8])],
            None,
            "blocks.0.att.value [4, 8]",
        ),
        (
            &[bone, ("blocks.0.att.value.bone", &[4, 2, 2])],
            None,
            "several ranks",
        ),
        (
            &[bone, ("blocks.0.att.value.disha", &[4, 8])],
            None,
            "naming schemes",
        ),
        (&[("a.disha", &[0, 8])], None, "rank 0"),
        (
            &[("blocks.0.att.key.bone", &[2, 3, 4])],
            None,
            "found [2, 3, 4]",
        ),
    ] {
        let error = found(tensors, kind).expect_err(part);
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn stacked_blocks_survive_write_and_read() {
    let (folder, path) = file(&[("blocks.0.att.key.bone", &[6, 2]), ("ln_out.bias", &[3])]);
    let saved = scan(&path, None).and_then(Scan::finish).expect("read");
    assert_eq!(saved.layers[KEY][0].shape[..], [3, 2, 2]);
    let full = saved.contents().full.into_iter().collect::<Vec<_>>();
    assert_eq!(full, ["ln_out.bias"]);

    // Read back from either container.
    let again = folder.path().join("again.pth");
    write_pth(&saved, &again).expect("written");
    let (first, second) = (std::fs::read(&path), std::fs::read(&again));
    assert_eq!(first.expect("read"), second.expect("read"));
    let named = folder.path().join("named.safetensors");
    write_safetensors(&saved, &named).expect("written");
    let named = scan(&named, None).and_then(Scan::finish).expect("read");
    assert_eq!(named.contents(), saved.contents());
    assert_eq!(named.layers, saved.layers);
}

#[test]
fn pth_file_with_ambiguous_variant_is_not_written() {
    let (folder, path) = file(&[("blocks.0.att.key.bone", &[2, 2])]);
    let saved = scan(&path, Some(OUTPUT))
        .and_then(Scan::finish)
        .expect("read");
    let out = folder.path().join("out.pth");
    let error = write_pth(&saved, &out).expect_err("unclear").to_string();
    assert!(error.contains("blocks.0.att.key.bone"), "{error}");
    assert!(!out.exists());
    // The header of a safetensors file names the variant.
    let named = folder.path().join("named.safetensors");
    write_safetensors(&saved, &named).expect("written");
    let named = scan(&named, None).and_then(Scan::finish).expect("read");
    assert_eq!(named.config, saved.config);

    let mut other = saved;
    if let Some(config) = &mut other.config {
        config.variant = Variant::MissMini { width: 2 };
    }
    let error = write_pth(&other, &out).expect_err("no such form");
    assert!(error.to_string().contains("miss-mini"), "{error}");
}

#[test]
fn state_files_hold_only_states() {
    let state: (&str, &[usize]) = ("blocks.0.att.time_state", &[2, 3, 3]);
    let (_folder, path) = file(&[state]);
    let contents = scan(&path, None).expect("read").contents();
    let full = [state.0.to_string()].into();
    assert_eq!(
        contents,
        Contents {
            adapter: None,
            full
        }
    );
    let (_folder, path) = file(&[state, ("blocks.0.ln1.weight", &[3])]);
    let error = scan(&path, None).and_then(Scan::finish).expect_err("more");
    assert!(error.to_string().contains("ln1.weight"), "{error}");
}
