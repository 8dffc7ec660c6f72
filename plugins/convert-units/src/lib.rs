//! `convert-units`, a transform: converts number fields of a JSON value to other units.
//!
//! # Hook
//! Any.
//!
//! # Configuration
//!
//! ```json
//! {"fields": [
//!   {"field": "temp", "from": "F", "to": "C", "decimals": 1},
//!   {"field": "pump.pressure", "from": "psi", "to": "bar", "into": "pump.pressure_bar"},
//!   {"field": "raw", "scale": 0.1, "offset": -40, "into": "level"}
//! ]}
//! ```
//!
//! `{"temp":98.6,"pump":{"pressure":30},"raw":700}` becomes
//! `{"temp":37,"pump":{"pressure":30,"pressure_bar":2.0684271879505083},"raw":700,"level":30}`.
//!
//! | setting | meaning | default |
//! | --- | --- | --- |
//! | `fields` | the conversions, in order; at least one | required |
//! | `fields[].field` | dotted path to the number (`a\.b` for a name with a dot) | required |
//! | `fields[].from`, `to` | units of one quantity, of the table below | |
//! | `fields[].scale`, `offset` | instead: the number times `scale`, plus `offset` | 1, 0 |
//! | `fields[].into` | dotted path to where the result goes; its object must exist | the field itself |
//! | `fields[].decimals` | rounds to so many digits behind the point, 0 to 12 | all |
//! | `missing` | a field that is not there or null: `keep` the record without that conversion, or `fail` it | `keep` |
//!
//! Every other byte of the value stays, and where no field is there, all of it.
//!
//! # Units
//! | quantity | units |
//! | --- | --- |
//! | temperature | `C` `F` `K` `R` |
//! | pressure | `Pa` `hPa` `kPa` `MPa` `mbar` `bar` `atm` `psi` `mmHg` `inHg` |
//! | length | `mm` `cm` `m` `km` `in` `ft` `yd` `mi` `nmi` |
//! | area | `mm2` `cm2` `m2` `ha` `km2` `ft2` `acre` |
//! | volume | `ml` `l` `m3` `ft3` `gal` (of the US) |
//! | speed | `m/s` `km/h` `mph` `kn` `ft/s` |
//! | flow | `l/s` `l/min` `m3/h` `gal/min` |
//! | mass | `mg` `g` `kg` `t` `oz` `lb` |
//! | energy | `J` `kJ` `MJ` `Wh` `kWh` `MWh` `cal` `kcal` `BTU` |
//! | power | `mW` `W` `kW` `MW` `hp` |
//! | time | `us` `ms` `s` `min` `h` `d` |
//! | angle | `deg` `rad` |
//! | frequency | `Hz` `kHz` `MHz` `rpm` |
//! | voltage, current | `mV` `V` `kV`, `mA` `A` |
//! | data | `B` `kB` `MB` `GB` `KiB` `MiB` `GiB` |
//!
//! # Bad input
//! A field that is there and no finite number, a result that is none, and a value that is no JSON
//! fail the record, with the reason.

mod config;
#[cfg(test)]
mod tests;
mod units;

use std::borrow::Cow;

use tidegate_plugin_sdk::json;
use tidegate_plugin_sdk::prelude::*;

use config::{Config, Conversion, Missing};

/// The plugin.
pub struct ConvertUnits {
    conversions: Vec<Conversion>,
    missing: Missing,
    /// The number at hand as text, kept so that it is allocated once.
    text: Vec<u8>,
}

impl Transform for ConvertUnits {
    type Config = Config;

    fn configure(config: Config) -> Result<ConvertUnits, String> {
        let (conversions, missing) = config.conversions()?;
        Ok(ConvertUnits { conversions, missing, text: Vec::new() })
    }

    fn apply(&mut self, record: &Record<'_>, out: &mut Output<'_>) -> Result<(), Failure> {
        let mut value = Cow::Borrowed(record.bytes()?);
        for conversion in &self.conversions {
            let path = &conversion.field;
            let not_json = |e| Failure::record(format!("value is not JSON: {e}"));
            let raw = match json::field(&value, path).map_err(not_json)? {
                Some(raw) if raw != b"null" => raw,
                _ if self.missing == Missing::Keep => continue,
                _ => return Err(format!("field `{path}` is missing").into()),
            };
            let number = json::number(raw)
                .ok_or_else(|| Failure::record(format!("field `{path}` is no finite number")))?;
            let converted = conversion.apply(number);
            if !converted.is_finite() {
                return Err(format!("field `{path}` is too large to be converted").into());
            }
            self.text.clear();
            json::write_number(&mut self.text, converted);
            let into = &conversion.into;
            value = json::splice_field(&value, into, &self.text)
                .map_err(|e| Failure::record(format!("`{into}` cannot be put in: {e}")))?
                .into();
        }
        match value {
            Cow::Borrowed(_) => out.keep(),
            Cow::Owned(value) => out.replace_value(&value),
        }
        Ok(())
    }
}

export_transform!(ConvertUnits);
