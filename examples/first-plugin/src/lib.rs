//! A plugin in 20 lines: Celsius in, Fahrenheit out.
//!
//! ```text
//! cargo build --release --target wasm32-wasip2 -p first-plugin
//! tidegate plugin install fahrenheit target/wasm32-wasip2/release/first_plugin.wasm
//! tidegate topic create weather
//! tidegate plugin attach weather fahrenheit
//! echo 21.5 | tidegate produce weather
//! tidegate consume weather -e
//! ```

use tidegate_plugin_sdk::prelude::*;

/// Turns each value, a number in degrees Celsius, into degrees Fahrenheit.
pub struct Fahrenheit;

impl Transform for Fahrenheit {
    type Config = NoConfig;

    fn configure(_: NoConfig) -> Result<Fahrenheit, String> {
        Ok(Fahrenheit)
    }

    fn apply(&mut self, record: &Record<'_>, out: &mut Output<'_>) -> Result<(), Failure> {
        let celsius = record.value_str()?.trim().parse::<f64>();
        let celsius = celsius.map_err(|_| Failure::record("value is no number"))?;
        out.replace_value(format!("{:.1}", celsius * 1.8 + 32.0).as_bytes());
        Ok(())
    }
}

export_transform!(Fahrenheit);

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_plugin_sdk::testing::{Input, Tester};

    #[test]
    fn celsius_becomes_fahrenheit() {
        let mut tester = Tester::<Fahrenheit>::transform("{}").unwrap();
        assert_eq!(tester.apply_one(&Input::value("21.5")).unwrap()[0].text(), "70.7");
        assert_eq!(tester.apply_one(&Input::value("-40")).unwrap()[0].text(), "-40.0");
        assert_eq!(tester.apply_one(&Input::value("warm")).unwrap_err(), "value is no number");
    }
}
