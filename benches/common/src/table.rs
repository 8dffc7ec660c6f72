//! Results: two sides, their medians, the ratio and how far it spread.

use std::fmt::Write;

/// One comparison, or a figure that stands alone.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// Its unit.
    pub unit: &'static str,
    /// The baseline's figures, one a round; none if there is nothing to compare with.
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
    /// Ours by the baseline's, or less it, round by round.
    #[must_use]
    pub fn each(&self) -> Vec<f64> {
        let pairs = self.baseline.iter().zip(&self.ours);
        pairs.map(|(b, o)| if self.difference { o - b } else { o / b }).collect()
    }

    /// The median of [`each`](Row::each); `None` without a baseline.
    #[must_use]
    pub fn verdict(&self) -> Option<f64> {
        let each = self.each();
        (!each.is_empty()).then(|| median(&each))
    }

    /// The least and the greatest of what the row is judged by.
    #[must_use]
    pub fn spread(&self) -> (f64, f64) {
        let each = if self.baseline.is_empty() { self.ours.clone() } else { self.each() };
        let least = each.iter().copied().min_by(f64::total_cmp);
        let greatest = each.iter().copied().max_by(f64::total_cmp);
        (least.unwrap_or(0.0), greatest.unwrap_or(0.0))
    }
}

impl Table {
    /// Adds a comparison and tells it on stderr, since a run takes minutes.
    pub fn add(&mut self, row: Row) {
        let shown = row.verdict().unwrap_or_else(|| median(&row.ours));
        eprintln!("{}: {shown:.3}", row.what);
        self.rows.push(row);
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let widths = self.rows.iter().map(|row| row.what.chars().count());
        let wide = widths.max().unwrap_or(0).max(52);
        let mut text = format!(
            "{:<wide$} {:>12} {:>12} {:>10} {:>15}  {:<10} {}\n",
            "what", "baseline", "tidegate", "verdict", "spread", "unit", "budget"
        );
        for row in &self.rows {
            let sign = if row.difference { "+" } else { "x" };
            let (least, greatest) = row.spread();
            let (baseline, verdict) = match row.verdict() {
                Some(verdict) => {
                    (format!("{:.1}", median(&row.baseline)), format!("{sign}{verdict:>6.2}"))
                }
                None => ("-".to_owned(), "-".to_owned()),
            };
            let line = format!(
                "{:<wide$} {baseline:>12} {:>12.1} {verdict:>10} {:>15}  {:<10} {}",
                row.what,
                median(&row.ours),
                format!("{least:.2}..{greatest:.2}"),
                row.unit,
                row.budget
            );
            _ = writeln!(text, "{}", line.trim_end());
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
