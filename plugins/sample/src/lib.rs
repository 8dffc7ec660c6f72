//! `sample`, a filter: keeps every nth record, or a fraction of them.
//!
//! It keeps no state: what is kept follows from the batch's seed or from the record itself, so that
//! a producer's retry keeps the same records.
//!
//! # Hook
//! Any.
//!
//! # Configuration
//!
//! ```json
//! {"every": 10}
//! ```
//! ```json
//! {"fraction": 0.05, "by": "key"}
//! ```
//!
//! | setting | meaning | default |
//! | --- | --- | --- |
//! | `every` | keeps one record in so many. Within a batch they are evenly apart; where in a batch the first lies follows from its seed, so that batches of one record are sampled too | |
//! | `fraction` | keeps each record with this probability, above 0 and below 1 | |
//! | `by` | for `fraction`: by the hash of `"key"`, `"value"` or `{"field": "trace.id"}`: all records that share it are kept or dropped together, at every node | by the seed |
//! | `salt` | for `by`: a number that makes the choice another one than that of another sampler | 0 |
//!
//! One of `every` and `fraction` must be set.
//!
//! # Bad input
//! Only `by` a field looks into values: where it is missing, or the value is no JSON, the record
//! fails. A null key or value counts as one like any other.

#[cfg(test)]
mod tests;

use serde::Deserialize;
use tidegate_plugin_sdk::murmur3;
use tidegate_plugin_sdk::prelude::*;

/// The configuration; see the crate's page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    every: Option<u64>,
    fraction: Option<f64>,
    by: Option<By>,
    salt: Option<u64>,
}

/// The plugin.
pub struct Sample {
    way: Way,
}

enum Way {
    Every(u64),
    /// Keeps what draws less, of all 64-bit numbers.
    Random(u64),
    Hash {
        by: By,
        salt: u64,
        below: u64,
    },
}

impl Config {
    fn way(self) -> Result<Way, String> {
        let by = match (self.by, self.salt) {
            (None, Some(_)) => return Err("`salt` is for `by` only".into()),
            (by, salt) => by.map(|by| (by, salt.unwrap_or(0))),
        };
        match (self.every, self.fraction) {
            (Some(0), None) => Err("`every` is at least 1".into()),
            (Some(_), None) if by.is_some() => Err("`by` is for `fraction` only".into()),
            (Some(every), None) => Ok(Way::Every(every)),
            (None, Some(fraction)) if fraction > 0.0 && fraction < 1.0 => {
                // All 64-bit numbers are 2^64; the product stays below it.
                let below = (fraction * 2_f64.powi(64)) as u64;
                Ok(by.map_or(Way::Random(below), |(by, salt)| Way::Hash { by, salt, below }))
            }
            (None, Some(fraction)) => Err(format!("`fraction` {fraction} is not between 0 and 1")),
            (None, None) => Err("give `every` or `fraction`".into()),
            (Some(_), Some(_)) => Err("give `every` or `fraction`, not both".into()),
        }
    }
}

impl Filter for Sample {
    type Config = Config;

    fn configure(config: Config) -> Result<Sample, String> {
        Ok(Sample { way: config.way()? })
    }

    fn needs(&self) -> Columns {
        match &self.way {
            Way::Every(_) | Way::Random(_) => Columns::empty(),
            Way::Hash { by, .. } => by.needs(),
        }
    }

    fn keep(&mut self, record: &Record<'_>) -> Result<bool, Failure> {
        Ok(match &self.way {
            Way::Every(every) => {
                let first = record.batch_random() % every;
                u64::from(record.index()) % every == first
            }
            Way::Random(below) => record.random() < *below,
            Way::Hash { by, salt, below } => {
                let mut text = by.identity(record)?;
                text.extend_from_slice(&salt.to_le_bytes());
                ((murmur3(&text) >> 64) as u64) < *below
            }
        })
    }
}

export_filter!(Sample);
