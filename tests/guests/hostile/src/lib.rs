//! A transform for tests. Its configuration is the name of what it does to each batch, in quotes;
//! with `:value` after it, only to a batch in which a value begins with `poison`. Other batches it
//! leaves as they are.
//!
//! Where the text of `START` in the component is changed to end with `yes`, it loops before it can
//! be configured.
#![cfg(target_family = "wasm")]
#![expect(unsafe_code, reason = "wit-bindgen generates it")]

use std::cell::RefCell;
use std::collections::HashMap;
use std::hint::black_box;

use bindings::tidegate::plugin::host::{self, Level};
use bindings::tidegate::plugin::types::{Emitted, Failure, Tagged};
use bindings::{Batch, Columns, Context, Guest, TransformVerdict};

mod bindings {
    wit_bindgen::generate!({ path: "../../../wit", world: "transform-plugin" });
}

struct Hostile;

thread_local! {
    static MODE: RefCell<String> = const { RefCell::new(String::new()) };
}

static START: [u8; 24] = *b"loops at its start: no  ";

/// What the linker calls when the component is instantiated.
#[used]
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn() = at_start;

extern "C" fn at_start() {
    if black_box(&START).trim_ascii_end().ends_with(b"yes") {
        spin();
    }
}

impl Guest for Hostile {
    fn configure(config: String) -> Result<Columns, String> {
        std::panic::set_hook(Box::new(|info| host::log(Level::Error, &info.to_string())));
        let mode = config.trim_matches('"');
        match mode {
            "configure-panic" => panic!("asked to panic while configured"),
            "configure-loop" => spin(),
            "" => return Err("a mode is needed".to_owned()),
            _ => {}
        }
        MODE.set(mode.to_owned());
        Ok(Columns::VALUES)
    }

    fn transform(batch: Batch, context: Context) -> Result<TransformVerdict, String> {
        let mode = MODE.with_borrow(String::clone);
        let (mode, only_poison) = match mode.strip_suffix(":value") {
            Some(mode) => (mode, true),
            None => (mode.as_str(), false),
        };
        if only_poison && !values(&batch).any(|value| value.starts_with(b"poison")) {
            return Ok(keep(&batch));
        }
        misbehave(mode, &batch, &context)
    }
}

fn values(batch: &Batch) -> impl Iterator<Item = &[u8]> {
    let starts = [0].into_iter().chain(batch.value_ends.iter().copied());
    starts.zip(&batch.value_ends).map(|(start, end)| &batch.values[start as usize..*end as usize])
}

fn keep(batch: &Batch) -> TransformVerdict {
    tagged(vec![0; batch.count as usize], Vec::new(), Vec::new())
}

fn tagged(tags: Vec<u8>, values: Vec<u8>, value_ends: Vec<u32>) -> TransformVerdict {
    TransformVerdict::Tagged(Tagged { tags, values, value_ends, failed: Vec::new() })
}

/// One unchanged output for each record.
fn emitted(batch: &Batch) -> Emitted {
    Emitted {
        inputs: (0..batch.count).collect(),
        flags: vec![4 | 8 | 16; batch.count as usize],
        keys: Vec::new(),
        key_ends: Vec::new(),
        values: Vec::new(),
        value_ends: Vec::new(),
        headers: Vec::new(),
        header_ends: Vec::new(),
        timestamps: Vec::new(),
        topics: Vec::new(),
        topic_of: Vec::new(),
        partition_of: Vec::new(),
        failed: Vec::new(),
    }
}

fn spin() {
    let mut n = 0u64;
    loop {
        n = black_box(n.wrapping_add(1));
    }
}

#[expect(unconditional_recursion, reason = "it is what is asked for")]
fn recurse(depth: u64) -> u64 {
    let room = black_box([depth; 8]);
    recurse(room[3] + 1) + black_box(room[5])
}

/// Two calls of the host.
fn storm(i: u64) {
    host::log(Level::Info, &format!("line {i}"));
    host::count("storms", 1);
}

/// Each value with `|` and the label behind it.
fn stamped(label: &str, batch: &Batch) -> TransformVerdict {
    let count = batch.count as usize;
    let mut out = Vec::with_capacity(batch.values.len() + count * (label.len() + 1));
    let mut ends = Vec::with_capacity(count);
    for value in values(batch) {
        out.extend_from_slice(value);
        out.push(b'|');
        out.extend_from_slice(label.as_bytes());
        ends.push(out.len() as u32);
    }
    tagged(vec![2; count], out, ends)
}

fn misbehave(mode: &str, batch: &Batch, context: &Context) -> Result<TransformVerdict, String> {
    let count = batch.count as usize;
    match mode {
        "keep" => Ok(keep(batch)),
        "upper" => {
            let values = batch.values.to_ascii_uppercase();
            Ok(tagged(vec![2; count], values, batch.value_ends.clone()))
        }
        "null" => Ok(tagged(vec![3; count], Vec::new(), Vec::new())),
        "loop" => {
            spin();
            Err("a loop without an end ended".to_owned())
        }
        "allocate" => {
            let mut hoard: Vec<Vec<u8>> = Vec::new();
            loop {
                hoard.push(black_box(vec![1; 1 << 20]));
            }
        }
        "panic" => panic!("asked to panic\nover two lines"),
        "recurse" => Err(format!("came back with {}", recurse(0))),
        "stderr" => {
            eprintln!("to nobody");
            Ok(keep(batch))
        }
        "clock" => {
            black_box(std::time::SystemTime::now());
            Ok(keep(batch))
        }
        "hash-map" => {
            let words = ["a", "b", "c", "d", "e", "f", "g", "h"];
            let map: HashMap<_, _> = words.into_iter().zip(0..).collect();
            let order: String = map.keys().copied().collect();
            let mut out = Vec::new();
            let ends = (0..count).map(|_| {
                out.extend_from_slice(order.as_bytes());
                out.len() as u32
            });
            let ends = ends.collect();
            Ok(tagged(vec![2; count], out, ends))
        }
        "environment" => {
            if std::env::vars().next().is_some() || std::env::args().next().is_some() {
                return Err("there is an environment".to_owned());
            }
            Ok(keep(batch))
        }
        "seed" => {
            let seed = context.seed.to_string();
            let ends = (1..=count).map(|n| (n * seed.len()) as u32).collect();
            Ok(tagged(vec![2; count], seed.repeat(count).into_bytes(), ends))
        }
        "error" => Err("asked for an error".to_owned()),
        "reject" => Ok(TransformVerdict::Reject("asked to reject".to_owned())),
        "chatter" => {
            for i in 0..10_000 {
                host::log(Level::Info, &format!("line {i}"));
                host::count(&format!("counter_{i}"), 1);
            }
            host::log(Level::Error, &"x".repeat(100_000));
            Ok(keep(batch))
        }
        "storm" => {
            for i in 0u64.. {
                storm(i);
            }
            Err("a storm without an end ended".to_owned())
        }
        "million" => {
            (0..1_000_000).for_each(storm);
            Ok(keep(batch))
        }
        "huge" => Ok(tagged(vec![2; count], vec![7; 200 << 20], vec![200 << 20; count])),
        "big" => Ok(tagged(vec![2; count], vec![7; 48 << 20], vec![48 << 20; count])),
        "long-reason" => {
            let failed = vec![Failure { record: 0, reason: "because\n".repeat(10_000) }];
            Ok(TransformVerdict::Tagged(Tagged {
                tags: vec![0; count],
                values: Vec::new(),
                value_ends: Vec::new(),
                failed,
            }))
        }
        "split" => {
            let twice = |x: u32| [x, x];
            Ok(TransformVerdict::Emitted(Emitted {
                inputs: (0..batch.count).flat_map(twice).collect(),
                flags: vec![4 | 8 | 16; 2 * count],
                ..emitted(batch)
            }))
        }
        "route" => Ok(TransformVerdict::Emitted(Emitted {
            topics: vec!["elsewhere".to_owned()],
            topic_of: vec![0; count],
            ..emitted(batch)
        })),
        _ => match mode.strip_prefix("stamp-") {
            Some(label) => Ok(stamped(label, batch)),
            None => malformed(mode, batch, context),
        },
    }
}

fn malformed(mode: &str, batch: &Batch, context: &Context) -> Result<TransformVerdict, String> {
    let count = batch.count as usize;
    let emitted = match mode {
        "few-tags" => return Ok(tagged(vec![0; count - 1], Vec::new(), Vec::new())),
        "unknown-tag" => return Ok(tagged(vec![9; count], Vec::new(), Vec::new())),
        "few-values" => return Ok(tagged(vec![2; count], Vec::new(), Vec::new())),
        "ends-back" => {
            let mut ends: Vec<u32> = (1..=batch.count).collect();
            ends[0] = u32::MAX;
            return Ok(tagged(vec![2; count], vec![0; count], ends));
        }
        "ends-beyond" => return Ok(tagged(vec![2; count], vec![0; 3], vec![u32::MAX; count])),
        "failed-beyond" => {
            let failed = vec![Failure { record: batch.count, reason: String::new() }];
            let (tags, values, value_ends) = (vec![0; count], Vec::new(), Vec::new());
            return Ok(TransformVerdict::Tagged(Tagged { tags, values, value_ends, failed }));
        }
        "failed-twice" => {
            let failed = vec![Failure { record: 0, reason: String::new() }; 2];
            let (tags, values, value_ends) = (vec![0; count], Vec::new(), Vec::new());
            return Ok(TransformVerdict::Tagged(Tagged { tags, values, value_ends, failed }));
        }
        "input-beyond" => Emitted { inputs: vec![batch.count; count], ..emitted(batch) },
        "inputs-back" => Emitted { inputs: (0..batch.count).rev().collect(), ..emitted(batch) },
        "few-flags" => Emitted { flags: Vec::new(), ..emitted(batch) },
        "ends-fall" => Emitted {
            inputs: (0..batch.count).flat_map(|i| [i, i]).collect(),
            flags: vec![4 | 16; 2 * count],
            values: vec![b'x'; 6 * count],
            value_ends: (0..2 * batch.count).rev().map(|i| 3 * (i + 1)).collect(),
            ..emitted(batch)
        },
        "contrary-flags" => Emitted { flags: vec![1 | 4; count], ..emitted(batch) },
        "unknown-flag" => Emitted { flags: vec![64; count], ..emitted(batch) },
        "bad-headers" => Emitted {
            flags: vec![4 | 8; count],
            headers: vec![0xff; 9 * count],
            header_ends: (1..=batch.count).map(|n| 9 * n).collect(),
            ..emitted(batch)
        },
        "topic-beyond" => Emitted { topic_of: vec![0; count], ..emitted(batch) },
        "bad-topic" => Emitted {
            topics: vec!["../../etc".to_owned()],
            topic_of: vec![0; count],
            ..emitted(batch)
        },
        "partition-beyond" => {
            Emitted { partition_of: vec![context.partitions; count], ..emitted(batch) }
        }
        "too-many" => {
            Emitted { inputs: vec![0; 100_001], flags: vec![4 | 8 | 16; 100_001], ..emitted(batch) }
        }
        "failed-and-emitted" => {
            Emitted { failed: vec![Failure { record: 0, reason: String::new() }], ..emitted(batch) }
        }
        other => return Err(format!("unknown mode {other}")),
    };
    Ok(TransformVerdict::Emitted(emitted))
}

bindings::export!(Hostile with_types_in bindings);
