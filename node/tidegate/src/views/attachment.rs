//! Where plugins run, what they did there, and what they said.

use std::time::Duration;

use serde::Serialize;
use tidegate_types::{Attachment, ByteSize, format_duration};
use tidegate_wire::{AttachmentStatus, DerivePosition, PluginStats};

use crate::output::{fields, grouped, human_duration, table};

/// A plugin on a topic's way.
#[derive(Serialize, Debug, Clone)]
pub struct AttachmentView {
    /// The topic.
    pub topic: String,
    /// The hook.
    pub hook: String,
    /// The plugin.
    pub plugin: String,
    /// Its version.
    pub hash: String,
    /// Its configuration, JSON text.
    pub config: String,
    /// What becomes of records on which it fails.
    pub on_error: String,
    /// Most processor time for one batch.
    pub time_limit_ms: u64,
    /// Most memory.
    pub memory_limit_bytes: u64,
    /// Most bytes returned for one batch.
    pub output_limit_bytes: u64,
    /// Most time for a record, on average.
    pub record_time_limit_us: Option<u64>,
    /// Most records put out for one.
    pub fan_out_limit: u32,
    /// Most log lines of one batch.
    pub log_limit: u32,
    /// Most bytes of state for one partition.
    pub state_limit_bytes: u64,
    /// Failed runs in a row after which it is paused.
    pub max_failures: u32,
    /// The topic that it derives to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The topic that it looks keys up in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// A version on trial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<CanaryView>,
    /// The version to go back to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
}

/// A version on trial.
#[derive(Serialize, Debug, Clone)]
pub struct CanaryView {
    hash: String,
    config: String,
    partitions: Vec<u32>,
}

/// What an attach did, in a sentence.
#[must_use]
pub fn attached_sentence(attachment: &Attachment) -> String {
    let Attachment { topic, hook, plugin, policy, derive, canary, hash, .. } = attachment;
    if let Some(canary) = canary {
        let partitions: Vec<_> = canary.partitions.iter().map(ToString::to_string).collect();
        return format!(
            "plugin {plugin} (version {}) is on trial on topic {topic}, partitions {}; the others \
             keep version {}",
            canary.hash.short(),
            partitions.join(", "),
            hash.short()
        );
    }
    let to = derive.as_ref().map(|spec| format!(" to {}", spec.to)).unwrap_or_default();
    format!(
        "attached plugin {plugin} (version {}) to topic {topic}, hook {hook}{to}, on error {policy}",
        hash.short()
    )
}

impl From<&Attachment> for AttachmentView {
    fn from(attachment: &Attachment) -> AttachmentView {
        AttachmentView {
            topic: attachment.topic.to_string(),
            hook: attachment.hook.to_string(),
            plugin: attachment.plugin.to_string(),
            hash: attachment.hash.to_string(),
            config: match attachment.config.trim() {
                "" => "{}".to_owned(),
                config => config.to_owned(),
            },
            on_error: attachment.policy.to_string(),
            time_limit_ms: millis(attachment.limits.batch_time),
            memory_limit_bytes: attachment.limits.memory.get(),
            output_limit_bytes: attachment.limits.output.get(),
            record_time_limit_us: attachment
                .limits
                .record_time
                .map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX)),
            fan_out_limit: attachment.limits.fan_out,
            log_limit: attachment.limits.log_lines,
            state_limit_bytes: attachment.limits.state.get(),
            max_failures: attachment.limits.failures,
            to: attachment.derive.as_ref().map(|spec| spec.to.to_string()),
            table: attachment
                .derive
                .as_ref()
                .and_then(|spec| spec.table.as_ref().map(ToString::to_string)),
            canary: attachment.canary.as_ref().map(|canary| CanaryView {
                hash: canary.hash.to_string(),
                config: canary.config.clone(),
                partitions: canary.partitions.iter().map(|id| id.get()).collect(),
            }),
            previous: attachment.previous.as_ref().map(|previous| previous.hash.to_string()),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// An attachment with what it did.
#[derive(Serialize, Debug)]
pub struct AttachedView {
    #[serde(flatten)]
    pub(super) attachment: AttachmentView,
    stats: StatsView,
    last_error: Option<String>,
    paused: Option<String>,
    log: Vec<String>,
    /// The only partitions that it has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    partitions: Vec<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    derived: Vec<PositionView>,
}

/// How far a derivation is.
#[derive(Serialize, Debug)]
struct PositionView {
    partition: u32,
    next: i64,
    end: i64,
    lag: i64,
    state_bytes: u64,
    waiting: Option<String>,
}

impl From<DerivePosition> for PositionView {
    fn from(position: DerivePosition) -> PositionView {
        let DerivePosition { partition, next, end, state, waiting } = position;
        PositionView {
            partition: partition.get(),
            next: next.get(),
            end: end.get(),
            lag: end.get().saturating_sub(next.get()).max(0),
            state_bytes: state,
            waiting,
        }
    }
}

#[derive(Serialize, Debug)]
struct StatsView {
    batches: u64,
    records: u64,
    dropped: u64,
    rewritten: u64,
    emitted: u64,
    failed: u64,
    dead_lettered: u64,
    traps: u64,
    busy_ns: u64,
    ns_per_record: Option<f64>,
    bytes_in: u64,
    bytes_out: u64,
    memory_bytes: u64,
}

impl From<PluginStats> for StatsView {
    fn from(stats: PluginStats) -> StatsView {
        let PluginStats {
            batches,
            records,
            dropped,
            rewritten,
            emitted,
            failed,
            dead_lettered,
            traps,
            busy_ns,
            bytes_in,
            bytes_out,
            memory,
        } = stats;
        let per_record = (busy_ns as f64 / records as f64 * 10.0).round() / 10.0;
        StatsView {
            batches,
            records,
            dropped,
            rewritten,
            emitted,
            failed,
            dead_lettered,
            traps,
            busy_ns,
            ns_per_record: (records > 0).then_some(per_record),
            bytes_in,
            bytes_out,
            memory_bytes: memory,
        }
    }
}

impl From<AttachmentStatus> for AttachedView {
    fn from(status: AttachmentStatus) -> AttachedView {
        AttachedView {
            attachment: AttachmentView::from(&status.attachment),
            stats: status.stats.into(),
            last_error: status.last_error,
            paused: status.paused,
            log: status.log,
            partitions: status.partitions.iter().map(|id| id.get()).collect(),
            derived: status.derived.into_iter().map(PositionView::from).collect(),
        }
    }
}

impl AttachedView {
    /// One line a plugin: what it did, and what it costs.
    #[must_use]
    pub fn table(attached: &[AttachedView]) -> String {
        let rows = attached.iter().map(|a| {
            let cost = a.stats.ns_per_record.map(|ns| format!("{ns:.0}"));
            [
                a.attachment.topic.clone(),
                a.attachment.hook.clone(),
                a.attachment.plugin.clone(),
                a.attachment.hash.chars().take(12).collect(),
                grouped(a.stats.records),
                grouped(a.stats.dropped),
                grouped(a.stats.rewritten),
                grouped(a.stats.emitted),
                grouped(a.stats.failed),
                grouped(a.stats.traps),
                cost.unwrap_or_default(),
                ByteSize::bytes(a.stats.memory_bytes).to_string(),
            ]
        });
        let columns = [
            "topic",
            "hook",
            "plugin",
            "version",
            "records",
            "dropped",
            "rewritten",
            "emitted",
            "failed",
            "traps",
            "ns/record",
            "memory",
        ];
        table(columns, &[4, 5, 6, 7, 8, 9, 10, 11], rows)
    }
}

impl AttachedView {
    /// All there is to know of it.
    #[must_use]
    pub fn detail(&self) -> String {
        let AttachedView { attachment, stats, last_error, log, .. } = self;
        let busy = Duration::from_nanos(stats.busy_ns);
        let cost = match stats.ns_per_record {
            Some(ns) => format!("{}, {ns:.0} ns a record", human_duration(busy)),
            None => human_duration(busy),
        };
        let bytes = |n| ByteSize::bytes(n).to_string();
        let limits = format!(
            "{}, {} of memory, {} of output a batch",
            format_duration(Duration::from_millis(attachment.time_limit_ms)),
            bytes(attachment.memory_limit_bytes),
            bytes(attachment.output_limit_bytes),
        );
        let mut rows = vec![
            ("attached to", format!("{} ({})", attachment.topic, attachment.hook)),
            ("version", attachment.hash.chars().take(12).collect()),
            ("config", attachment.config.clone()),
            ("on error", attachment.on_error.clone()),
            ("limits", limits),
            ("batches", grouped(stats.batches)),
            ("records", grouped(stats.records)),
            ("dropped", grouped(stats.dropped)),
            ("rewritten", grouped(stats.rewritten)),
            ("emitted", grouped(stats.emitted)),
            (
                "failed",
                format!(
                    "{}, {} in the dead-letter topic",
                    grouped(stats.failed),
                    grouped(stats.dead_lettered)
                ),
            ),
            ("traps", grouped(stats.traps)),
            ("bytes", format!("{} in, {} out", bytes(stats.bytes_in), bytes(stats.bytes_out))),
            ("time", cost),
        ];
        if let Some(to) = &attachment.to {
            let table = attachment.table.iter().map(|table| format!(", looking up {table}"));
            let table: String = table.collect();
            rows.insert(1, ("derives to", format!("{to}{table}")));
        }
        if !self.partitions.is_empty() {
            let partitions: Vec<_> = self.partitions.iter().map(u32::to_string).collect();
            rows.insert(1, ("on trial on", format!("partitions {}", partitions.join(", "))));
        }
        for position in &self.derived {
            let PositionView { partition, next, lag, state_bytes, waiting, .. } = position;
            let state = bytes(*state_bytes);
            let waiting = waiting.iter().map(|why| format!("; waiting: {why}"));
            let waiting: String = waiting.collect();
            let text = format!("{partition} at {next}, {lag} behind, {state} of state{waiting}");
            rows.push(("partition", text));
        }
        if let Some(reason) = &self.paused {
            rows.push(("paused", format!("{reason}; attach it anew to let it run again")));
        }
        if let Some(error) = last_error {
            rows.push(("last error", error.clone()));
        }
        let mut text = fields(&rows);
        for line in log {
            text.push_str(&format!("log  {line}\n"));
        }
        text
    }
}

/// The last log lines of one attachment.
#[derive(Serialize, Debug)]
pub struct LogsView {
    topic: String,
    hook: String,
    version: String,
    lines: Vec<String>,
    last_error: Option<String>,
    paused: Option<String>,
}

/// The last log lines of a plugin, wherever it runs.
#[must_use]
pub fn plugin_logs(attached: &[AttachedView]) -> Vec<LogsView> {
    let logs = attached.iter().map(|attached| LogsView {
        topic: attached.attachment.topic.clone(),
        hook: attached.attachment.hook.clone(),
        version: attached.attachment.hash.chars().take(12).collect(),
        lines: attached.log.clone(),
        last_error: attached.last_error.clone(),
        paused: attached.paused.clone(),
    });
    logs.collect()
}

/// The same as text, each line with where it is from.
#[must_use]
pub fn log_lines(logs: &[LogsView]) -> String {
    let mut text = String::new();
    for log in logs {
        let LogsView { topic, hook, version, lines, last_error, paused } = log;
        let told = lines.iter().cloned();
        let told = told.chain(last_error.iter().map(|error| format!("last error: {error}")));
        for line in told.chain(paused.iter().map(|reason| format!("paused: {reason}"))) {
            text.push_str(&format!("{topic} {hook} {version}  {line}\n"));
        }
    }
    text
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use tidegate_types::{Hook, PluginHash, PluginLimits, PoisonPolicy};

    /// An attachment that failed once.
    pub fn sample_status() -> AttachmentStatus {
        AttachmentStatus {
            attachment: Attachment {
                topic: "orders".parse().unwrap(),
                hook: Hook::Ingest,
                plugin: "threshold".parse().unwrap(),
                hash: PluginHash([0xab; 32]),
                config: String::new(),
                policy: PoisonPolicy::DeadLetter,
                limits: PluginLimits::default(),
                derive: None,
                canary: None,
                previous: None,
            },
            partitions: Vec::new(),
            paused: None,
            derived: Vec::new(),
            stats: PluginStats {
                records: 1_000,
                busy_ns: 33_333,
                failed: 1,
                ..PluginStats::default()
            },
            last_error: Some("not a number".into()),
            log: vec!["started".into()],
        }
    }

    #[test]
    fn no_records_have_no_cost() {
        let stats = StatsView::from(PluginStats::default());
        assert_eq!(stats.ns_per_record, None);
    }
}
