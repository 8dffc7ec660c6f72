//! A partitioner for tests: the first byte of the key chooses, a record without a key fails, one
//! with the key `out` is sent to a partition that is not there.
#![cfg(target_family = "wasm")]
#![expect(unsafe_code, reason = "wit-bindgen generates it")]

use bindings::tidegate::plugin::types::{Chosen, Failure};
use bindings::{Batch, Columns, Context, Guest, PartitionVerdict};

mod bindings {
    wit_bindgen::generate!({ path: "../../../wit", world: "partition-plugin" });
}

struct Spread;

impl Guest for Spread {
    fn configure(_config: String) -> Result<Columns, String> {
        Ok(Columns::KEYS)
    }

    fn partition(batch: Batch, context: Context) -> Result<PartitionVerdict, String> {
        let mut failed = Vec::new();
        let mut start = 0;
        let mut partitions = Vec::with_capacity(batch.count as usize);
        for (record, end) in (0..batch.count).zip(&batch.key_ends) {
            let key = &batch.keys[start..*end as usize];
            start = *end as usize;
            partitions.push(match key.first() {
                _ if key == b"out" => context.partitions,
                Some(first) => u32::from(*first) % context.partitions,
                None => {
                    failed.push(Failure { record, reason: "there is no key".to_owned() });
                    u32::MAX
                }
            });
        }
        Ok(PartitionVerdict::Chosen(Chosen { partitions, failed }))
    }
}

bindings::export!(Spread with_types_in bindings);
