//! `aggregate`, a transform: averages, counts and sums a number over windows of time, per key.
//!
//! A site that measures each second needs its region to know the minute.
//!
//! # Hook
//! `derive`: it needs a state, and its output is another topic's. At other hooks its batches fail.
//!
//! # Configuration
//!
//! ```json
//! {"field": "sensor.value", "window": {"tumbling": "1m"}, "values": ["average", "max"]}
//! ```
//! ```json
//! {"field": "watts", "by": {"field": "meter"}, "window": {"hopping": {"size": "15m", "every": "5m"}},
//!  "grace": "30s", "values": ["sum", "count"]}
//! ```
//!
//! | setting | meaning | default |
//! | --- | --- | --- |
//! | `format` | what a value is: `json`, `csv`, or `text` that is nothing but the number | `json` |
//! | `field` | json: dotted path to the number (`a\.b` for a name with a dot) | the whole value |
//! | `column` | csv: which column, from 0 | required |
//! | `delimiter` | csv: one ASCII character | `,` |
//! | `by` | what is gathered apart: `"key"`, or `{"field": "meter"}`; a null key is one too | `"key"` |
//! | `window` | `{"tumbling": "1m"}`: side by side, counted from 1970 in UTC; `{"hopping": {"size": "15m", "every": "5m"}}`: they overlap; `{"session": "10m"}`: as long as records come closer than that | required |
//! | `grace` | how long after its end a window stays open for late records | `0s` |
//! | `late` | a record whose windows are closed: `drop` or `fail` it | `drop` |
//! | `values` | of `count`, `sum`, `average`, `min`, `max`, `first`, `last` | `["count", "average", "min", "max"]` |
//!
//! # What is put out
//! One record for each window that closes; the records gathered are not put out. Its key is that of
//! `by`, its timestamp the window's last millisecond, its value
//!
//! ```json
//! {"start": 1700000040000, "end": 1700000100000, "count": 60, "average": 21.5}
//! ```
//!
//! with the start in milliseconds since 1970, the end (exclusive) likewise, and the values in the
//! order in which they were asked for. `first` and `last` go by the records' timestamps. A sum too
//! large for a number is null, and so is its average.
//!
//! Time is that of the records: a window closes when a record of its partition, of any key, comes
//! at or past its end and grace. A stream that pauses closes nothing, and **one record from the far
//! future closes all that is open**: mind devices with wrong clocks.
//!
//! Counted as `late` and `windows`.
//!
//! # Bad input
//! A record without a timestamp, without a finite number in its place, or without the field of `by`
//! fails, with the reason, and changes nothing.

mod config;
mod gathered;
#[cfg(test)]
mod tests;

use tidegate_plugin_sdk::number::Source;
use tidegate_plugin_sdk::prelude::*;
use tidegate_plugin_sdk::window::{Added, Window, Windows};

use config::{Config, Late};
use gathered::{Gathered, Stat};

/// The plugin.
pub struct Aggregate {
    source: Source,
    by: By,
    windows: Windows,
    late: Late,
    stats: Vec<Stat>,
    /// The value at hand, kept so that it is allocated once.
    value: Vec<u8>,
}

impl Transform for Aggregate {
    type Config = Config;

    fn configure(config: Config) -> Result<Aggregate, String> {
        config.aggregate()
    }

    fn needs(&self) -> Columns {
        Columns::VALUES | Columns::TIMESTAMPS | self.by.needs()
    }

    fn apply(&mut self, record: &Record<'_>, out: &mut Output<'_>) -> Result<(), Failure> {
        let number = self.source.number(record)?;
        let at = record.timestamp().ok_or("a record without a timestamp")?;
        let group = self.by.identity(record)?;
        let Aggregate { windows, stats, value, .. } = self;
        let mut closed = 0;
        let mut close = |window: &Window, gathered: Gathered| {
            closed += 1;
            value.clear();
            gathered.write(value, window, stats);
            out.emit(
                Emit::input()
                    .key(By::from_identity(&window.key))
                    .value(value)
                    .headers(&[])
                    .timestamp(window.end.saturating_sub(1)),
            );
        };
        let update = |gathered: &mut Gathered| gathered.take(number, at);
        let added = windows.add(&group, at, update, &mut close)?;
        if closed > 0 {
            count("windows", closed);
        }
        if added == Added::Late {
            count("late", 1);
            // A late record closes nothing, so that nothing is lost with it.
            if self.late == Late::Fail {
                return Err("a late record: its windows are closed".into());
            }
        }
        Ok(())
    }
}

export_transform!(Aggregate);
