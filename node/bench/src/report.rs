//! What a load comes to, for people and for programs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::config::Load;
use crate::latencies::{Bucket, Percentiles};
use crate::session::Tally;

/// What was loaded with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Writing.
    Produce,
    /// Reading.
    Fetch,
    /// Writing a little at a fixed rate.
    Latency,
}

/// What a load came to. Times are in microseconds, megabytes are of 1,000,000 bytes, and bytes are
/// those of batches on the wire, compressed as they are.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Report {
    /// What was done.
    pub work: Work,
    /// In which protocol.
    pub protocol: &'static str,
    /// With whom.
    pub address: String,
    /// On which topic.
    pub topic: String,
    /// Its partitions.
    pub partitions: u32,
    /// Over how many connections.
    pub connections: u32,
    /// Requests answered well, the warm-up's not counted.
    pub requests: u64,
    /// Records that they moved.
    pub records: u64,
    /// Bytes of their batches.
    pub bytes: u64,
    /// From the end of the warm-up to the last answer.
    pub seconds: f64,
    /// Records moved a second.
    pub records_per_second: f64,
    /// Megabytes moved a second.
    pub megabytes_per_second: f64,
    /// From when a request was due to its answer. Without acks nothing answers, and there is none.
    pub latency: Option<Percentiles>,
    /// How late requests were sent: what of the latency is this generator's, or its window's.
    pub late: Option<Percentiles>,
    /// The latencies as a histogram.
    pub histogram: Vec<Bucket>,
    /// Refused requests, by the error's name.
    pub errors: BTreeMap<String, u64>,
    /// Requests that were due, but found no room before the load ended.
    pub unsent: u64,
}

/// What a report needs to know of the load.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub work: Work,
    pub topic: String,
    pub partitions: u32,
    /// Whether requests are answered at all.
    pub answered: bool,
    /// Whether they are sent at a rate.
    pub paced: bool,
}

impl Report {
    pub(crate) fn new(load: &Load, subject: Subject, tally: &Tally) -> Report {
        let took = tally.last.saturating_sub(load.warmup);
        let seconds = took.max(Duration::from_nanos(1)).as_secs_f64();
        let moved = tally.moved;
        let any = subject.answered && tally.requests > 0;
        Report {
            work: subject.work,
            protocol: load.target.protocol(),
            address: load.target.address().to_owned(),
            topic: subject.topic,
            partitions: subject.partitions,
            connections: load.connections,
            requests: tally.requests,
            records: moved.records,
            bytes: moved.bytes,
            seconds: took.as_secs_f64(),
            records_per_second: moved.records as f64 / seconds,
            megabytes_per_second: moved.bytes as f64 / 1e6 / seconds,
            latency: any.then(|| tally.latencies.percentiles()),
            late: (any && subject.paced).then(|| tally.late.percentiles()),
            histogram: if any { tally.latencies.buckets() } else { Vec::new() },
            errors: tally.errors.clone(),
            unsent: tally.unsent,
        }
    }

    /// The rows of a table: what, and how much.
    #[must_use]
    pub fn rows(&self) -> Vec<(String, String)> {
        let mut rows = Vec::new();
        let mut row = |what: &str, how: String| rows.push((what.to_owned(), how));
        row("records/s", format!("{:.0}", self.records_per_second));
        row("MB/s", format!("{:.1}", self.megabytes_per_second));
        row("records", self.records.to_string());
        row("requests", self.requests.to_string());
        row("seconds", format!("{:.3}", self.seconds));
        for (what, times) in [("latency", self.latency), ("sent late by", self.late)] {
            let Some(times) = times else { continue };
            for (which, time) in [
                ("p50", times.p50),
                ("p90", times.p90),
                ("p99", times.p99),
                ("p99.9", times.p999),
                ("max", times.max),
            ] {
                row(&format!("{what} {which}"), format!("{time:.0} us"));
            }
        }
        for (error, count) in &self.errors {
            row(&format!("refused: {error}"), count.to_string());
        }
        if self.unsent > 0 {
            row("due but not sent", self.unsent.to_string());
        }
        rows
    }

    /// The histogram as rows of a table: up to how long, how many, and which part of all took no
    /// longer.
    #[must_use]
    pub fn histogram_rows(&self) -> Vec<(String, String, String)> {
        let all: u64 = self.histogram.iter().map(|bucket| bucket.count).sum();
        let mut so_far = 0;
        let rows = self.histogram.iter().map(|bucket| {
            so_far += bucket.count;
            let part = so_far as f64 * 100.0 / all.max(1) as f64;
            let up_to = format!("{:.0} us", bucket.up_to);
            (up_to, bucket.count.to_string(), format!("{part:.3} %"))
        });
        rows.collect()
    }
}
