//! A CSV file: which column holds numbers, and which of them are out of the ordinary.

use std::sync::Arc;

/// Lines looked at to find the delimiter and the column.
const SAMPLE: usize = 1_000;

/// Why lines are no table with numbers.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// There is nothing below a heading.
    #[error("it needs two lines at least")]
    Short,
    /// No column holds numbers.
    #[error("no column holds numbers and nothing else")]
    NoNumbers,
}

/// How the lines of a table are read.
#[derive(Clone, PartialEq, Debug)]
pub struct Table {
    /// Whether the first line names the columns.
    pub has_heading: bool,
    delimiter: u8,
    column: usize,
    name: String,
    /// The band as the plugin is given it, and as it reads it.
    low: (String, f64),
    high: (String, f64),
}

impl Table {
    /// Finds out how these lines are to be read.
    ///
    /// # Errors
    /// If there is no column of numbers.
    pub fn of(lines: &[Arc<[u8]>]) -> Result<Table, TableError> {
        let [first, rest @ ..] = lines else { return Err(TableError::Short) };
        if rest.is_empty() {
            return Err(TableError::Short);
        }
        let delimiter = [b',', b';', b'\t', b'|']
            .into_iter()
            .max_by_key(|delimiter| (cells(first, *delimiter).count(), *delimiter == b','))
            .unwrap_or(b',');
        let column = last_numeric_column(rest, delimiter).ok_or(TableError::NoNumbers)?;
        let has_heading = number(first, column, delimiter).is_none();
        let name = if has_heading {
            let cell = cells(first, delimiter).nth(column).unwrap_or_default();
            String::from_utf8_lossy(cell).into_owned()
        } else {
            format!("column {}", column + 1)
        };
        let data = if has_heading { rest } else { lines };
        let (low, high) = band(data.iter().filter_map(|line| number(line, column, delimiter)));
        Ok(Table { has_heading, delimiter, column, name, low, high })
    }

    /// Whether the line's number lies outside the band; a line without one does not.
    pub fn is_outside(&self, line: &[u8]) -> bool {
        number(line, self.column, self.delimiter)
            .is_some_and(|number| number < self.low.1 || number > self.high.1)
    }

    /// What the plugin is told.
    pub fn threshold_config(&self) -> String {
        let delimiter = if self.delimiter == b'\t' {
            "\\t".to_owned()
        } else {
            char::from(self.delimiter).to_string()
        };
        format!(
            "{{\"format\":\"csv\",\"column\":{},\"delimiter\":\"{delimiter}\",\"low\":{},\"high\":{}}}",
            self.column, self.low.0, self.high.0
        )
    }

    /// What is sent on, for the report.
    pub fn told(&self) -> String {
        format!("what of {} lies outside {} to {}", self.name, self.low.0, self.high.0)
    }
}

/// The last column in which every cell of the sample that is not empty is a number.
fn last_numeric_column(lines: &[Arc<[u8]>], delimiter: u8) -> Option<usize> {
    // Numbers in each column, and whether something else was found there.
    let mut columns: Vec<(usize, bool)> = Vec::new();
    for line in lines.iter().take(SAMPLE) {
        for (i, cell) in cells(line, delimiter).enumerate() {
            if columns.len() <= i {
                columns.push((0, false));
            }
            match parse(cell) {
                Some(_) => columns[i].0 += 1,
                None => columns[i].1 |= !cell.is_empty(),
            }
        }
    }
    columns.iter().rposition(|(numbers, others)| *numbers > 0 && !others)
}

/// Mean, less and more one standard deviation, with few digits, so that text and number agree
/// wherever they are read.
fn band(numbers: impl Iterator<Item = f64>) -> ((String, f64), (String, f64)) {
    // Welford's way, which stays exact where numbers are large and close together.
    let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
    for number in numbers {
        count += 1.0;
        let delta = number - mean;
        mean += delta / count;
        squares += delta * (number - mean);
    }
    let deviation = if count > 0.0 { f64::sqrt(squares / count) } else { 0.0 };
    let digits = if deviation > 0.0 { 2.0 - deviation.log10().floor() } else { 6.0 };
    let digits = digits.clamp(0.0, 12.0) as usize;
    let edge = |edge: f64| {
        let text = format!("{edge:.digits$}");
        let number = text.parse().unwrap_or(edge);
        (text, number)
    };
    (edge(mean - deviation), edge(mean + deviation))
}

fn number(line: &[u8], column: usize, delimiter: u8) -> Option<f64> {
    parse(cells(line, delimiter).nth(column)?)
}

fn parse(cell: &[u8]) -> Option<f64> {
    str::from_utf8(cell).ok()?.parse().ok().filter(|number: &f64| number.is_finite())
}

/// The cells of a line, without blanks and quotes around them.
fn cells(line: &[u8], delimiter: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let mut quoted = false;
        let end = line.iter().position(|byte| {
            quoted ^= *byte == b'"';
            *byte == delimiter && !quoted
        });
        let cell = &line[..end.unwrap_or(line.len())];
        rest = end.map(|end| &line[end + 1..]);
        let cell = cell.trim_ascii();
        let bare = cell.strip_prefix(b"\"").and_then(|cell| cell.strip_suffix(b"\""));
        Some(bare.unwrap_or(cell).trim_ascii())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Result<Table, TableError> {
        let lines: Vec<Arc<[u8]>> = text.lines().map(|line| line.as_bytes().into()).collect();
        Table::of(&lines)
    }

    #[test]
    fn the_last_column_of_numbers_is_found() {
        let t = table("id,temp,where,ok\n1,20.5,\"a, b\",yes\n2,,c,no\n3,21,d,yes").unwrap();
        assert_eq!((t.delimiter, t.column, t.name.as_str()), (b',', 1, "temp"));
        assert!(t.has_heading);
        let t = table("1;2\n3;4\n5;100").unwrap();
        assert_eq!((t.delimiter, t.column, t.has_heading), (b';', 1, false));
        let t = table("a\tb\n1\tx\n2\ty").unwrap();
        assert_eq!((t.delimiter, t.column), (b'\t', 0));
        assert_eq!(table("a,b\nx,y"), Err(TableError::NoNumbers));
        assert_eq!(table("1,2"), Err(TableError::Short));
    }

    #[test]
    fn the_band_is_one_deviation_to_both_sides() {
        // Mean 5, deviation 2: the textbook's example.
        let t = table("v\n2\n4\n4\n4\n5\n5\n7\n9").unwrap();
        assert_eq!((t.low.1, t.high.1), (3.0, 7.0));
        for (line, outside) in
            [("2", true), ("3", false), ("7", false), ("7.01", true), ("", false), ("x", false)]
        {
            assert_eq!(t.is_outside(line.as_bytes()), outside, "{line:?}");
        }
        assert_eq!(
            t.threshold_config(),
            r#"{"format":"csv","column":0,"delimiter":",","low":3.00,"high":7.00}"#
        );
    }

    #[test]
    fn edges_read_the_same_as_text_and_as_number() {
        for numbers in [[1e-9, 2e-9, 3e-9], [1e12, 1e12 + 1.0, 1e12 + 7.0], [-0.5, -0.5, -0.5]] {
            let (low, high) = band(numbers.into_iter());
            for (text, number) in [low, high] {
                assert_eq!(text.parse::<f64>().unwrap(), number);
                let json: f64 = serde_json::from_str(&text).unwrap();
                assert_eq!(json, number, "{text}");
            }
        }
    }

    #[test]
    fn quotes_hold_delimiters() {
        let cells: Vec<_> = cells(b"a, \"b,c\" ,,\" 1 \"", b',').collect();
        assert_eq!(cells, [&b"a"[..], b"b,c", b"", b"1"]);
    }
}
