//! What is gathered over a window.

use serde::{Deserialize, Serialize};
use tidegate_plugin_sdk::json;
use tidegate_plugin_sdk::window::{Merge, Window};

/// What may be asked for.
#[derive(Deserialize, Clone, Copy, PartialEq, Debug)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stat {
    Count,
    Sum,
    Average,
    Min,
    Max,
    First,
    Last,
}

impl Stat {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Stat::Count => "count",
            Stat::Sum => "sum",
            Stat::Average => "average",
            Stat::Min => "min",
            Stat::Max => "max",
            Stat::First => "first",
            Stat::Last => "last",
        }
    }
}

/// All of it: numbers of the state are small, and the choice may change.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Debug)]
pub(crate) struct Gathered {
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
    first: (i64, f64),
    last: (i64, f64),
}

impl Default for Gathered {
    fn default() -> Gathered {
        Gathered {
            count: 0,
            sum: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            first: (i64::MAX, f64::NAN),
            last: (i64::MIN, f64::NAN),
        }
    }
}

impl Merge for Gathered {
    fn merge(&mut self, later: Gathered) {
        self.count += later.count;
        self.sum += later.sum;
        self.min = self.min.min(later.min);
        self.max = self.max.max(later.max);
        // Of one time, the record that came first is the first, and the other the last.
        if later.first.0 < self.first.0 {
            self.first = later.first;
        }
        if later.last.0 >= self.last.0 {
            self.last = later.last;
        }
    }
}

impl Gathered {
    pub(crate) fn take(&mut self, number: f64, at: i64) {
        let one = (at, number);
        let record =
            Gathered { count: 1, sum: number, min: number, max: number, first: one, last: one };
        self.merge(record);
    }

    /// Appends the value of the window's record.
    pub(crate) fn write(&self, out: &mut Vec<u8>, window: &Window, stats: &[Stat]) {
        out.extend_from_slice(
            format!(r#"{{"start":{},"end":{}"#, window.start, window.end).as_bytes(),
        );
        for stat in stats {
            out.push(b',');
            json::write_string(out, stat.name());
            out.push(b':');
            let number = match stat {
                Stat::Count => {
                    out.extend_from_slice(self.count.to_string().as_bytes());
                    continue;
                }
                Stat::Sum => self.sum,
                Stat::Average => self.sum / self.count as f64,
                Stat::Min => self.min,
                Stat::Max => self.max,
                Stat::First => self.first.1,
                Stat::Last => self.last.1,
            };
            json::write_number(out, number);
        }
        out.push(b'}');
    }
}
