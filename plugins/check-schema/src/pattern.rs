//! Regular expressions, run in time linear in the text.
//!
//! The smaller engines hash with random seeds, which a plugin has none of.

use std::cell::RefCell;
use std::fmt::{self, Display};

use regex_automata::nfa::thompson;
use regex_automata::nfa::thompson::pikevm::{Cache, PikeVM};
use regex_syntax::ParserBuilder;

/// Largest compiled form of one pattern, in bytes.
const SIZE: usize = 256 * 1024;
/// Deepest nesting of a pattern.
const DEPTH: u32 = 64;

/// A pattern, as a schema writes it. It may match anywhere in a text.
#[derive(Debug)]
pub(crate) struct Pattern {
    text: String,
    machine: PikeVM,
    /// What the machine writes on.
    cache: RefCell<Cache>,
}

impl Pattern {
    /// Compiles a pattern, or says in one line what is wrong with it.
    pub(crate) fn new(text: &str) -> Result<Pattern, String> {
        let mut parser = ParserBuilder::new().nest_limit(DEPTH).build();
        let parsed = parser.parse(text).map_err(|error| one_line(&error))?;
        let compiled = thompson::Compiler::new()
            .configure(thompson::Config::new().nfa_size_limit(Some(SIZE)))
            .build_from_hir(&parsed)
            .map_err(|error| error.to_string())?;
        let machine = PikeVM::new_from_nfa(compiled).map_err(|error| error.to_string())?;
        let cache = RefCell::new(machine.create_cache());
        Ok(Pattern { text: text.to_owned(), machine, cache })
    }

    pub(crate) fn is_match(&self, text: &str) -> bool {
        self.machine.is_match(&mut self.cache.borrow_mut(), text)
    }
}

/// The last line: those before draw the pattern.
fn one_line(error: &regex_syntax::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}

impl Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_anywhere_and_say_what_is_wrong() {
        let digits = Pattern::new(r"\d{2,}[äö]?$").unwrap();
        for (text, fits) in [("a12", true), ("12ö", true), ("1", false), ("12x", false)] {
            assert_eq!(digits.is_match(text), fits, "{text}");
        }
        for (text, reason) in [
            ("(", "unclosed group"),
            ("(?=x)", "look-around, including look-ahead and look-behind, is not supported"),
            (r"(a)\1", "backreferences are not supported"),
            ("a{1000}{1000}", "exceeded limit of 262144"),
            (&["(".repeat(100), ")".repeat(100)].concat(), "maximum number of nested parentheses"),
        ] {
            let found = Pattern::new(text).unwrap_err();
            assert!(found.contains(reason) && !found.contains('\n'), "{text}: {found}");
        }
    }
}
