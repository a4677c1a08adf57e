//! Scoring a model: questions with known answers, and texts.

mod benchmark;
pub mod grade;
mod questions;
pub mod resume;
mod results;

pub use questions::{Question, QuestionError, Questions, Shots};
pub use results::{Answer, Ended, Part, Results, Settings, Summary};
