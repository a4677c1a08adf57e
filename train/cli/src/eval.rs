//! Scoring a model: questions with known answers, and texts.

mod benchmark;
pub mod grade;
mod questions;
mod results;
pub mod resume;

pub use questions::{Question, QuestionError, Questions, Shots};
pub use results::{Answer, Ended, Part, Results, Settings, Summary};
