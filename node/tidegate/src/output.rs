//! What commands print: a table for people, or JSON for programs.
//!
//! Results go to standard output, everything else to standard error. Tables hold human units and
//! no colours; JSON holds bare numbers under stable `snake_case` keys, one value a command. A
//! reader that closes the pipe early is not an error: see [`is_closed_pipe`].

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use comfy_table::{CellAlignment, Table, TableStyle};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use tidegate_types::ByteSize;

use crate::exit::{Exit, Failure};

/// The form of what is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum Output {
    /// Aligned columns, human units.
    #[default]
    Table,
    /// JSON, bare numbers.
    Json,
}

impl Output {
    /// Prints a result: `value` as JSON, or what `table` says.
    ///
    /// # Errors
    /// If standard output cannot be written; a closed pipe is no failure.
    pub fn print<T: Serialize>(
        self,
        value: &T,
        table: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        let mut text = match self {
            Output::Table => table(),
            Output::Json => serde_json::to_string_pretty(value)
                .map_err(|error| Failure::of(Exit::Failed, &error))?,
        };
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        print_text(&text)
    }
}

/// Writes text to standard output as it is.
///
/// # Errors
/// If it cannot be written; a closed pipe is no failure.
pub fn print_text(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if !is_closed_pipe(&error) => Err(stdout_failure(&error)),
        _ => Ok(()),
    }
}

/// Whether the reader of a pipe went away, as `head` does.
#[must_use]
pub fn is_closed_pipe(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

/// The failure to write to standard output.
#[must_use]
pub fn stdout_failure(error: &io::Error) -> Failure {
    Failure::of(Exit::Failed, error).while_doing("cannot write to standard output")
}

/// Aligned columns under a heading, without borders, so that they can be cut and searched too.
#[must_use]
pub fn table<const N: usize>(
    header: [&str; N],
    right: &[usize],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    // Lines are never wrapped: whoever pipes them counts on one line a row.
    table.load_style(TableStyle::new()).force_no_tty();
    table.set_header(header.map(str::to_uppercase));
    for row in rows {
        table.add_row(row.map(|cell| if cell.is_empty() { "-".to_owned() } else { cell }));
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if right.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

/// Names and values under each other.
#[must_use]
pub fn fields(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter()
        .map(|(name, value)| format!("{name:<width$}  {value}").trim_end().to_owned() + "\n")
        .collect()
}

/// A number with its thousands apart: `1,234,567`.
#[must_use]
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A span of time for people, in its two largest units.
#[must_use]
pub fn human_duration(time: Duration) -> String {
    let s = time.as_secs();
    match s {
        0..=9 => format!("{:.1} s", time.as_secs_f64()),
        10..=59 => format!("{s} s"),
        60..=3_599 => format!("{} min {} s", s / 60, s % 60),
        3_600..=86_399 => format!("{} h {} min", s / 3_600, s / 60 % 60),
        _ => format!("{} d {} h", s / 86_400, s / 3_600 % 24),
    }
}

/// Writes a line to standard error; where nobody reads that either, there is no one to tell.
pub fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// A note to whoever sits at the terminal; silent where standard error is no terminal.
pub fn note(text: &str) {
    if io::stderr().is_terminal() {
        tell(text);
    }
}

/// A bar on standard error; hidden where that is no terminal.
fn bar(len: Option<u64>, template: &str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(len, ProgressDrawTarget::stderr_with_hz(5));
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// A counter on standard error while records flow; shows only on a terminal.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Starts to show how many records were `done` (as "sent").
    #[must_use]
    pub fn records(done: &str) -> Progress {
        Progress { bar: bar(None, &format!("{{human_pos}} records {done}, {{per_sec}}")) }
    }

    /// Shows a new count.
    pub fn set(&self, records: u64) {
        self.bar.set_position(records);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A bar on standard error while bytes are read; shows only on a terminal.
pub struct BytesProgress {
    bar: ProgressBar,
}

impl BytesProgress {
    /// Starts to show how many bytes were `done` (as "checked").
    #[must_use]
    pub fn start(done: &str) -> BytesProgress {
        let template = format!(
            "{{bar:30}} {{binary_bytes}} of {{binary_total_bytes}} {done}, {{binary_bytes_per_sec}}, {{eta}} left"
        );
        BytesProgress { bar: bar(Some(0), &template) }
    }

    /// Shows how far it has come.
    pub fn set(&self, done: ByteSize, total: ByteSize) {
        self.bar.set_length(total.get());
        self.bar.set_position(done.get());
    }
}

impl Drop for BytesProgress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_plain_columns_with_a_heading() {
        let rows = [["orders".to_owned(), "12".to_owned()], ["a".to_owned(), String::new()]];
        let text = table(["name", "records"], &[1], rows);
        let lines: Vec<_> = text.lines().map(str::trim_end).collect();
        assert_eq!(lines, ["NAME    RECORDS", "orders       12", "a             -"]);
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn fields_are_aligned() {
        assert_eq!(
            fields(&[("site", "edge".to_owned()), ("partitions", "3".to_owned())]),
            "site        edge\npartitions  3\n"
        );
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (n, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(n), text);
        }
    }

    #[test]
    fn durations_show_their_two_largest_units() {
        for (s, text) in
            [(3, "3.0 s"), (75, "1 min 15 s"), (7_260, "2 h 1 min"), (180_000, "2 d 2 h")]
        {
            assert_eq!(human_duration(Duration::from_secs(s)), text);
        }
    }
}
