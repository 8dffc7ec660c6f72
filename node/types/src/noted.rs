//! Settings of Kafka's that mean nothing here.
//!
//! Tools set them as a matter of course, and refusing them would refuse the topic. They are checked,
//! kept and told again, and nothing else.

/// One of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Noted {
    /// Its name.
    pub name: &'static str,
    /// Kafka's default.
    pub default: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Bool,
    /// A whole number between these.
    Number(i64, i64),
    /// `partition:broker` pairs, `*`, or nothing.
    Replicas,
}

const fn noted(name: &'static str, default: &'static str, kind: Kind) -> Noted {
    Noted { name, default, kind }
}

/// All of them, by name.
pub const NOTED: [Noted; 14] = [
    noted("compression.gzip.level", "-1", Kind::Number(-1, 9)),
    noted("compression.lz4.level", "9", Kind::Number(1, 17)),
    noted("compression.zstd.level", "3", Kind::Number(-131_072, 22)),
    noted("file.delete.delay.ms", "60000", Kind::Number(0, i64::MAX)),
    noted("flush.ms", "9223372036854775807", Kind::Number(0, i64::MAX)),
    noted("follower.replication.throttled.replicas", "", Kind::Replicas),
    noted("index.interval.bytes", "4096", Kind::Number(0, i32::MAX as i64)),
    noted("leader.replication.throttled.replicas", "", Kind::Replicas),
    noted("max.compaction.lag.ms", "9223372036854775807", Kind::Number(1, i64::MAX)),
    noted("message.downconversion.enable", "true", Kind::Bool),
    noted("preallocate", "false", Kind::Bool),
    noted("segment.index.bytes", "10485760", Kind::Number(4, i32::MAX as i64)),
    noted("segment.jitter.ms", "0", Kind::Number(0, i64::MAX)),
    noted("unclean.leader.election.enable", "false", Kind::Bool),
];

impl Noted {
    /// The setting of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Noted> {
        NOTED.iter().find(|noted| noted.name == name)
    }

    /// Whether it can have this value; otherwise what it can have.
    pub(crate) fn check(&self, value: &str) -> Result<(), String> {
        match self.kind {
            Kind::Bool if value == "true" || value == "false" => Ok(()),
            Kind::Bool => Err("it must be true or false".to_owned()),
            Kind::Number(low, high) => match value.parse::<i64>() {
                Ok(number) if (low..=high).contains(&number) => Ok(()),
                _ => Err(format!("it must be a number from {low} to {high}")),
            },
            Kind::Replicas if value.is_empty() || value == "*" => Ok(()),
            Kind::Replicas => {
                let pair = |pair: &str| {
                    let parts = pair.trim().split_once(':');
                    parts.is_some_and(|(partition, broker)| {
                        partition.parse::<u32>().is_ok() && broker.parse::<u32>().is_ok()
                    })
                };
                // Names are bounded by the request that they come in; this by what is kept.
                if value.len() <= 4_096 && value.split(',').all(pair) {
                    Ok(())
                } else {
                    Err("it must be a list of partition:broker, or *".to_owned())
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_possible_and_names_in_order() {
        assert!(NOTED.is_sorted_by(|a, b| a.name < b.name));
        for noted in NOTED {
            assert_eq!(noted.check(noted.default), Ok(()), "{}", noted.name);
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (name, value) in [
            ("preallocate", "yes"),
            ("segment.index.bytes", "3"),
            ("flush.ms", "soon"),
            ("leader.replication.throttled.replicas", "0-1"),
        ] {
            assert!(Noted::find(name).unwrap().check(value).is_err(), "{name}={value}");
        }
        let replicas = Noted::find("leader.replication.throttled.replicas").unwrap();
        assert_eq!(replicas.check("0:1,1:1"), Ok(()));
        assert_eq!(Noted::find("retention.ms"), None);
    }
}
