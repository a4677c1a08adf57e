//! The range of each setting by itself.

use bone::Selection;
use std::fmt::Debug;

pub(super) fn at_least(least: usize) -> impl Fn(&usize) -> Result<(), String> {
    move |value| hold(*value >= least, &format!("at least {least}"), value)
}

pub(super) fn above_0(value: &f64) -> Result<(), String> {
    hold(*value > 0.0 && value.is_finite(), "above 0", value)
}

pub(super) fn from_0(value: &f64) -> Result<(), String> {
    hold(*value >= 0.0 && value.is_finite(), "0 or more", value)
}

/// Checks a fraction: at least 0 and less than 1.
pub(super) fn share(value: &f64) -> Result<(), String> {
    hold((0.0..1.0).contains(value), "at least 0 and below 1", value)
}

pub(super) fn some_layers(excluded: &Selection) -> Result<(), String> {
    if *excluded == Selection::AllLinear {
        return Err("all-linear leaves no layer; name the layers".to_owned());
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
