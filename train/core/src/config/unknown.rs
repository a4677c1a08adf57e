//! What to say of a key that does not exist.

use super::SETTINGS;
use bone_data::nearest;

/// What other trainers call our keys.
const ELSEWHERE: [(&str, &str); 22] = [
    ("lr", "learning_rate"),
    ("r", "rank"),
    ("base_model", "model"),
    ("model_name_or_path", "model"),
    ("output", "out"),
    ("output_dir", "out"),
    ("data_path", "data"),
    ("target_modules", "targets"),
    ("num_train_epochs", "epochs"),
    ("gradient_accumulation_steps", "gradient_accumulation"),
    ("per_device_train_batch_size", "batch_size"),
    ("model_max_length", "max_seq_len"),
    ("lr_scheduler_type", "schedule"),
    ("gradient_checkpointing", "recompute"),
    ("mini_r", "mini_width"),
    // RWKV's trainers.
    ("load_model", "model"),
    ("data_file", "data"),
    ("proj_dir", "out"),
    ("ctx_len", "max_seq_len"),
    ("micro_bsz", "batch_size"),
    ("lr_init", "learning_rate"),
    ("grad_cp", "recompute"),
];

/// The message for a key that does not exist.
pub(super) fn unknown_key(key: &str) -> String {
    let name = key.trim_start_matches('-').replace('-', "_");
    let elsewhere = ELSEWHERE.iter().find(|(other, _)| *other == name);
    let near = match elsewhere {
        Some((_, ours)) => Some(*ours),
        None => nearest(&name, SETTINGS.iter().map(|row| row.name)),
    };
    match near {
        Some(near) => format!("there is no such setting; did you mean '{near}'?"),
        None => "there is no such setting; `bone train --help` lists them".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suggestion_is_near_or_none() {
        let message = |key| unknown_key(key);
        assert!(message("batchsize").contains("'batch_size'"));
        assert!(message("Learning-Rate").contains("'learning_rate'"));
        assert!(message("lr").contains("'learning_rate'"));
        assert!(message("xyzzy").contains("--help"));
    }

    #[test]
    fn every_name_from_elsewhere_leads_to_a_key_of_ours() {
        for (other, ours) in ELSEWHERE {
            assert!(SETTINGS.iter().any(|row| row.name == ours), "{ours}");
            assert!(!SETTINGS.iter().any(|row| row.name == other), "{other}");
        }
    }
}
