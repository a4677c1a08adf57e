//! The range of each setting by itself.

use bone::Selection;
use std::fmt::Debug;

pub(super) fn at_least(least: usize) -> impl Fn(&usize) -> Result<(), String> {
    move |value| hold(*value >= least, &format!("at least {least}"), value)
}

pub(super) fn above_0(value: &f64) -> Result<(), String> {
    hold(*value > 0.0 && value.is_finite(), "greater than 0", value)
}

pub(super) fn from_0(value: &f64) -> Result<(), String> {
    hold(*value >= 0.0 && value.is_finite(), "at least 0", value)
}

/// Checks a fraction: at least 0 and less than 1.
pub(super) fn share(value: &f64) -> Result<(), String> {
    hold(
        (0.0..1.0).contains(value),
        "at least 0 and less than 1",
        value,
    )
}

pub(super) fn some_layers(excluded: &Selection) -> Result<(), String> {
    if *excluded == Selection::AllLinear {
        return Err(
            "must not be all-linear, which excludes every layer; give layer names".to_owned(),
        );
    }
    Ok(())
}

fn hold(is_inside: bool, wanted: &str, value: &impl Debug) -> Result<(), String> {
    if is_inside {
        Ok(())
    } else {
        Err(format!("must be {wanted}, not {value:?}"))
    }
}
