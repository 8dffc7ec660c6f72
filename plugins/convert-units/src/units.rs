//! The units, each by its way to the base unit of its quantity: times `scale`, plus `offset`.

/// A quantity and its units.
type Quantity = (&'static str, &'static [(&'static str, f64)]);

const FOOT: f64 = 0.304_8;
const INCH: f64 = 0.025_4;
const MILE: f64 = 1_609.344;
const POUND: f64 = 0.453_592_37;
const GALLON: f64 = 3.785_411_784e-3;
const PSI: f64 = 6_894.757_293_168_361;

const SCALED: [Quantity; 15] = [
    (
        "pressure",
        &[
            ("Pa", 1.0),
            ("hPa", 100.0),
            ("kPa", 1e3),
            ("MPa", 1e6),
            ("mbar", 100.0),
            ("bar", 1e5),
            ("atm", 101_325.0),
            ("psi", PSI),
            ("mmHg", 133.322_387_415),
            ("inHg", 3_386.388_640_341),
        ],
    ),
    (
        "length",
        &[
            ("mm", 1e-3),
            ("cm", 1e-2),
            ("m", 1.0),
            ("km", 1e3),
            ("in", INCH),
            ("ft", FOOT),
            ("yd", 3.0 * FOOT),
            ("mi", MILE),
            ("nmi", 1_852.0),
        ],
    ),
    (
        "area",
        &[
            ("mm2", 1e-6),
            ("cm2", 1e-4),
            ("m2", 1.0),
            ("ha", 1e4),
            ("km2", 1e6),
            ("ft2", FOOT * FOOT),
            ("acre", 4_046.856_422_4),
        ],
    ),
    (
        "volume",
        &[("ml", 1e-6), ("l", 1e-3), ("m3", 1.0), ("ft3", FOOT * FOOT * FOOT), ("gal", GALLON)],
    ),
    (
        "speed",
        &[
            ("m/s", 1.0),
            ("km/h", 1.0 / 3.6),
            ("mph", MILE / 3_600.0),
            ("kn", 1_852.0 / 3_600.0),
            ("ft/s", FOOT),
        ],
    ),
    (
        "flow",
        &[
            ("l/s", 1e-3),
            ("l/min", 1e-3 / 60.0),
            ("m3/h", 1.0 / 3_600.0),
            ("gal/min", GALLON / 60.0),
        ],
    ),
    (
        "mass",
        &[("mg", 1e-6), ("g", 1e-3), ("kg", 1.0), ("t", 1e3), ("oz", POUND / 16.0), ("lb", POUND)],
    ),
    (
        "energy",
        &[
            ("J", 1.0),
            ("kJ", 1e3),
            ("MJ", 1e6),
            ("Wh", 3.6e3),
            ("kWh", 3.6e6),
            ("MWh", 3.6e9),
            ("cal", 4.184),
            ("kcal", 4_184.0),
            ("BTU", 1_055.055_852_62),
        ],
    ),
    ("power", &[("mW", 1e-3), ("W", 1.0), ("kW", 1e3), ("MW", 1e6), ("hp", 745.699_871_582_270_2)]),
    ("time", &[("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("min", 60.0), ("h", 3.6e3), ("d", 86.4e3)]),
    ("angle", &[("deg", std::f64::consts::PI / 180.0), ("rad", 1.0)]),
    ("frequency", &[("Hz", 1.0), ("kHz", 1e3), ("MHz", 1e6), ("rpm", 1.0 / 60.0)]),
    ("voltage", &[("mV", 1e-3), ("V", 1.0), ("kV", 1e3)]),
    ("current", &[("mA", 1e-3), ("A", 1.0)]),
    (
        "data",
        &[
            ("B", 1.0),
            ("kB", 1e3),
            ("MB", 1e6),
            ("GB", 1e9),
            ("KiB", 1024.0),
            ("MiB", 1_048_576.0),
            ("GiB", 1_073_741_824.0),
        ],
    ),
];

const KELVIN: f64 = 273.15;
const FAHRENHEIT: f64 = 459.67;
/// To kelvin: plus the offset, then times the scale.
const TEMPERATURES: [(&str, f64, f64); 4] =
    [("C", KELVIN, 1.0), ("F", FAHRENHEIT, 5.0 / 9.0), ("K", 0.0, 1.0), ("R", 0.0, 5.0 / 9.0)];

/// Scale and offset from one unit to another.
pub(crate) fn conversion(from: &str, to: &str) -> Result<(f64, f64), String> {
    let (quantity_from, quantity_to) = (quantity(from)?, quantity(to)?);
    if quantity_from != quantity_to {
        return Err(format!("`{from}` is a unit of {quantity_from}, `{to}` of {quantity_to}"));
    }
    let temperature = |unit| TEMPERATURES.iter().find(|(name, ..)| *name == unit);
    if let (Some((_, offset_from, from)), Some((_, offset_to, to))) =
        (temperature(from), temperature(to))
    {
        let scale = from / to;
        return Ok((scale, offset_from * scale - offset_to));
    }
    let factor = |unit| {
        let units = SCALED.iter().flat_map(|(_, units)| *units);
        units.clone().find(|(name, _)| *name == unit).map_or(1.0, |(_, factor)| *factor)
    };
    Ok((factor(from) / factor(to), 0.0))
}

fn quantity(unit: &str) -> Result<&'static str, String> {
    if TEMPERATURES.iter().any(|(name, ..)| *name == unit) {
        return Ok("temperature");
    }
    let found = SCALED.iter().find(|(_, units)| units.iter().any(|(name, _)| *name == unit));
    found.map(|(quantity, _)| *quantity).ok_or_else(|| {
        let alike: Vec<_> = SCALED
            .iter()
            .flat_map(|(_, units)| *units)
            .map(|(name, _)| *name)
            .chain(TEMPERATURES.iter().map(|(name, ..)| *name))
            .filter(|name| name.eq_ignore_ascii_case(unit))
            .collect();
        match alike.as_slice() {
            [] => format!("`{unit}` is no unit that is known"),
            alike => format!("`{unit}` is no unit that is known; `{}` is", alike.join("`, `")),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_pairs_come_out_as_the_books_say() {
        for (number, from, expected, to) in [
            (212.0, "F", 100.0, "C"),
            (-40.0, "C", -40.0, "F"),
            (0.0, "K", -273.15, "C"),
            (491.67, "R", 32.0, "F"),
            (1.0, "atm", 1_013.25, "hPa"),
            (30.0, "psi", 2.068_427_187_950_508, "bar"),
            (29.921_255_579_7, "inHg", 1_013.25, "mbar"),
            (10.0, "mmHg", 1_333.223_874_15, "Pa"),
            (26.218_757_5, "mi", 42.195, "km"),
            (1.0, "nmi", 1.852, "km"),
            (36.0, "in", 1.0, "yd"),
            (1.0, "acre", 4_046.856_422_4, "m2"),
            (1.0, "gal", 3.785_411_784, "l"),
            (100.0, "km/h", 62.137_119_223_733_4, "mph"),
            (1.0, "kn", 1.852, "km/h"),
            (60.0, "l/min", 3.6, "m3/h"),
            (16.0, "oz", 1.0, "lb"),
            (1.0, "lb", 453.592_37, "g"),
            (1.0, "kWh", 3.6, "MJ"),
            (1.0, "kcal", 4.184, "kJ"),
            (1.0, "BTU", 1.055_055_852_62, "kJ"),
            (1.0, "hp", 745.699_871_582_270_2, "W"),
            (90.0, "min", 1.5, "h"),
            (180.0, "deg", std::f64::consts::PI, "rad"),
            (6_000.0, "rpm", 100.0, "Hz"),
            (230.0, "V", 0.23, "kV"),
            (250.0, "mA", 0.25, "A"),
            (1.0, "GiB", 1_073.741_824, "MB"),
        ] {
            let (scale, offset) = conversion(from, to).unwrap();
            let found = number * scale + offset;
            let near = (found - expected).abs() <= 1e-8 * expected.abs().max(1.0);
            assert!(near, "{number} {from} is {found} {to}, not {expected}");
        }
    }

    #[test]
    fn there_and_back_is_where_it_was() {
        let all = SCALED.iter().map(|(_, units)| units.iter().map(|(name, _)| *name).collect());
        let temperatures = TEMPERATURES.iter().map(|(name, ..)| *name).collect();
        for units in all.chain([temperatures]) {
            let units: Vec<&str> = units;
            for (from, to) in units.iter().flat_map(|from| units.iter().map(move |to| (from, to))) {
                let (there, back) = (conversion(from, to).unwrap(), conversion(to, from).unwrap());
                let found = (12.5 * there.0 + there.1) * back.0 + back.1;
                assert!((found - 12.5).abs() < 1e-9, "{from} to {to} and back: {found}");
            }
        }
    }

    #[test]
    fn names_are_of_one_unit_only() {
        let names = SCALED.iter().flat_map(|(_, units)| *units).map(|(name, _)| *name);
        let mut names: Vec<_> = names.chain(TEMPERATURES.iter().map(|(name, ..)| *name)).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn what_cannot_be_converted_is_said() {
        assert_eq!(
            conversion("C", "bar").unwrap_err(),
            "`C` is a unit of temperature, `bar` of pressure"
        );
        assert_eq!(conversion("furlong", "m").unwrap_err(), "`furlong` is no unit that is known");
        assert!(conversion("mpa", "bar").unwrap_err().ends_with("; `MPa` is"));
    }
}
