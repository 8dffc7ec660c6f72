//! Results: two sides, their medians, the ratio.

use std::fmt::Write;

/// One comparison.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// Its unit.
    pub unit: &'static str,
    /// The baseline's figures, one a round.
    pub baseline: Vec<f64>,
    /// Ours.
    pub ours: Vec<f64>,
    /// What the ratio, or the difference, should be; from the design.
    pub budget: &'static str,
    /// Tell the difference instead of the ratio.
    pub difference: bool,
}

/// All comparisons of a run.
#[derive(Default, Debug)]
pub struct Table {
    rows: Vec<Row>,
}

/// The middle value; 0 of none.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

impl Row {
    /// Ours by the baseline's, or less it, at the median over rounds.
    #[must_use]
    pub fn verdict(&self) -> f64 {
        let pairs = self.baseline.iter().zip(&self.ours);
        let each: Vec<f64> =
            pairs.map(|(b, o)| if self.difference { o - b } else { o / b }).collect();
        median(&each)
    }
}

impl Table {
    /// Adds a comparison and tells it on stderr, since a run takes minutes.
    pub fn add(&mut self, row: Row) {
        eprintln!("{}: {:.3}", row.what, row.verdict());
        self.rows.push(row);
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!(
            "{:<52} {:>12} {:>12} {:>10}  {:<10} {}\n",
            "what", "baseline", "tidegate", "verdict", "unit", "budget"
        );
        for row in &self.rows {
            let sign = if row.difference { "+" } else { "x" };
            _ = writeln!(
                text,
                "{:<52} {:>12.1} {:>12.1} {sign:>4}{:>6.2}  {:<10} {}",
                row.what,
                median(&row.baseline),
                median(&row.ours),
                row.verdict(),
                row.unit,
                row.budget
            );
        }
        text
    }

    /// For programs.
    #[must_use]
    pub fn json(&self) -> String {
        let rows: Vec<_> = self
            .rows
            .iter()
            .map(|row| {
                serde_json::json!({
                    "what": row.what,
                    "unit": row.unit,
                    "baseline": row.baseline,
                    "tidegate": row.ours,
                    "verdict": row.verdict(),
                    "verdict_is": if row.difference { "difference" } else { "ratio" },
                    "budget": row.budget,
                })
            })
            .collect();
        format!("{:#}\n", serde_json::Value::Array(rows))
    }
}
