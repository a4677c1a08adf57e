//! Scoring a model: questions with known answers, and texts.

pub mod fingerprint;
pub mod partial;
mod questions;
mod results;

pub use bone_grade::{Benchmark, Rule};
pub use questions::{Question, QuestionError, Questions, Shots};
pub use results::{Answer, Ended, Part, Results, ResultsError, Settings, Summary, Unfinished};
