//! This machine's own telemetry, measured while the demo runs.
//!
//! Each measurement is a record of its own, keyed by the metric's name. No plugin is on its way.

use std::time::{SystemTime, UNIX_EPOCH};

use sysinfo::{Disks, Networks, System};

use super::expect::{Fate, Identity, Made, Order};
use super::stream::Stream;

/// Machines with more cores report the first ones.
const MAX_CORES: usize = 64;

/// What the measurements go to.
pub fn stream() -> Stream {
    Stream {
        topic: "telemetry",
        partitions: 1,
        plugins: Vec::new(),
        identity: Identity::Json,
        order: Order::PerKey,
    }
}

/// One measured number.
#[derive(Clone, PartialEq, Debug)]
pub struct Measurement {
    metric: String,
    value: f64,
    unit: &'static str,
}

impl Measurement {
    /// The record that tells it, with an id in its stream.
    pub fn record(&self, stream: usize, id: u64) -> Made {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |at| at.as_millis());
        let value = format!(
            "{{\"id\":{id},\"at\":{at},\"metric\":\"{}\",\"value\":{:.2},\"unit\":\"{}\"}}",
            self.metric, self.value, self.unit
        );
        Made { stream, key: self.metric.clone(), value: value.into_bytes(), fate: Fate::Kept }
    }
}

/// Measures; what the system does not tell is left out.
pub struct Machine {
    system: Option<System>,
    disks: Option<Disks>,
    networks: Option<Networks>,
}

impl Machine {
    /// Looks at the machine for the first time. May block for some milliseconds.
    pub fn new() -> Machine {
        Machine {
            system: System::new().ok(),
            disks: Disks::new_with_refreshed_list().ok(),
            networks: Networks::new_with_refreshed_list().ok(),
        }
    }

    /// What it is doing now. May block for some milliseconds.
    pub fn measure(&mut self) -> Vec<Measurement> {
        let mut found = Vec::new();
        let mut tell = |metric: String, value: f64, unit| {
            if value.is_finite() {
                found.push(Measurement { metric, value, unit });
            }
        };
        if let Some(system) = &mut self.system {
            system.refresh_cpu_usage();
            system.refresh_memory();
            for (i, cpu) in system.cpus().iter().take(MAX_CORES).enumerate() {
                tell(format!("cpu.{i}"), f64::from(cpu.usage()), "%");
            }
            tell("memory.used".to_owned(), system.used_memory() as f64, "B");
            tell("memory.total".to_owned(), system.total_memory() as f64, "B");
        }
        if let Ok(load) = System::load_average() {
            tell("load.1m".to_owned(), load.one, "");
            tell("load.5m".to_owned(), load.five, "");
        }
        if let Some(disks) = &mut self.disks {
            disks.refresh(true);
            let free: u64 = disks.iter().map(|disk| disk.available_space()).sum();
            tell("disk.free".to_owned(), free as f64, "B");
        }
        if let Some(networks) = &mut self.networks {
            networks.refresh(true);
            let sum = |of: fn(&sysinfo::NetworkData) -> u64| {
                networks.values().map(of).fold(0, u64::saturating_add)
            };
            tell("network.received".to_owned(), sum(|data| data.total_received()) as f64, "B");
            tell("network.sent".to_owned(), sum(|data| data.total_transmitted()) as f64, "B");
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measurements_are_json_with_their_id_in_front() {
        let measured = Measurement { metric: "cpu.0".to_owned(), value: 12.345, unit: "%" };
        let made = measured.record(2, 17);
        let text = String::from_utf8(made.value).unwrap();
        assert!(text.starts_with("{\"id\":17,"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((json["metric"].as_str(), json["unit"].as_str()), (Some("cpu.0"), Some("%")));
        assert!((json["value"].as_f64().unwrap() - 12.345).abs() < 0.01);
        assert_eq!((made.key.as_str(), made.stream, made.fate), ("cpu.0", 2, Fate::Kept));
    }

    #[test]
    fn this_machine_has_something_to_tell() {
        let measured = Machine::new().measure();
        let mut names: Vec<_> = measured.iter().map(|m| m.metric.clone()).collect();
        assert!(!names.is_empty());
        names.sort();
        names.dedup();
        assert_eq!(names.len(), measured.len(), "each metric once");
    }
}
