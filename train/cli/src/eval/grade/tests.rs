//! Outputs and pairs of answers of our own, the assets' golds, the harness's verdicts, and arbitrary text.
#![allow(clippy::unwrap_used)]

mod arbitrary;
mod assets;
mod extraction;
mod harness;
mod pairs;
mod values;
