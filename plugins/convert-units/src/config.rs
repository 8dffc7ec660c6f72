//! The configuration, as written and as checked.

use serde::Deserialize;
use tidegate_plugin_sdk::json::Path;

use crate::units;

const MAX_DECIMALS: u32 = 12;

/// The configuration as written; see the crate's page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    fields: Vec<Field>,
    #[serde(default)]
    missing: Missing,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Field {
    field: Path,
    from: Option<String>,
    to: Option<String>,
    scale: Option<f64>,
    offset: Option<f64>,
    into: Option<Path>,
    decimals: Option<u32>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Default)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Missing {
    #[default]
    Keep,
    Fail,
}

/// One field's way from unit to unit.
pub(crate) struct Conversion {
    pub(crate) field: Path,
    pub(crate) into: Path,
    scale: f64,
    offset: f64,
    /// Ten to the power of the decimals that are kept.
    round: Option<f64>,
}

impl Conversion {
    pub(crate) fn apply(&self, number: f64) -> f64 {
        let converted = number * self.scale + self.offset;
        match self.round {
            // What is too large for it has no decimals to round.
            Some(round) if (converted * round).is_finite() => (converted * round).round() / round,
            _ => converted,
        }
    }
}

impl Config {
    pub(crate) fn conversions(self) -> Result<(Vec<Conversion>, Missing), String> {
        if self.fields.is_empty() {
            return Err("`fields` is empty: nothing would be converted".into());
        }
        let conversions: Result<_, _> = self.fields.into_iter().map(Field::conversion).collect();
        Ok((conversions?, self.missing))
    }
}

impl Field {
    fn conversion(self) -> Result<Conversion, String> {
        let field = &self.field;
        let custom = self.scale.is_some() || self.offset.is_some();
        let (scale, offset) = match (&self.from, &self.to) {
            (Some(from), Some(to)) if !custom => {
                units::conversion(from, to).map_err(|e| format!("field `{field}`: {e}"))?
            }
            (None, None) if custom => (self.scale.unwrap_or(1.0), self.offset.unwrap_or(0.0)),
            (None, None) => {
                return Err(format!(
                    "field `{field}` needs `from` and `to`, or `scale` or `offset`"
                ));
            }
            _ if custom => {
                return Err(format!("field `{field}` has units and `scale` or `offset`: give one"));
            }
            _ => return Err(format!("field `{field}` needs both `from` and `to`")),
        };
        let round = match self.decimals {
            Some(decimals @ 0..=MAX_DECIMALS) => Some(10_f64.powi(decimals.cast_signed())),
            Some(_) => {
                return Err(format!("field `{field}`: `decimals` is at most {MAX_DECIMALS}"));
            }
            None => None,
        };
        let into = self.into.unwrap_or_else(|| field.clone());
        Ok(Conversion { field: self.field, into, scale, offset, round })
    }
}
