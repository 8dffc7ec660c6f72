//! A filter for tests. Its configuration is one of
//! - `"all"`, `"none"`: every record, or none;
//! - `"odd"`: the records with odd numbers in their batch;
//! - `"plain"`: those without `drop` in the value; a value that begins with `fail` fails its
//!   record, one that begins with `panic` panics, one that begins with `reject` rejects the batch.
#![cfg(target_family = "wasm")]
#![expect(unsafe_code, reason = "wit-bindgen generates it")]

use std::cell::Cell;

use tidegate::plugin::host::{self, Level};
use tidegate::plugin::types::{Failure, Kept};

mod bindings {
    wit_bindgen::generate!({ path: "../../../wit", world: "filter-plugin" });
}
use bindings::tidegate;
use bindings::{Batch, Columns, Context, FilterVerdict, Guest};

struct Keep;

#[derive(Clone, Copy)]
enum Mode {
    All,
    None,
    Odd,
    Plain,
}

thread_local! {
    static MODE: Cell<Mode> = const { Cell::new(Mode::All) };
}

impl Guest for Keep {
    fn configure(config: String) -> Result<Columns, String> {
        std::panic::set_hook(Box::new(|info| host::log(Level::Error, &info.to_string())));
        let (mode, columns) = match config.as_str() {
            r#""all""# => (
                Mode::All,
                Columns::TIMESTAMPS | Columns::KEYS | Columns::VALUES | Columns::HEADERS,
            ),
            r#""none""# => (Mode::None, Columns::empty()),
            r#""odd""# => (Mode::Odd, Columns::empty()),
            r#""plain""# => (Mode::Plain, Columns::VALUES),
            other => return Err(format!("unknown mode {other}")),
        };
        MODE.set(mode);
        Ok(columns)
    }

    fn filter(batch: Batch, _context: Context) -> Result<FilterVerdict, String> {
        let mut bitmap = vec![0; batch.count.div_ceil(8) as usize];
        let mut failed = Vec::new();
        let mut start = 0;
        for record in 0..batch.count {
            let keep = match MODE.get() {
                Mode::All => true,
                Mode::None => false,
                Mode::Odd => record % 2 == 1,
                Mode::Plain => {
                    let end = batch.value_ends[record as usize] as usize;
                    let value = &batch.values[start..end];
                    start = end;
                    if value.starts_with(b"reject") {
                        return Ok(FilterVerdict::Reject("asked to reject".to_owned()));
                    }
                    assert!(!value.starts_with(b"panic"), "asked to panic");
                    if value.starts_with(b"fail") {
                        failed.push(Failure { record, reason: "asked to fail".to_owned() });
                    }
                    !value.windows(4).any(|w| w == b"drop")
                }
            };
            bitmap[record as usize / 8] |= u8::from(keep) << (record % 8);
        }
        host::count("kept", bitmap.iter().map(|b: &u8| u64::from(b.count_ones())).sum());
        Ok(FilterVerdict::Kept(Kept { bitmap, failed }))
    }
}

bindings::export!(Keep with_types_in bindings);
