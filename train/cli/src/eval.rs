//! Scoring a model: questions with known answers, and texts.

mod benchmark;
pub mod fingerprint;
pub mod grade;
pub mod partial;
mod questions;
mod results;

pub use questions::{Question, QuestionError, Questions, Shots};
pub use results::{Answer, Ended, Part, Results, ResultsError, Settings, Summary, Unfinished};
