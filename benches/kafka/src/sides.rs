//! What is measured beside what.

use tidegate_bench::{Load, Stop};
use tidegate_bench_common::Failure;
use tokio::runtime::Runtime;

use crate::broker::{Broker, Kind};
use crate::setup::Setup;

/// One column of the figures: a broker, and how a topic on it is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Side {
    /// What it is called.
    pub name: &'static str,
    /// On which broker.
    pub kind: Kind,
    /// What its topics are made with, beside the defaults.
    pub setting: Option<(&'static str, &'static str)>,
}

/// How a topic is made whose records are durable when the system sees fit: Kafka's own setting, and
/// its default there.
pub const FLUSH_BY_SYSTEM: (&str, &str) = ("flush.messages", "9223372036854775807");

/// All of them, in the order in which they are shown and have their turns.
pub const SIDES: [Side; 6] = [
    Side { name: "toy", kind: Kind::Toy, setting: None },
    Side { name: "toy os", kind: Kind::Toy, setting: Some(FLUSH_BY_SYSTEM) },
    Side { name: "kafka", kind: Kind::Kafka, setting: None },
    Side { name: "kafka flushed", kind: Kind::Kafka, setting: Some(("flush.messages", "1")) },
    Side { name: "tidegate", kind: Kind::Tidegate, setting: None },
    Side { name: "tidegate os", kind: Kind::Tidegate, setting: Some(FLUSH_BY_SYSTEM) },
];

impl Side {
    /// A load on it with defaults and a topic like its own.
    #[must_use]
    pub fn load(&self, broker: &Broker) -> Load {
        let settings = self.setting.iter();
        let topic_settings =
            settings.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Load { topic_settings, ..broker.load() }
    }
}

/// Everything at work.
#[derive(Debug)]
pub struct Bench {
    /// How large everything is.
    pub setup: Setup,
    /// What drives the loads.
    pub runtime: Runtime,
    /// Asked for when somebody interrupts.
    pub stop: Stop,
    /// The brokers that this machine has.
    pub brokers: Vec<Broker>,
}

impl Bench {
    /// The sides whose brokers are there.
    pub fn sides(&self) -> impl Iterator<Item = &'static Side> {
        SIDES.iter().filter(|side| self.brokers.iter().any(|broker| broker.kind == side.kind))
    }

    /// The broker of a side.
    ///
    /// # Errors
    /// If it is not there.
    pub fn broker(&self, kind: Kind) -> Result<&Broker, Failure> {
        let found = self.brokers.iter().find(|broker| broker.kind == kind);
        Ok(found.ok_or_else(|| format!("{kind:?} was not started"))?)
    }

    /// Fails once somebody has interrupted.
    ///
    /// # Errors
    /// Then.
    pub fn go_on(&self) -> Result<(), Failure> {
        if self.stop.is_stopped() { Err("interrupted".into()) } else { Ok(()) }
    }
}
