//! Scoring a model: questions with known answers, and texts.

mod questions;
mod results;
pub mod resume;

pub use bone_grade::{Benchmark, Rule};
pub use questions::{Question, QuestionError, Questions, Shots};
pub use results::{Answer, Ended, Part, Results, Settings, Summary};
