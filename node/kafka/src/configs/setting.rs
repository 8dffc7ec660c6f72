//! The topic settings that Kafka's clients know, by name.

/// What a value is made of. Kafka's names and numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Boolean,
    String,
    Int,
    Short,
    Long,
    Double,
    List,
}

impl Kind {
    /// Its number in answers.
    pub(super) fn code(self) -> i8 {
        match self {
            Kind::Boolean => 1,
            Kind::String => 2,
            Kind::Int => 3,
            Kind::Short => 4,
            Kind::Long => 5,
            Kind::Double => 6,
            Kind::List => 7,
        }
    }

    /// What is wrong with a value of this kind, in Kafka's words.
    pub(super) fn check(self, value: &str) -> Result<(), &'static str> {
        let (fits, otherwise) = match self {
            Kind::Boolean => (
                value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false"),
                "Expected value to be either true or false",
            ),
            Kind::Int => (value.parse::<i32>().is_ok(), "Not a number of type INT"),
            Kind::Short => (value.parse::<i16>().is_ok(), "Not a number of type SHORT"),
            Kind::Long => (value.parse::<i64>().is_ok(), "Not a number of type LONG"),
            Kind::Double => (value.parse::<f64>().is_ok(), "Not a number of type DOUBLE"),
            Kind::String | Kind::List => (true, ""),
        };
        if fits { Ok(()) } else { Err(otherwise) }
    }
}

/// One setting of a topic.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// The broker's setting from which a topic has its default.
    pub(super) broker: Option<&'static str>,
    /// What it does.
    pub(super) doc: &'static str,
}

const fn setting(
    name: &'static str,
    kind: Kind,
    broker: &'static str,
    doc: &'static str,
) -> Setting {
    let broker = if broker.is_empty() { None } else { Some(broker) };
    Setting { name, kind, broker, doc }
}

/// All of them, by name: those of Kafka 4.3, and `disk.full`.
pub(super) static SETTINGS: [Setting; 34] = [
    setting(
        "cleanup.policy",
        Kind::List,
        "log.cleanup.policy",
        "How old records leave: \"delete\" by age and size, \"compact\" once their key has a later \
         one, or both.",
    ),
    setting(
        "compression.gzip.level",
        Kind::Int,
        "compression.gzip.level",
        "Kept and told, without effect: batches stay as their producer packed them.",
    ),
    setting(
        "compression.lz4.level",
        Kind::Int,
        "compression.lz4.level",
        "Kept and told, without effect: batches stay as their producer packed them.",
    ),
    setting(
        "compression.type",
        Kind::String,
        "compression.type",
        "The codec of stored batches. Only \"producer\": they stay as they were sent.",
    ),
    setting(
        "compression.zstd.level",
        Kind::Int,
        "compression.zstd.level",
        "Kept and told, without effect: batches stay as their producer packed them.",
    ),
    setting(
        "delete.retention.ms",
        Kind::Long,
        "log.cleaner.delete.retention.ms",
        "How long a tombstone of a compacted topic stays after the compaction that first met it.",
    ),
    setting(
        "disk.full",
        Kind::String,
        "",
        "What happens when the disk is full: \"reject\" refuses producers until there is room, \
         \"drop-oldest\" gives up the oldest records of this topic.",
    ),
    setting(
        "file.delete.delay.ms",
        Kind::Long,
        "log.segment.delete.delay.ms",
        "Kept and told, without effect: files go as soon as nobody reads them.",
    ),
    setting(
        "flush.messages",
        Kind::Long,
        "log.flush.interval.messages",
        "When appended batches are synced to the disk: 1 means before they are acknowledged, \
         9223372036854775807 leaves it to the operating system. Nothing else is possible.",
    ),
    setting("flush.ms", Kind::Long, "", "Kept and told, without effect: see flush.messages."),
    setting(
        "follower.replication.throttled.replicas",
        Kind::List,
        "",
        "Kept and told, without effect: this node replicates nothing.",
    ),
    setting(
        "index.interval.bytes",
        Kind::Int,
        "log.index.interval.bytes",
        "Kept and told, without effect: indexes choose their own density.",
    ),
    setting(
        "leader.replication.throttled.replicas",
        Kind::List,
        "",
        "Kept and told, without effect: this node replicates nothing.",
    ),
    setting(
        "local.retention.bytes",
        Kind::Long,
        "log.local.retention.bytes",
        "Only -2, which means retention.bytes: all of a log is on this node's disk.",
    ),
    setting(
        "local.retention.ms",
        Kind::Long,
        "log.local.retention.ms",
        "Only -2, which means retention.ms: all of a log is on this node's disk.",
    ),
    setting(
        "max.compaction.lag.ms",
        Kind::Long,
        "log.cleaner.max.compaction.lag.ms",
        "Kept and told, without effect: compaction begins by min.cleanable.dirty.ratio.",
    ),
    setting(
        "max.message.bytes",
        Kind::Int,
        "message.max.bytes",
        "Largest record batch, as compressed by its producer.",
    ),
    setting(
        "message.timestamp.after.max.ms",
        Kind::Long,
        "log.message.timestamp.after.max.ms",
        "How far a record's timestamp may lie after the node's clock. Without a limit by default, \
         since clocks at the edge are often wrong.",
    ),
    setting(
        "message.timestamp.before.max.ms",
        Kind::Long,
        "log.message.timestamp.before.max.ms",
        "How far a record's timestamp may lie before the node's clock.",
    ),
    setting(
        "message.timestamp.type",
        Kind::String,
        "log.message.timestamp.type",
        "Who sets the records' timestamps: \"CreateTime\" the producer, \"LogAppendTime\" the node.",
    ),
    setting(
        "min.cleanable.dirty.ratio",
        Kind::Double,
        "log.cleaner.min.cleanable.ratio",
        "Share of a compacted log that must be new before it is compacted again.",
    ),
    setting(
        "min.compaction.lag.ms",
        Kind::Long,
        "log.cleaner.min.compaction.lag.ms",
        "How long a record stays at least before compaction may remove it.",
    ),
    setting(
        "min.insync.replicas",
        Kind::Int,
        "min.insync.replicas",
        "Replicas that must hold a batch of a producer that wants all of them. This node is one.",
    ),
    setting(
        "preallocate",
        Kind::Boolean,
        "log.preallocate",
        "Kept and told, without effect: segments are laid out as the disk likes it.",
    ),
    setting(
        "remote.log.copy.disable",
        Kind::Boolean,
        "",
        "Only false: no part of a log is kept elsewhere.",
    ),
    setting(
        "remote.log.delete.on.disable",
        Kind::Boolean,
        "",
        "Only false: no part of a log is kept elsewhere.",
    ),
    setting(
        "remote.storage.enable",
        Kind::Boolean,
        "",
        "Only false: no part of a log is kept elsewhere.",
    ),
    setting(
        "retention.bytes",
        Kind::Long,
        "log.retention.bytes",
        "Size of a partition above which its oldest segments are deleted; -1 for any size.",
    ),
    setting(
        "retention.ms",
        Kind::Long,
        "",
        "Age at which records are deleted, with their segment; -1 for never.",
    ),
    setting(
        "segment.bytes",
        Kind::Int,
        "log.segment.bytes",
        "Size at which a segment is closed and the next one begun.",
    ),
    setting(
        "segment.index.bytes",
        Kind::Int,
        "log.index.size.max.bytes",
        "Kept and told, without effect: indexes choose their own size.",
    ),
    setting(
        "segment.jitter.ms",
        Kind::Long,
        "",
        "Kept and told, without effect: segments close at segment.ms.",
    ),
    setting(
        "segment.ms",
        Kind::Long,
        "",
        "Age at which a segment is closed although it is not full.",
    ),
    setting(
        "unclean.leader.election.enable",
        Kind::Boolean,
        "unclean.leader.election.enable",
        "Kept and told, without effect: the node leads all of its partitions.",
    ),
];

/// One that Kafka had until version 4. It can be set, and is told of where it was.
pub(super) static BYGONE: Setting = setting(
    "message.downconversion.enable",
    Kind::Boolean,
    "",
    "Kept and told, without effect: record formats before Kafka 0.11 are not spoken.",
);

/// The setting of that name.
pub(super) fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().chain([&BYGONE]).find(|setting| setting.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_lie_by_name() {
        assert!(SETTINGS.is_sorted_by(|a, b| a.name < b.name));
        assert!(SETTINGS.iter().all(|setting| find(setting.name).is_some()));
        assert!(find(BYGONE.name).is_some());
        assert!(find("flush").is_none());
    }

    #[test]
    fn values_are_of_their_kind() {
        for (kind, good, bad) in [
            (Kind::Boolean, "TRUE", "yes"),
            (Kind::Int, "2147483647", "2147483648"),
            (Kind::Short, "-32768", "32768"),
            (Kind::Long, "-1", "7d"),
            (Kind::Double, "0.5", "half"),
        ] {
            assert_eq!(kind.check(good), Ok(()), "{kind:?}");
            assert!(kind.check(bad).is_err(), "{kind:?}");
        }
    }
}
