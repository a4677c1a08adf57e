//! Prints the results as a table.

use crate::job::Outcome;

/// The table has the training loss of the last steps; this is their number.
const LAST: usize = 5;

/// All runs of one method.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// Learning rate; only methods that train have one.
    pub(crate) rate: Option<f64>,
    pub(crate) outcomes: Vec<Outcome>,
}

impl Row {
    pub(crate) fn new(name: &'static str, rate: Option<f64>, outcomes: Vec<Outcome>) -> Self {
        Self {
            name,
            rate,
            outcomes,
        }
    }

    fn numbers(&self, of: impl Fn(&Outcome) -> f64) -> Vec<f64> {
        self.outcomes.iter().map(of).collect()
    }

    /// Returns the mean training loss of every step over the seeds.
    pub(crate) fn curve(&self) -> Vec<f64> {
        let steps = self.outcomes.iter().map(|outcome| outcome.losses.len());
        (0..steps.min().unwrap_or(0))
            .map(|step| mean(&self.numbers(|outcome| outcome.losses[step])))
            .collect()
    }
}

fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len().max(1) as f64
}

/// Returns the standard deviation of a sample.
fn spread(numbers: &[f64]) -> f64 {
    let mean = mean(numbers);
    let squares: f64 = numbers.iter().map(|number| (number - mean).powi(2)).sum();
    (squares / numbers.len().saturating_sub(1).max(1) as f64).sqrt()
}

/// Returns the table in Markdown.
pub(crate) fn markdown(title: &str, rows: &[Row], seeds: u64) -> String {
    let mut text = format!(
        "### {title}\n\n\
         Mean ± standard deviation over {seeds} seeds; training loss of the last {LAST} steps.\n\n\
         | method | learning rate | trained parameters | training loss | held-out loss | GSM8K | set-up, ms | a step, ms | peak memory, MB |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|\n"
    );
    for row in rows {
        let held_out = row.numbers(|outcome| outcome.held_out.1);
        let trained = row
            .outcomes
            .first()
            .map_or(0, |outcome| outcome.trained_parameters);
        let (correct, questions) = row.outcomes.iter().fold((0, 0), |(right, all), outcome| {
            (right + outcome.correct, all + outcome.questions)
        });
        let loss = |losses: &[f64]| match losses.len() {
            1 => format!("{:.4}", mean(losses)),
            _ => format!("{:.4} ± {:.4}", mean(losses), spread(losses)),
        };
        let last = row.numbers(|outcome| {
            let from = outcome.losses.len().saturating_sub(LAST);
            mean(&outcome.losses[from..])
        });
        let trains = |text: String| if trained > 0 { text } else { "–".into() };
        text.push_str(&format!(
            "| {} | {} | {} | {} | {} | {correct} of {questions} | {} | {} | {} |\n",
            row.name,
            row.rate.map_or("–".into(), |rate| rate.to_string()),
            trains(trained.to_string()),
            trains(loss(&last)),
            loss(&held_out),
            trains(format!(
                "{:.1}",
                1e3 * mean(&row.numbers(|o| o.set_up_seconds))
            )),
            trains(format!(
                "{:.0}",
                1e3 * mean(&row.numbers(|o| o.step_seconds))
            )),
            trains(format!(
                "{:.0}",
                mean(&row.numbers(|o| o.peak_bytes as f64 / 1e6))
            )),
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_equals_sample_standard_deviation() {
        assert_eq!(spread(&[2.0, 4.0, 6.0]), 2.0);
        assert_eq!(spread(&[3.0]), 0.0);
    }
}
