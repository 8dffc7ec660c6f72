//! Two snapshots, compared as text: what differs, with a few lines around it.

use std::fmt::{self, Write};

/// Lines shown before and after what differs.
const AROUND: usize = 2;
/// Lines shown at most.
const MAX_LINES: usize = 60;

/// How two snapshots differ, in the manner of `diff -u`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// Lines that differ.
    pub lines: usize,
    text: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Compares line by line: a line stands for a record, so that none is ever moved.
#[must_use]
pub fn compare(expected: &str, got: &str) -> Option<Difference> {
    if expected == got {
        return None;
    }
    let (expected, got): (Vec<_>, Vec<_>) = (expected.lines().collect(), got.lines().collect());
    let count = expected.len().max(got.len());
    let differs = |line: usize| expected.get(line) != got.get(line);
    let lines = (0..count).filter(|line| differs(*line)).count();
    let mut text = String::new();
    let mut shown = 0;
    let mut last = None;
    for line in 0..count {
        let near = line.saturating_sub(AROUND)..(line + AROUND + 1).min(count);
        if !near.clone().any(differs) {
            continue;
        }
        if shown >= MAX_LINES {
            text.push_str("...\n");
            break;
        }
        if last.is_none_or(|last| last + 1 != line) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "@@ line {} @@", line + 1);
        }
        last = Some(line);
        let marks: &[(char, Option<&&str>)] = if differs(line) {
            &[('-', expected.get(line)), ('+', got.get(line))]
        } else {
            &[(' ', got.get(line))]
        };
        for (mark, content) in marks {
            if let Some(content) = content {
                let _ = writeln!(text, "{mark}{content}");
                shown += 1;
            }
        }
    }
    if lines == 0 {
        text.push_str("they differ in their last line feed only\n");
    }
    Some(Difference { lines, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_shown_with_its_neighbours() {
        assert_eq!(compare("a\nb\n", "a\nb\n"), None);
        let expected: String = ('a'..='k').map(|c| format!("{c}\n")).collect();
        let got = expected.replace('f', "F") + "l\n";
        let difference = compare(&expected, &got).unwrap();
        assert_eq!(difference.lines, 2);
        assert_eq!(
            difference.to_string(),
            "@@ line 4 @@\n d\n e\n-f\n+F\n g\n h\n@@ line 10 @@\n j\n k\n+l\n"
        );
    }

    #[test]
    fn a_long_difference_is_cut() {
        let got: String = (0..500).map(|n| format!("{n}\n")).collect();
        let difference = compare("", &got).unwrap();
        assert_eq!(difference.lines, 500);
        assert!(difference.to_string().lines().count() < 70);
    }

    #[test]
    fn a_missing_last_line_feed_is_a_difference() {
        assert!(compare("a\n", "a").unwrap().to_string().contains("last line feed"));
    }
}
