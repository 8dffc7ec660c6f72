//! Figures side by side, and what of them is compared.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};
use tidegate_bench_common::Failure;
use tidegate_bench_common::table::{Row, Table, median};

use crate::broker::Broker;
use crate::sides::{Bench, SIDES, Side};

/// What is compared: a baseline, and ours.
const PAIRS: [(&str, &str); 5] = [
    ("toy", "tidegate"),
    ("kafka", "tidegate"),
    ("kafka flushed", "tidegate"),
    ("toy os", "tidegate os"),
    ("kafka", "tidegate os"),
];

/// One figure of a measurement.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// What it is of, behind the name of what is measured.
    pub of: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// Whether ours is compared with the baselines'.
    pub compared: bool,
    /// What ours by a baseline's should be, by the baseline's name; from the design. Ours that is
    /// made durable is meant.
    pub budgets: &'static [(&'static str, &'static str)],
}

impl Metric {
    /// One that is compared, without a budget.
    #[must_use]
    pub const fn new(of: &'static str, unit: &'static str) -> Metric {
        Metric { of, unit, compared: true, budgets: &[] }
    }

    /// The same with budgets.
    #[must_use]
    pub const fn with_budgets(self, budgets: &'static [(&'static str, &'static str)]) -> Metric {
        Metric { budgets, ..self }
    }

    /// The same, not compared.
    #[must_use]
    pub const fn alone(self) -> Metric {
        Metric { compared: false, ..self }
    }
}

/// One figure of all sides.
#[derive(Clone, Debug)]
struct Line {
    what: String,
    unit: &'static str,
    /// One value a round.
    values: BTreeMap<&'static str, Vec<f64>>,
}

/// All of a run.
#[derive(Debug, Default)]
pub struct Results {
    lines: Vec<Line>,
    comparisons: Table,
}

impl Results {
    /// Lets all sides have their turns, as many as there are rounds, one after the other: so that
    /// what disturbs the machine disturbs all alike.
    ///
    /// # Errors
    /// If a turn fails.
    pub fn take_turns<const N: usize>(
        &mut self,
        bench: &Bench,
        what: &str,
        metrics: [Metric; N],
        sides: &[&'static Side],
        mut turn: impl FnMut(&'static Side, &Broker) -> Result<[f64; N], Failure>,
    ) -> Result<(), Failure> {
        if !bench.setup.wants(what) {
            return Ok(());
        }
        let mut all = vec![BTreeMap::<_, Vec<f64>>::new(); N];
        for _ in 0..bench.setup.rounds {
            for side in sides {
                bench.go_on()?;
                let figures = turn(side, bench.broker(side.kind)?)
                    .map_err(|error| format!("{what}, {}: {}", side.name, chain(&*error)))?;
                for (values, figure) in all.iter_mut().zip(figures) {
                    values.entry(side.name).or_default().push(figure);
                }
            }
        }
        for (metric, values) in metrics.iter().zip(all) {
            self.add(what, metric, values);
        }
        Ok(())
    }

    /// Adds figures that were taken otherwise.
    pub fn add(&mut self, what: &str, metric: &Metric, values: BTreeMap<&'static str, Vec<f64>>) {
        let what = format!("{what}{}", metric.of);
        let mut told = String::new();
        for (side, values) in in_order(&values) {
            _ = write!(told, " {side} {}", short(median(values)));
        }
        eprintln!("{what}:{told} {}", metric.unit);
        for (baseline, ours) in PAIRS.into_iter().filter(|_| metric.compared) {
            let (Some(b), Some(o)) = (values.get(baseline), values.get(ours)) else { continue };
            let budget =
                metric.budgets.iter().find(|(of, _)| *of == baseline && ours == "tidegate");
            self.comparisons.add(Row {
                what: format!("{what}, {ours} beside {baseline}"),
                unit: metric.unit,
                baseline: b.clone(),
                ours: o.clone(),
                budget: budget.map_or("", |(_, budget)| budget),
                difference: false,
            });
        }
        self.lines.push(Line { what, unit: metric.unit, values });
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let shown: Vec<_> = SIDES
            .iter()
            .map(|side| side.name)
            .filter(|name| self.lines.iter().any(|line| line.values.contains_key(name)))
            .collect();
        let widths = self.lines.iter().map(|line| line.what.chars().count());
        let wide = widths.max().unwrap_or(0);
        let mut text = format!("{:<wide$}", "medians");
        for name in &shown {
            _ = write!(text, " {name:>13}");
        }
        text.push_str("  unit\n");
        for line in &self.lines {
            _ = write!(text, "{:<wide$}", line.what);
            for name in &shown {
                let value = line.values.get(name).map_or("-".to_owned(), |v| short(median(v)));
                _ = write!(text, " {value:>13}");
            }
            _ = writeln!(text, "  {}", line.unit);
        }
        let comparisons = self.comparisons.text();
        // Its first line is its head.
        if comparisons.lines().count() > 1 {
            _ = write!(text, "\n{comparisons}");
        }
        text
    }

    /// For programs.
    ///
    /// # Errors
    /// If the comparisons are no JSON.
    pub fn json(&self) -> Result<String, Failure> {
        let lines = self.lines.iter().map(|line| {
            let sides =
                in_order(&line.values).map(|(side, values)| (side.to_owned(), json!(values)));
            let values: serde_json::Map<_, _> = sides.collect();
            json!({ "what": line.what, "unit": line.unit, "values": values })
        });
        let comparisons: Value = serde_json::from_str(&self.comparisons.json())?;
        let figures: Vec<_> = lines.collect();
        Ok(format!("{:#}\n", json!({ "figures": figures, "comparisons": comparisons })))
    }
}

/// As the sides are shown.
fn in_order<'a>(
    values: &'a BTreeMap<&'static str, Vec<f64>>,
) -> impl Iterator<Item = (&'static str, &'a [f64])> {
    SIDES.iter().filter_map(|side| Some((side.name, values.get(side.name)?.as_slice())))
}

/// With as many digits as say something.
fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 1_000.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

/// An error with its causes.
fn chain(error: &(dyn std::error::Error + Send + Sync + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(values: &[(&'static str, f64)]) -> BTreeMap<&'static str, Vec<f64>> {
        values.iter().map(|(side, value)| (*side, vec![*value])).collect()
    }

    #[test]
    fn sides_stand_beside_each_other_and_ours_beside_each_baseline() {
        let mut results = Results::default();
        let metric =
            Metric::new("", "records/s").with_budgets(&[("toy", ">= 0.60"), ("kafka", ">= 3")]);
        let values = figures(&[("toy", 100.0), ("kafka", 20.0), ("tidegate", 80.0)]);
        results.add("60 KB", &metric, values);
        results.add("only the toy", &Metric::new("", "us"), figures(&[("toy", 5.0)]));
        let text = results.text();
        let lines: Vec<Vec<_>> = text.lines().map(|l| l.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["medians", "toy", "kafka", "tidegate", "unit"]);
        assert_eq!(lines[1], ["60", "KB", "100.0", "20.0", "80.0", "records/s"]);
        assert_eq!(lines[2], ["only", "the", "toy", "5.000", "-", "-", "us"]);
        assert!(text.contains("tidegate beside toy") && text.contains("x  0.80"), "{text}");
        assert!(text.contains("tidegate beside kafka") && text.contains(">= 3"), "{text}");
        let json: Value = serde_json::from_str(&results.json().unwrap()).unwrap();
        assert_eq!(json["figures"][0]["values"]["kafka"], json!([20.0]));
        assert_eq!(json["comparisons"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn without_tidegate_there_is_nothing_to_compare() {
        let mut results = Results::default();
        results.add("60 KB", &Metric::new("", "records/s"), figures(&[("toy", 1.0)]));
        assert_eq!(results.text().lines().count(), 2);
    }
}
