//! A transform for tests that counts in its state: to every value it adds how many with the same
//! first word came before it, and the label that it was configured with, a JSON string. A value that
//! begins with `fail` fails its record after it was counted, and one with `panic` panics; neither
//! may leave a trace in the state. `look` looks up what the table says about the second word.
#![cfg(target_family = "wasm")]
#![expect(unsafe_code, reason = "wit-bindgen generates it")]

use std::cell::RefCell;

use bindings::tidegate::plugin::state;
use bindings::tidegate::plugin::types::{Failure, Tagged};
use bindings::{Batch, Columns, Context, Guest, TransformVerdict};

mod bindings {
    wit_bindgen::generate!({ path: "../../../wit", world: "transform-plugin" });
}

const DROP: u8 = 1;
const REPLACE: u8 = 2;

struct Tally;

thread_local! {
    static LABEL: RefCell<String> = const { RefCell::new(String::new()) };
}

fn count(word: &[u8]) -> u64 {
    let before = state::get(word)
        .map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().expect("eight bytes were put")));
    state::put(word, &(before + 1).to_le_bytes(), None);
    before
}

impl Guest for Tally {
    fn configure(config: String) -> Result<Columns, String> {
        LABEL.replace(config.trim_matches('"').to_owned());
        Ok(Columns::VALUES)
    }

    fn transform(batch: Batch, _context: Context) -> Result<TransformVerdict, String> {
        let label = LABEL.with_borrow(String::clone);
        let (mut tags, mut failed) = (Vec::new(), Vec::new());
        let (mut values, mut value_ends) = (Vec::new(), Vec::new());
        let mut start = 0;
        for (record, end) in batch.value_ends.iter().enumerate() {
            let value = &batch.values[start..*end as usize];
            start = *end as usize;
            let mut words = value.split(|byte| *byte == b' ');
            let word = words.next().unwrap_or_default();
            let before = count(word);
            assert!(!value.starts_with(b"panic"), "asked to panic");
            if value.starts_with(b"fail") {
                tags.push(DROP);
                let reason = "asked to fail".to_owned();
                failed.push(Failure { record: record as u32, reason });
                continue;
            }
            tags.push(REPLACE);
            values.extend_from_slice(value);
            if word == b"look" {
                let found = state::lookup(words.next().unwrap_or_default());
                values.push(b'=');
                values.extend(found.unwrap_or_else(|| b"nothing".to_vec()));
            }
            values.extend_from_slice(format!(" {before}{label}").as_bytes());
            value_ends.push(values.len() as u32);
        }
        Ok(TransformVerdict::Tagged(Tagged { tags, values, value_ends, failed }))
    }
}

bindings::export!(Tally with_types_in bindings);
