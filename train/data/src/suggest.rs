//! "Did you mean": the known name nearest to an unknown one.

/// Returns the message for an unknown `word`: the `names` to choose from, and the nearest of them.
pub fn unknown(word: &str, names: &[&str]) -> String {
    let near = nearest(word, names.iter().copied());
    let near = near.map_or(String::new(), |near| format!("; did you mean '{near}'?"));
    format!("unknown '{word}'; choose from {}{near}", names.join(", "))
}

/// Returns the name nearest to `word`, if it is near enough. A third of its letters may be wrong, missing,
/// extra or swapped with a neighbour.
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let allowed = (word.chars().count() / 3).max(1);
    names
        .into_iter()
        .map(|name| (strsim::osa_distance(&word, name), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}
