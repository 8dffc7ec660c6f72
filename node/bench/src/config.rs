//! What every load has in common, and the checks on it.
//!
//! Plain data without a parser: a command line, a file or a test fills it in, and
//! [`Load::check`] says what cannot be.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;
use tidegate_types::{ByteSize, TopicName, limits};

/// Most connections of one load; each Kafka connection has a thread of its own.
pub const MAX_CONNECTIONS: u32 = 256;

/// Most requests of one connection that may wait for their answers.
pub const MAX_IN_FLIGHT: u32 = limits::MAX_IN_FLIGHT as u32;

/// Most partitions of a topic that is made for a load.
pub const MAX_PARTITIONS: u32 = limits::MAX_PARTITIONS_PER_TOPIC;

/// Most requests or records a second that a rate may ask for.
const MAX_RATE: f64 = 1e9;

/// Longest load, warm-up and wait.
const MAX_TIME: Duration = Duration::from_secs(7 * 86_400);

/// Longest `host:port`.
const MAX_ADDRESS: usize = 512;

/// What cannot be asked for.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum ConfigError {
    /// A number lies outside of its range.
    #[error("{name} is {value}, but lies between {least} and {most}")]
    Range {
        /// The setting.
        name: &'static str,
        /// What was asked for.
        value: String,
        /// The least it can be.
        least: String,
        /// The most it can be.
        most: String,
    },
    /// The address is no `host:port`.
    #[error("{address:?} is no address: write host:port")]
    Address {
        /// What was given instead.
        address: String,
    },
    /// The text is no rate.
    #[error("{text:?} is no rate: write records a second as 50000, or requests a second as 200req")]
    Rate {
        /// What was given instead.
        text: String,
    },
    /// A node's topics have no such setting.
    #[error(transparent)]
    TopicSetting(#[from] tidegate_types::SettingError),
    /// Records so large do not fit batches so small.
    #[error("a batch of {records} records of {record} does not fit the {limit} of a batch")]
    BatchTooLarge {
        /// Records in the batch.
        records: u64,
        /// Size of each.
        record: ByteSize,
        /// The most that a batch may have.
        limit: ByteSize,
    },
}

/// Fails unless `value` lies between `least` and `most`.
pub(crate) fn within<T: PartialOrd + ToString>(
    name: &'static str,
    value: T,
    least: T,
    most: T,
) -> Result<(), ConfigError> {
    // Not a number lies in no range.
    if value >= least && value <= most {
        return Ok(());
    }
    let (value, least, most) = (value.to_string(), least.to_string(), most.to_string());
    Err(ConfigError::Range { name, value, least, most })
}

/// Whom to load, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// A broker that speaks Kafka's protocol.
    Kafka {
        /// `host:port`.
        address: String,
    },
    /// A node's native listener.
    Native {
        /// `host:port`.
        address: String,
        /// Folder with `ca.pem`, `client.pem` and `client.key`.
        tls: PathBuf,
    },
}

impl Target {
    /// Its address.
    #[must_use]
    pub fn address(&self) -> &str {
        match self {
            Target::Kafka { address } | Target::Native { address, .. } => address,
        }
    }

    /// The protocol it is spoken to in.
    #[must_use]
    pub const fn protocol(&self) -> &'static str {
        match self {
            Target::Kafka { .. } => "kafka",
            Target::Native { .. } => "native",
        }
    }
}

/// When a load ends, not counting its warm-up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// After that many records.
    Records(u64),
    /// After that many bytes of batches.
    Bytes(ByteSize),
    /// After that time.
    Time(Duration),
}

/// How often requests are due, over all connections.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rate {
    /// Records a second.
    Records(f64),
    /// Requests a second.
    Requests(f64),
}

impl Rate {
    /// Requests a second where each carries `records`.
    #[must_use]
    pub fn requests(self, records: u32) -> f64 {
        match self {
            Rate::Records(rate) => rate / f64::from(records.max(1)),
            Rate::Requests(rate) => rate,
        }
    }

    /// Fails if it is no rate at all.
    ///
    /// # Errors
    /// If it is not above zero, or above what any machine does.
    pub fn check(self) -> Result<(), ConfigError> {
        let (Rate::Records(rate) | Rate::Requests(rate)) = self;
        within("the rate", rate, f64::MIN_POSITIVE, MAX_RATE)
    }
}

impl FromStr for Rate {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Rate, ConfigError> {
        let wrong = || ConfigError::Rate { text: text.to_owned() };
        let number = text.trim();
        let number = number.strip_suffix("/s").unwrap_or(number);
        let (number, requests) = match number.strip_suffix("req") {
            Some(number) => (number.trim_end(), true),
            None => (number, false),
        };
        let (number, factor) = match number.as_bytes().last() {
            Some(b'k') => (&number[..number.len() - 1], 1e3),
            Some(b'm') => (&number[..number.len() - 1], 1e6),
            _ => (number, 1.0),
        };
        let rate = number.parse::<f64>().map_err(|_| wrong())? * factor;
        let rate = if requests { Rate::Requests(rate) } else { Rate::Records(rate) };
        rate.check().map_err(|_| wrong())?;
        Ok(rate)
    }
}

/// What every load has in common.
#[derive(Clone, PartialEq, Debug)]
pub struct Load {
    /// Whom to load.
    pub target: Target,
    /// The topic; without one, `bench-<random>` is made and deleted afterwards.
    pub topic: Option<TopicName>,
    /// Settings of the topic, by name, if it is made.
    pub topic_settings: Vec<(String, String)>,
    /// Partitions of the topic, if it is made. Default 1.
    pub partitions: u32,
    /// Connections. Default 1.
    pub connections: u32,
    /// Requests of each connection that may wait for their answers.
    pub in_flight: u32,
    /// When it ends. Default after 10 s.
    pub end: End,
    /// What is done in this time at first is not counted. Default 0 s.
    pub warmup: Duration,
    /// So long an answer may take, and a connection to be made. Default 30 s.
    pub timeout: Duration,
}

impl Load {
    /// A load with defaults.
    #[must_use]
    pub fn new(target: Target) -> Load {
        Load {
            target,
            topic: None,
            topic_settings: Vec::new(),
            partitions: 1,
            connections: 1,
            in_flight: 5,
            end: End::Time(Duration::from_secs(10)),
            warmup: Duration::ZERO,
            timeout: Duration::from_secs(30),
        }
    }

    /// Fails if something cannot be.
    ///
    /// # Errors
    /// Names the first setting that is out of its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        let address = self.target.address();
        let port = address.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>()));
        if address.len() > MAX_ADDRESS || !matches!(port, Some((host, Ok(_))) if !host.is_empty()) {
            return Err(ConfigError::Address { address: address.chars().take(64).collect() });
        }
        within("the number of partitions", self.partitions, 1, MAX_PARTITIONS)?;
        within("the number of connections", self.connections, 1, MAX_CONNECTIONS)?;
        within("the number of requests in flight", self.in_flight, 1, MAX_IN_FLIGHT)?;
        let seconds = |time: Duration| time.as_secs_f64();
        let longest = seconds(MAX_TIME);
        within("the warm-up in seconds", seconds(self.warmup), 0.0, longest)?;
        within("the timeout in seconds", seconds(self.timeout), 0.001, longest)?;
        match self.end {
            End::Records(records) => within("the number of records", records, 1, u64::MAX),
            End::Bytes(bytes) => within("the number of bytes", bytes.get(), 1, u64::MAX),
            End::Time(time) => within("the duration in seconds", seconds(time), 0.001, longest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(address: &str) -> Load {
        Load::new(Target::Kafka { address: address.to_owned() })
    }

    #[test]
    fn rates_read_as_people_write_them() {
        for (text, rate) in [
            ("50000", Rate::Records(50_000.0)),
            ("50k", Rate::Records(50_000.0)),
            (" 2m/s ", Rate::Records(2e6)),
            ("200req", Rate::Requests(200.0)),
            ("0.5 req/s", Rate::Requests(0.5)),
        ] {
            assert_eq!(text.parse(), Ok(rate), "{text}");
        }
        for text in ["", "req", "-1", "0", "inf", "NaN", "1e30", "fast", "5x", "k", "ü"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_rate_of_records_is_that_of_requests_by_what_each_carries() {
        assert_eq!(Rate::Records(1_000.0).requests(10), 100.0);
        assert_eq!(Rate::Requests(200.0).requests(10), 200.0);
    }

    #[test]
    fn defaults_are_fine_and_each_limit_is_held() {
        load("localhost:9092").check().unwrap();
        load("[::1]:9092").check().unwrap();
        for address in ["", "localhost", ":9092", "localhost:port", "localhost:70000"] {
            let error = load(address).check().unwrap_err();
            assert!(matches!(error, ConfigError::Address { .. }), "{address}");
        }
        let base = load("localhost:9092");
        let wrong = [
            Load { partitions: 0, ..base.clone() },
            Load { partitions: MAX_PARTITIONS + 1, ..base.clone() },
            Load { connections: 0, ..base.clone() },
            Load { connections: MAX_CONNECTIONS + 1, ..base.clone() },
            Load { in_flight: 0, ..base.clone() },
            Load { in_flight: MAX_IN_FLIGHT + 1, ..base.clone() },
            Load { timeout: Duration::ZERO, ..base.clone() },
            Load { warmup: Duration::MAX, ..base.clone() },
            Load { end: End::Time(Duration::ZERO), ..base.clone() },
            Load { end: End::Records(0), ..base.clone() },
            Load { end: End::Bytes(ByteSize::bytes(0)), ..base },
        ];
        for load in wrong {
            assert!(matches!(load.check(), Err(ConfigError::Range { .. })), "{load:?}");
        }
    }

    #[test]
    fn what_is_out_of_range_is_told_with_its_range() {
        let error = Load { in_flight: 0, ..load("localhost:9092") }.check().unwrap_err();
        let told = "the number of requests in flight is 0, but lies between 1 and 256";
        assert_eq!(error.to_string(), told);
    }
}
