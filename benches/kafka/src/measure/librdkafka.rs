//! librdkafka's own load generator: a whole client, which batches, and checks what it is told.
//!
//! It is built by the interop tests (`tests/interop/run --suite librdkafka`), or named by
//! `$RDKAFKA_PERFORMANCE`. Where it is neither, this is left out.

use std::path::PathBuf;
use std::process::Command;

use tidegate_bench::{TopicName, admin};
use tidegate_bench_common::Failure;

use super::ingest::per_record;
use crate::broker::workspace;
use crate::host;
use crate::results::{Metric, Results};
use crate::sides::Bench;

/// Bytes of a record.
const RECORD: &str = "200";

const METRICS: [Metric; 2] = [
    Metric::new("", "records/s"),
    Metric::new(": broker CPU", "us/record").with_budgets(&[("kafka", "<= 0.20; 0.13 us")]),
];

/// Measures records a second, and what of the processor each costs the broker.
///
/// # Errors
/// If the generator fails.
pub fn measure(results: &mut Results, bench: &Bench) -> Result<(), Failure> {
    let Some(program) = program() else {
        eprintln!(
            "left out: rdkafka_performance, which tests/interop/run --suite librdkafka builds"
        );
        return Ok(());
    };
    let sides: Vec<_> = bench.sides().collect();
    let records = bench.setup.records;
    let mut made = 0;
    let what = "librdkafka's generator, 1 partition";
    results.take_turns(bench, what, METRICS, &sides, |side, broker| {
        made += 1;
        let topic = TopicName::new(format!("librdkafka-{made}"))?;
        let load = side.load(broker);
        bench.runtime.block_on(admin::make_topic(&load, &topic))?;
        let before = host::cpu(broker.pid)?;
        let count = records.to_string();
        let output = Command::new(&program)
            .args(["-P", "-b", &broker.address, "-t", topic.as_str(), "-p", "0"])
            .args(["-s", RECORD, "-c", &count, "-a", "-1", "-q"])
            .output()?;
        let cpu = host::cpu(broker.pid)?.saturating_sub(before);
        let told = String::from_utf8_lossy(&output.stdout);
        let rate = rate(&told, records).ok_or_else(|| {
            let errors = String::from_utf8_lossy(&output.stderr);
            let last = |text: &str| text.lines().last().unwrap_or("").to_owned();
            format!("ended with {}: {} {}", output.status, last(&told), last(&errors))
        })?;
        bench.runtime.block_on(admin::delete_topic(&load, &topic))?;
        Ok([rate, per_record(cpu, records)])
    })
}

/// The rate in its last line, if all records were delivered.
fn rate(told: &str, records: u64) -> Option<f64> {
    let line = told.lines().rfind(|line| line.contains("messages produced"))?;
    let words: Vec<_> = line.split_whitespace().collect();
    let before = |word: &str| {
        let at = words.iter().position(|w| w.trim_end_matches(',') == word)?;
        words.get(at.checked_sub(1)?)?.parse::<f64>().ok()
    };
    (before("delivered")? == records as f64).then(|| before("msgs/s"))?
}

/// The generator, if it is there.
fn program() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("RDKAFKA_PERFORMANCE") {
        return Some(PathBuf::from(named)).filter(|program| program.is_file());
    }
    let cache = std::env::var_os("TIDEGATE_INTEROP_CACHE").map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| workspace().join("target/interop"));
    let mut found: Vec<_> = std::fs::read_dir(cache.join("installed"))
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join(".complete").exists())
        .map(|path| path.join("src/examples/rdkafka_performance"))
        .filter(|program| program.is_file())
        .collect();
    // The newest by its name.
    found.sort();
    found.pop()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLD: &str = "% Sending 20000 messages of size 200 bytes\n\
        % 20000 messages produced (4000000 bytes), 20000 delivered (offset 0, 0 failed) in 21ms: \
        933532 msgs/s and 186.71 MB/s, 0 produce failures, 0 in queue, no compression\n";

    #[test]
    fn the_rate_counts_if_everything_was_delivered() {
        assert_eq!(rate(TOLD, 20_000), Some(933_532.0));
        assert_eq!(rate(TOLD, 20_001), None);
        assert_eq!(rate("% nothing\n", 1), None);
        assert_eq!(rate("", 1), None);
    }
}
