//! The differences that are meant, in `expected.txt`: a line for each, `scenario/step path: why`,
//! where `*` stands for any text and a path ends in `!` where only one side has the field. A line that meets no difference must go: the list only shrinks.

use std::cell::Cell;

/// The list.
pub struct Expected {
    entries: Vec<Entry>,
}

struct Entry {
    line: usize,
    step: String,
    path: String,
    met: Cell<usize>,
}

impl Expected {
    /// Reads the list. Empty lines and those that begin with `#` are for the reader.
    pub fn parse(text: &str) -> Result<Expected, String> {
        let mut entries = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let (line_number, line) = (index + 1, line.trim());
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let malformed = || format!("line {line_number}: want `scenario/step path: why`");
            let (place, why) = line.split_once(": ").ok_or_else(malformed)?;
            let (step, path) = place.split_once(' ').ok_or_else(malformed)?;
            if why.trim().is_empty() || !step.contains('/') || path.contains(' ') {
                return Err(malformed());
            }
            entries.push(Entry {
                line: line_number,
                step: step.to_owned(),
                path: path.to_owned(),
                met: Cell::new(0),
            });
        }
        Ok(Expected { entries })
    }

    /// Whether a difference is meant. Every line that says so counts as met.
    pub fn allows(&self, step: &str, path: &str) -> bool {
        let mut allowed = false;
        for entry in &self.entries {
            if glob(&entry.step, step) && glob(&entry.path, path) {
                entry.met.set(entry.met.get() + 1);
                allowed = true;
            }
        }
        allowed
    }

    /// The lines that met nothing, as they stand in the list.
    pub fn unmet(&self) -> Vec<String> {
        let unmet = self.entries.iter().filter(|entry| entry.met.get() == 0);
        unmet.map(|entry| format!("line {}: {} {}", entry.line, entry.step, entry.path)).collect()
    }
}

/// Whether the whole text matches; `*` in the pattern stands for any text, also none.
pub fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_whole_texts() {
        for (pattern, text, matches) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "ab", true),
            ("*b", "ab", true),
            ("a*b", "ab", true),
            ("a*b", "aab", true),
            ("a*ba", "aba", true),
            ("ab*ba", "aba", false),
            ("Topics[*].Partitions[*].Error", "Topics[t].Partitions[0].Error", true),
            ("Topics[*].Name", "Topics[t].Partitions[0].Name2", false),
        ] {
            assert_eq!(glob(pattern, text), matches, "{pattern} and {text}");
        }
    }

    #[test]
    fn a_line_that_meets_nothing_is_told() {
        let list = "# why\n\nproduce/acks.v* Responses[*]: said\nproduce/x Y: said\n";
        let expected = Expected::parse(list).expect("a list");
        assert!(expected.allows("produce/acks.v3", "Responses[t]"));
        assert!(!expected.allows("produce/acks.v3", "Other"));
        assert_eq!(expected.unmet(), ["line 4: produce/x Y"]);
    }

    #[test]
    fn a_line_without_a_reason_is_refused() {
        for line in ["a/b C:", "a/b C", "a/b: why", "ab C: why", "a/b C D: why"] {
            assert!(Expected::parse(line).is_err(), "{line}");
        }
    }
}
