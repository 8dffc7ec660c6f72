//! A made-up fleet: sensors that measure, and gateways that write log lines.
//!
//! The same seed makes the same records. Each comes with what will become of it, known from how it
//! was made: a reading by whether it was put inside its sensor's band, a line by which of its words
//! are secrets. The plugins' rules are not repeated here.

use std::fmt::Write;

use tidegate_env::Rng;

use super::expect::{Fate, Identity, MASK, Made, Order};
use super::stream::{PluginUse, Stream};

/// Streams of the fleet, by index.
const SENSORS: usize = 0;
const LOGS: usize = 1;

const SENSOR_COUNT: usize = 60;
const GATEWAY_COUNT: u64 = 12;

/// Of a hundred records, readings; the others are log lines.
const READINGS_PERCENT: u64 = 85;
/// Of a hundred readings, those inside the band, which the plugin drops.
const CALM_PERCENT: u64 = 88;

/// Name, unit, middle of the band and half its width, in hundredths.
const KINDS: [(&str, &str, i64, i64); 5] = [
    ("kiln", "C", 85_000, 1_500),
    ("freezer", "C", -1_950, 250),
    ("pump", "bar", 320, 45),
    ("meter", "A", 1_240, 310),
    ("hall", "%", 4_500, 800),
];

const USERS: [&str; 6] = ["anna.berg", "ops", "jo+field", "root", "m.costa", "svc_backup"];
const HOSTS: [&str; 3] = ["example.com", "plant.example.org", "example.net"];

/// One sensor. Values are hundredths, so that no rounding stands between them and the band.
#[derive(Clone, Debug)]
struct Sensor {
    name: String,
    unit: &'static str,
    low: i64,
    high: i64,
    readings: u64,
}

/// The fleet, an endless source of records.
#[derive(Clone, Debug)]
pub struct Fleet {
    rng: Rng,
    sensors: Vec<Sensor>,
    readings: u64,
    lines: u64,
}

impl Fleet {
    /// The fleet that `seed` names.
    pub fn new(seed: u64) -> Fleet {
        let mut rng = Rng::new(seed);
        let sensors = (0..SENSOR_COUNT)
            .map(|i| {
                let (kind, unit, middle, half) = KINDS[i % KINDS.len()];
                let middle = middle + rng.below(half.unsigned_abs()) as i64;
                Sensor {
                    name: format!("{kind}-{:02}", i / KINDS.len() + 1),
                    unit,
                    low: middle - half,
                    high: middle + half,
                    readings: 0,
                }
            })
            .collect();
        Fleet { rng, sensors, readings: 0, lines: 0 }
    }

    /// What its records go to.
    pub fn streams(&self) -> Vec<Stream> {
        let bands: Vec<String> = self
            .sensors
            .iter()
            .map(|s| {
                let (low, high) = (hundredths(s.low), hundredths(s.high));
                format!("\"{}\":{{\"low\":{low},\"high\":{high}}}", s.name)
            })
            .collect();
        let threshold = format!("{{\"field\":\"value\",\"per_key\":{{{}}}}}", bands.join(","));
        vec![
            Stream {
                topic: "sensors",
                partitions: 4,
                plugins: vec![PluginUse::strict("threshold", threshold)],
                identity: Identity::Json,
                order: Order::PerKey,
            },
            Stream {
                topic: "logs",
                partitions: 2,
                plugins: vec![PluginUse::strict("redact", format!("{{\"mask\":\"{MASK}\"}}"))],
                identity: Identity::LineEnd,
                order: Order::PerKey,
            },
        ]
    }

    /// The next record.
    pub fn next(&mut self) -> Made {
        if self.rng.chance(READINGS_PERCENT) { self.reading() } else { self.line() }
    }

    fn reading(&mut self) -> Made {
        let rng = &mut self.rng;
        let sensor = &mut self.sensors[rng.below(SENSOR_COUNT as u64) as usize];
        let width = (sensor.high - sensor.low).unsigned_abs();
        let calm = rng.chance(CALM_PERCENT);
        let value = if calm {
            // The edges of the band belong to it.
            sensor.low + rng.between(0, width) as i64
        } else if rng.chance(50) {
            sensor.high + rng.between(1, width) as i64
        } else {
            sensor.low - rng.between(1, width) as i64
        };
        let id = self.readings;
        let json = format!(
            "{{\"id\":{id},\"sensor\":\"{}\",\"seq\":{},\"value\":{},\"unit\":\"{}\",\"battery\":{}}}",
            sensor.name,
            sensor.readings,
            hundredths(value),
            sensor.unit,
            rng.between(40, 100),
        );
        self.readings += 1;
        sensor.readings += 1;
        Made {
            stream: SENSORS,
            key: sensor.name.clone(),
            value: json.into_bytes(),
            fate: if calm { Fate::Dropped } else { Fate::Kept },
        }
    }

    fn line(&mut self) -> Made {
        let id = self.lines;
        self.lines += 1;
        let rng = &mut self.rng;
        let gateway = format!("gw-{:02}", rng.below(GATEWAY_COUNT) + 1);
        let second = id / 100;
        let mut line = Line::default();
        line.text(&format!(
            "Jan {:2} {:02}:{:02}:{:02} {gateway} ",
            5 + second / 86_400 % 20,
            second / 3_600 % 24,
            second / 60 % 60,
            second % 60
        ));
        message(&mut line, rng);
        line.text(&format!(" id={id}"));
        let fate =
            if line.clear == line.masked { Fate::Kept } else { Fate::Rewritten(line.masked) };
        Made { stream: LOGS, key: gateway, value: line.clear.into_bytes(), fate }
    }
}

/// A line as it is written, and as it may be shown.
#[derive(Default)]
struct Line {
    clear: String,
    masked: String,
}

impl Line {
    fn text(&mut self, text: &str) {
        self.clear.push_str(text);
        self.masked.push_str(text);
    }

    fn secret(&mut self, secret: &str) {
        self.clear.push_str(secret);
        self.masked.push_str(MASK);
    }
}

fn message(line: &mut Line, rng: &mut Rng) {
    let pid = rng.between(300, 32_000);
    let port = rng.between(1_024, 65_000);
    match rng.below(7) {
        0 => {
            line.text(&format!("sshd[{pid}]: Failed password for invalid user eve from "));
            line.secret(&ipv4(rng));
            line.text(&format!(" port {port} ssh2"));
        }
        1 => {
            line.text(&format!("portal[{pid}]: sign-in of "));
            line.secret(&mail(rng));
            line.text(" from ");
            line.secret(&ipv4(rng));
        }
        2 => {
            line.text(&format!("agent[{pid}]: POST /v1/readings token="));
            line.secret(&credential(rng));
            line.text(" status=201");
        }
        3 => {
            line.text(&format!("agent[{pid}]: sent Authorization: Bearer "));
            line.secret(&credential(rng));
        }
        4 => {
            line.text(&format!("uplink[{pid}]: peer "));
            line.secret(&format!("2001:db8::{:x}", rng.between(1, 0xffff)));
            line.text(&format!(" answered in {} ms", rng.between(3, 400)));
        }
        5 => {
            line.text(&format!("bridge[{pid}]: connecting to mqtt://field:"));
            line.secret(&credential(rng));
            line.text("@broker.example:1883/plant");
        }
        _ => line.text(&format!("kernel: eth0 up, {} errors so far", rng.below(9))),
    }
}

fn ipv4(rng: &mut Rng) -> String {
    let net = ["203.0.113", "198.51.100", "10.20.4"][rng.below(3) as usize];
    format!("{net}.{}", rng.between(1, 254))
}

fn mail(rng: &mut Rng) -> String {
    let user = USERS[rng.below(USERS.len() as u64) as usize];
    format!("{user}@{}", HOSTS[rng.below(HOSTS.len() as u64) as usize])
}

fn credential(rng: &mut Rng) -> String {
    format!("{:016x}{:08x}", rng.next_u64(), rng.below(1 << 32))
}

/// `-350` as `-3.50`.
fn hundredths(n: i64) -> String {
    let mut text = String::new();
    let sign = if n < 0 { "-" } else { "" };
    let n = n.unsigned_abs();
    let _ = write!(text, "{sign}{}.{:02}", n / 100, n % 100);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(seed: u64, n: usize) -> Vec<Made> {
        let mut fleet = Fleet::new(seed);
        (0..n).map(|_| fleet.next()).collect()
    }

    #[test]
    fn a_seed_names_its_records() {
        assert_eq!(take(7, 2_000), take(7, 2_000));
        assert_ne!(take(7, 2_000), take(8, 2_000));
    }

    #[test]
    fn fates_agree_with_the_bands_that_the_plugin_is_given() {
        let fleet = Fleet::new(3);
        let config = &fleet.streams()[SENSORS].plugins[0].config;
        let config: serde_json::Value = serde_json::from_str(config).unwrap();
        let (mut dropped, mut kept) = (0, 0);
        for made in take(3, 20_000).into_iter().filter(|made| made.stream == SENSORS) {
            let value: serde_json::Value = serde_json::from_slice(&made.value).unwrap();
            assert_eq!(value["sensor"], made.key);
            let number = value["value"].as_f64().unwrap();
            let band = &config["per_key"][&made.key];
            let (low, high) = (band["low"].as_f64().unwrap(), band["high"].as_f64().unwrap());
            let outside = number < low || number > high;
            assert_eq!(made.fate == Fate::Kept, outside, "{value} in {band}");
            if outside { kept += 1 } else { dropped += 1 }
        }
        assert!(kept > 1_000 && dropped > 10_000, "{kept} kept, {dropped} dropped");
    }

    #[test]
    fn masked_lines_hold_no_secret_and_the_rest_of_the_line() {
        let (mut masked, mut clear) = (0, 0);
        for made in take(4, 20_000).into_iter().filter(|made| made.stream == LOGS) {
            let line = String::from_utf8(made.value).unwrap();
            match made.fate {
                Fate::Kept => clear += 1,
                Fate::Rewritten(value) => {
                    masked += 1;
                    assert!(value.contains(MASK) && value != line);
                    for telling in
                        ["203.0.113.", "198.51.100.", "10.20.4.", "2001:db8", "example.org"]
                    {
                        assert!(!value.contains(telling), "{value}");
                    }
                    assert_eq!(
                        line.rsplit_once(" id="),
                        value
                            .rsplit_once(" id=")
                            .map(|(_, id)| { (line.rsplit_once(" id=").unwrap().0, id) })
                    );
                }
                fate => panic!("{fate:?}"),
            }
        }
        assert!(masked > 1_000 && clear > 100, "{masked} masked, {clear} clear");
    }

    #[test]
    fn ids_and_sequences_rise_without_gaps() {
        let mut next = [0_u64; 2];
        let mut sequences = std::collections::HashMap::new();
        for made in take(5, 5_000) {
            let text = String::from_utf8(made.value).unwrap();
            let id = if made.stream == SENSORS {
                let value: serde_json::Value = serde_json::from_str(&text).unwrap();
                let next = sequences.entry(made.key).or_insert(0);
                assert_eq!(value["seq"], *next);
                *next += 1;
                value["id"].as_u64().unwrap()
            } else {
                text.rsplit_once(" id=").unwrap().1.parse().unwrap()
            };
            assert_eq!(id, next[made.stream]);
            next[made.stream] += 1;
        }
    }

    #[test]
    fn hundredths_keep_their_sign() {
        for (n, text) in
            [(0, "0.00"), (5, "0.05"), (-5, "-0.05"), (-350, "-3.50"), (85_012, "850.12")]
        {
            assert_eq!(hundredths(n), text);
        }
    }
}
