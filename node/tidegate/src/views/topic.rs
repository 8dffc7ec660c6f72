//! Topics and their partitions.

use std::collections::BTreeMap;

use serde::Serialize;
use tidegate_types::{ByteSize, TopicConfig, TopicName};
use tidegate_wire::{PartitionDescription, TopicDescription};

use super::AttachmentView;
use crate::output::{fields, grouped, table};

/// A topic.
#[derive(Serialize, Debug)]
pub struct TopicView {
    name: TopicName,
    id: String,
    mirror_of: Option<String>,
    segment_bytes: u64,
    flush: String,
    /// Settings by name; those that are Kafka's bear its names.
    settings: BTreeMap<&'static str, String>,
    /// Plugins, in the order in which they run.
    plugins: Vec<AttachmentView>,
    bytes: u64,
    partitions: Vec<PartitionView>,
}

#[derive(Serialize, Debug)]
struct PartitionView {
    partition: u32,
    log_start: i64,
    high_watermark: i64,
    durable: i64,
    log_end: i64,
    leader_epoch: i32,
    incarnation: u64,
    bytes: u64,
    segments: u64,
    sealed: Option<String>,
    damage: Vec<DamageView>,
}

#[derive(Serialize, Debug)]
struct DamageView {
    first: i64,
    end: i64,
}

impl From<TopicDescription> for TopicView {
    fn from(topic: TopicDescription) -> TopicView {
        TopicView {
            name: topic.name,
            id: topic.id.to_string(),
            mirror_of: topic.mirror_of.map(String::from),
            segment_bytes: topic.config.segment.get(),
            flush: topic.config.flush.to_string(),
            settings: topic.config.settings().collect(),
            plugins: topic.attachments.iter().map(AttachmentView::from).collect(),
            bytes: topic.partitions.iter().map(|p| p.bytes).fold(0, u64::saturating_add),
            partitions: topic.partitions.into_iter().map(PartitionView::from).collect(),
        }
    }
}

impl From<PartitionDescription> for PartitionView {
    fn from(p: PartitionDescription) -> PartitionView {
        PartitionView {
            partition: p.partition.get(),
            log_start: p.log_start.get(),
            high_watermark: p.high_watermark.get(),
            durable: p.durable.get(),
            log_end: p.log_end.get(),
            leader_epoch: p.leader_epoch.get(),
            incarnation: p.incarnation.get(),
            bytes: p.bytes,
            segments: p.segments,
            sealed: p.sealed,
            damage: p
                .damage
                .into_iter()
                .map(|(first, end)| DamageView { first: first.get(), end: end.get() })
                .collect(),
        }
    }
}

impl TopicView {
    /// Offsets that consumers can ask for; those of dropped records are among them.
    fn offsets(&self) -> u64 {
        self.partitions
            .iter()
            .map(|p| u64::try_from(p.high_watermark.saturating_sub(p.log_start)).unwrap_or(0))
            .fold(0, u64::saturating_add)
    }

    /// Where each partition begins, one a line.
    #[must_use]
    pub fn starts(&self) -> String {
        let starts = self.partitions.iter().map(|p| {
            format!("{} partition {} begins at offset {}\n", self.name, p.partition, p.log_start)
        });
        starts.collect()
    }

    /// Settings that are not what a new topic has, in their usual order.
    fn changed_settings(&self) -> Vec<(&'static str, String)> {
        let usual: BTreeMap<_, _> = TopicConfig::default().settings().collect();
        let changed = TopicConfig::SETTINGS.into_iter().filter_map(|name| {
            let value = self.settings.get(name)?;
            (usual.get(name) != Some(value)).then(|| (name, value.clone()))
        });
        changed.filter(|(name, _)| !["segment.bytes", "flush"].contains(name)).collect()
    }

    fn plugins(&self) -> String {
        self.plugins.iter().map(|plugin| plugin.plugin.as_str()).collect::<Vec<_>>().join(", ")
    }
}

/// All topics, one a line.
#[must_use]
pub fn topic_table(topics: &[TopicView]) -> String {
    if topics.is_empty() {
        return "no topics: make one with `tidegate topic create NAME`\n".to_owned();
    }
    let rows = topics.iter().map(|topic| {
        [
            topic.name.to_string(),
            topic.partitions.len().to_string(),
            grouped(topic.offsets()),
            ByteSize::bytes(topic.bytes).to_string(),
            topic.plugins(),
            topic.mirror_of.clone().unwrap_or_default(),
        ]
    });
    table(["topic", "partitions", "offsets", "size", "plugins", "mirror of"], &[1, 2, 3], rows)
}

/// One topic with its partitions.
#[must_use]
pub fn topic_detail(topic: &TopicView) -> String {
    let mut head = vec![
        ("topic", topic.name.to_string()),
        ("id", topic.id.clone()),
        ("segment", ByteSize::bytes(topic.segment_bytes).to_string()),
        ("flush", topic.flush.clone()),
        ("size", ByteSize::bytes(topic.bytes).to_string()),
    ];
    head.extend(topic.changed_settings());
    if let Some(site) = &topic.mirror_of {
        head.push(("mirror of", site.clone()));
    }
    if !topic.plugins.is_empty() {
        head.push(("plugins", topic.plugins()));
    }
    let rows = topic.partitions.iter().map(|p| {
        let damage = p.damage.iter().map(|d| format!("{} to {} damaged", d.first, d.end));
        let sealed = p.sealed.iter().map(|reason| format!("sealed: {reason}"));
        [
            p.partition.to_string(),
            p.log_start.to_string(),
            p.high_watermark.to_string(),
            p.durable.to_string(),
            p.log_end.to_string(),
            ByteSize::bytes(p.bytes).to_string(),
            p.segments.to_string(),
            sealed.chain(damage).collect::<Vec<_>>().join("; "),
        ]
    });
    let columns = [
        "partition",
        "log start",
        "high watermark",
        "durable",
        "log end",
        "size",
        "segments",
        "problems",
    ];
    format!("{}\n{}", fields(&head), table(columns, &[0, 1, 2, 3, 4, 5, 6], rows))
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use tidegate_types::{Incarnation, LeaderEpoch, Offset, PartitionId, TopicConfig, TopicId};

    /// A topic with a damaged partition.
    pub fn sample() -> TopicDescription {
        let mut config = TopicConfig::default();
        config.set("retention.bytes", "1 MiB").unwrap();
        TopicDescription {
            name: "orders".parse().unwrap(),
            id: TopicId::random(),
            config,
            mirror_of: Some("berlin".parse().unwrap()),
            attachments: vec![],
            partitions: vec![PartitionDescription {
                partition: PartitionId(0),
                incarnation: Incarnation(9),
                log_start: Offset(10),
                high_watermark: Offset(1_510),
                durable: Offset(1_510),
                log_end: Offset(1_512),
                leader_epoch: LeaderEpoch(3),
                bytes: 2_048,
                segments: 1,
                sealed: Some("no space".into()),
                damage: vec![(Offset(20), Offset(30))],
            }],
        }
    }

    #[test]
    fn json_has_bare_numbers_under_stable_keys() {
        let json = serde_json::to_value(TopicView::from(sample())).unwrap();
        assert_eq!(json["name"], "orders");
        assert_eq!(json["mirror_of"], "berlin");
        assert_eq!(json["segment_bytes"], 64 << 20);
        assert_eq!(json["settings"]["retention.ms"], "7d");
        assert_eq!(json["bytes"], 2_048);
        let partition = &json["partitions"][0];
        assert_eq!(partition["high_watermark"], 1_510);
        assert_eq!(partition["damage"][0]["end"], 30);
    }

    #[test]
    fn tables_have_human_units_and_tell_problems() {
        let topic = TopicView::from(sample());
        let text = topic_table(std::slice::from_ref(&topic));
        for part in ["orders", "1,500", "2 KiB", "berlin"] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        let text = topic_detail(&topic);
        assert!(text.contains("sealed: no space; 20 to 30 damaged"), "{text}");
        assert!(text.contains("retention.bytes") && !text.contains("segment.ms"), "{text}");
        assert_eq!(topic.starts(), "orders partition 0 begins at offset 10\n");
        assert!(topic_table(&[]).contains("topic create"));
    }
}
