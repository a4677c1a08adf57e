//! "Did you mean": the known name nearest to one that is unknown.

use super::settings::KEYS;

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
        None => nearest(&name, KEYS.iter().map(|key| key.name)),
    };
    match near {
        Some(near) => format!("there is no such setting; did you mean '{near}'?"),
        None => "there is no such setting; `bone train --help` lists them".to_owned(),
    }
}

/// The name nearest to `word`, if one is near enough to have been meant.
pub(super) fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let allowed = (word.chars().count() / 3).max(1);
    names
        .into_iter()
        .map(|name| (distance(&word, name), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Edits that turn one word into the other: insertions, deletions, replacements and swaps of
/// neighbours (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(rows[i - 2][j - 2] + 1);
            }
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, want) in [
            ("", "", 0),
            ("rank", "rank", 0),
            ("rnak", "rank", 1),
            ("rank", "ranks", 1),
            ("kitten", "sitting", 3),
            ("", "abc", 3),
        ] {
            assert_eq!(distance(a, b), want, "{a} {b}");
            assert_eq!(distance(b, a), want, "{b} {a}");
        }
    }

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
            assert!(KEYS.iter().any(|key| key.name == ours), "{ours}");
            assert!(!KEYS.iter().any(|key| key.name == other), "{other}");
        }
    }
}
