//! Draws loss curves as SVG.

use crate::table::Row;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
/// Margins for the axes and the legend.
const LEFT: f64 = 56.0;
const RIGHT: f64 = 110.0;
const TOP: f64 = 32.0;
const BOTTOM: f64 = 40.0;
/// Weight of the past in the smoothed curves.
const KEEP: f64 = 0.8;

/// Colours that people with colour-blindness can tell apart (Okabe and Ito 2008).
const COLOURS: [&str; 7] = [
    "#000000", "#e69f00", "#56b4e9", "#009e73", "#d55e00", "#0072b2", "#cc79a7",
];

/// Draws the smoothed mean training loss of every method that trains.
pub(crate) fn curves(title: &str, rows: &[Row]) -> String {
    let curves: Vec<(&str, Vec<f64>)> = rows
        .iter()
        .map(|row| (row.name, smoothed(&row.curve())))
        .filter(|(_, curve)| !curve.is_empty())
        .collect();
    let all = || curves.iter().flat_map(|(_, curve)| curve.iter().copied());
    let (low, high) = (
        all().fold(f64::MAX, f64::min),
        all().fold(f64::MIN, f64::max),
    );
    let (low, high) = if low < high {
        (low, high)
    } else {
        (low - 0.5, low + 0.5)
    };
    let steps = curves
        .iter()
        .map(|(_, curve)| curve.len())
        .max()
        .unwrap_or(1);
    let x = |step: usize| LEFT + (WIDTH - LEFT - RIGHT) * step as f64 / (steps - 1).max(1) as f64;
    let y = |loss: f64| TOP + (HEIGHT - TOP - BOTTOM) * (high - loss) / (high - low);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"18\">{}: training loss, mean over seeds, smoothed</text>\n",
        escaped(title)
    );
    for tick in 0..=4 {
        let loss = low + (high - low) * f64::from(tick) / 4.0;
        let (left, right, at) = (LEFT, WIDTH - RIGHT, y(loss));
        svg.push_str(&format!(
            "<line x1=\"{left}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\" stroke=\"#dddddd\"/>\n\
             <text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{loss:.2}</text>\n",
            left - 6.0,
            at + 4.0
        ));
        let step = (steps - 1) * tick as usize / 4;
        svg.push_str(&format!(
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
            x(step),
            HEIGHT - BOTTOM + 18.0,
            step + 1
        ));
    }
    svg.push_str(&format!(
        "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\">step</text>\n",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 6.0
    ));
    for (index, (name, curve)) in curves.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let points: Vec<_> = (0..)
            .zip(curve)
            .map(|(step, loss)| format!("{:.1},{:.1}", x(step), y(*loss)))
            .collect();
        let (from, to) = (WIDTH - RIGHT + 12.0, WIDTH - RIGHT + 34.0);
        let at = TOP + 10.0 + 20.0 * index as f64;
        svg.push_str(&format!(
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" points=\"{}\"/>\n\
             <line x1=\"{from}\" y1=\"{at}\" x2=\"{to}\" y2=\"{at}\" stroke=\"{colour}\" stroke-width=\"2\"/>\n\
             <text x=\"{}\" y=\"{}\">{}</text>\n",
            points.join(" "),
            to + 6.0,
            at + 4.0,
            escaped(name)
        ));
    }
    svg.push_str("</svg>\n");
    svg
}

/// Returns a running mean without bias towards its start.
fn smoothed(curve: &[f64]) -> Vec<f64> {
    let (mut sum, mut weight) = (0.0, 0.0);
    curve
        .iter()
        .map(|loss| {
            sum = KEEP * sum + (1.0 - KEEP) * loss;
            weight = KEEP * weight + (1.0 - KEEP);
            sum / weight
        })
        .collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Outcome;

    fn row(name: &'static str, losses: &[f64]) -> Row {
        let outcome = Outcome {
            losses: losses.to_vec(),
            held_out: (1.0, 1.0),
            trained_parameters: 1,
            set_up_seconds: 0.0,
            step_seconds: 0.0,
            peak_bytes: 0,
            correct: 0,
            questions: 1,
        };
        Row::new(name, Some(1e-3), vec![outcome])
    }

    #[test]
    fn each_trained_method_gets_a_curve() {
        let rows = [
            row("before", &[]),
            row("a<b", &[3.0, 2.0, 1.0]),
            row("flat", &[2.0; 3]),
        ];
        let svg = curves("T & T", &rows);
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert!(svg.contains("a&lt;b") && svg.contains("T &amp; T") && svg.ends_with("</svg>\n"));
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        let first = svg
            .split("points=\"")
            .nth(1)
            .and_then(|points| points.split('"').next());
        let first: Vec<_> = first.unwrap_or_default().split([' ', ',']).collect();
        assert_eq!(first.len(), 6);
        assert_eq!((first[0], first[1]), ("56.0", "32.0"));
    }

    #[test]
    fn single_step_curve_is_drawn() {
        assert!(!curves("t", &[row("a", &[2.0])]).contains("NaN"));
    }
}
