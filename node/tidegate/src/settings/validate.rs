//! Checks raw values and builds the settings from them.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use tidegate_broker::{Backend, NodeConfig, PluginConfig};
use tidegate_kafka::GatewayConfig;
use tidegate_types::{
    ByteSize, NodeId, Publisher, SiteName, format_duration, limits, parse_duration,
};
use tracing_subscriber::EnvFilter;

use super::file::RawValue;
use super::{ClientSettings, Key, LogFormat, LogSettings, Problem, Settings, Source};

/// Longest time that a command may be told to wait.
const MAX_TIMEOUT: Duration = Duration::from_secs(3_600);

/// Largest reserve: it is written out.
const MAX_RESERVE: ByteSize = ByteSize::gib(4);

/// Reads each setting; collects what is wrong instead of stopping at the first.
struct Checker<'a> {
    raw: &'a BTreeMap<Key, RawValue>,
    problems: Vec<Problem>,
    effective: BTreeMap<Key, (String, Source)>,
}

impl Checker<'_> {
    /// The checked value of `key`, or `default` where it is not set or wrong.
    fn take<T>(
        &mut self,
        key: Key,
        default: T,
        show: impl Fn(&T) -> String,
        read: impl FnOnce(&[String]) -> Result<T, String>,
    ) -> T {
        let (value, source) = match self.raw.get(&key) {
            None => (default, Source::Default),
            Some(raw) => match read(&raw.items) {
                Ok(value) => (value, raw.source.clone()),
                Err(message) => {
                    self.problems.push(Problem {
                        source: raw.source.clone(),
                        key: Some(key.to_string()),
                        message: format!("`{key}`: {message}"),
                    });
                    (default, Source::Default)
                }
            },
        };
        self.effective.insert(key, (show(&value), source));
        value
    }

    /// As [`Checker::take`], for a value that is one text.
    fn text<T>(
        &mut self,
        key: Key,
        default: T,
        show: impl Fn(&T) -> String,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> T {
        self.take(key, default, show, |items| match items {
            [text] => read(text.trim()),
            _ => Err("give it once".to_owned()),
        })
    }
}

/// Builds the settings, or tells what is wrong, `problems` found so far first.
pub fn settings(
    raw: &BTreeMap<Key, RawValue>,
    problems: Vec<Problem>,
) -> Result<Settings, Vec<Problem>> {
    let mut c = Checker { raw, problems, effective: BTreeMap::new() };
    let show_path = |path: &PathBuf| path.display().to_string();

    let data = c.text(Key::Data, PathBuf::from("tidegate-data"), show_path, folder);
    let site = c.text(Key::Site, default_site(), ToString::to_string, |text| {
        SiteName::new(text).map_err(|error| error.to_string())
    });
    let node = c.text(Key::Node, NodeId(1), ToString::to_string, |text| {
        text.parse()
            .map(NodeId)
            .map_err(|_| format!("{text:?} is no node number from 0 to {}", u32::MAX))
    });
    let listen = SocketAddr::from(([127, 0, 0, 1], DEFAULT_PORT));
    let listen = c.text(Key::Listen, listen, ToString::to_string, |text| {
        text.parse().map_err(|_| {
            format!("{text:?} is no address with a port: write 127.0.0.1:9640 or [::1]:9640")
        })
    });
    let names = c.take(
        Key::Names,
        Vec::new(),
        |names| names.join(","),
        |items| items.iter().map(|name| certificate_name(name)).collect(),
    );
    let reserve = c.text(Key::Reserve, limits::DEFAULT_RESERVE, ToString::to_string, |text| {
        match text.parse::<ByteSize>() {
            Ok(size) if size > MAX_RESERVE => {
                Err(format!("{text:?} is too much: at most {MAX_RESERVE}"))
            }
            Ok(size) => Ok(size),
            Err(error) => Err(error.to_string()),
        }
    });
    let kafka = kafka(&mut c);
    let rebalance_delay = c.text(
        Key::KafkaRebalanceDelay,
        Duration::ZERO,
        |delay| format_duration(*delay),
        |text| match parse_duration(text) {
            Ok(delay) if delay > MAX_REBALANCE_DELAY => {
                Err(format!("{text:?} is too long: at most 5m"))
            }
            Ok(delay) => Ok(delay),
            Err(error) => Err(error.to_string()),
        },
    );
    let plugins = plugins(&mut c);
    let format = c.text(
        Key::LogFormat,
        LogFormat::Text,
        |f| f.as_str().to_owned(),
        |text| match text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err(format!("{text:?} is no log format: use text or json")),
        },
    );
    let level = c.text(Key::LogLevel, "info".to_owned(), String::clone, |text| {
        EnvFilter::try_new(text)
            .map(|_| text.to_owned())
            .map_err(|_| format!("{text:?} is no log level: use error, warn, info, debug or trace"))
    });
    let server = format!("127.0.0.1:{DEFAULT_PORT}");
    let server = c.text(Key::Server, server, String::clone, host_and_port);
    let tls = c.text(Key::Tls, data.join("tls"), show_path, folder);
    let timeout = c.text(
        Key::Timeout,
        Duration::from_secs(10),
        |timeout| format_duration(*timeout),
        |text| match parse_duration(text) {
            Ok(time) if time.is_zero() || time > MAX_TIMEOUT => {
                Err(format!("{text:?} is out of range: above 0 and at most 1h"))
            }
            Ok(time) => Ok(time),
            Err(error) => Err(error.to_string()),
        },
    );

    if !c.problems.is_empty() {
        return Err(c.problems);
    }
    Ok(Settings {
        node: NodeConfig {
            data,
            site,
            node,
            listen,
            names,
            reserve,
            groups: tidegate_group::Config {
                initial_rebalance_delay: rebalance_delay,
                ..tidegate_group::Config::default()
            },
            plugins,
        },
        kafka,
        log: LogSettings { format, level },
        client: ClientSettings { server, tls, timeout },
        effective: c.effective,
    })
}

/// How plugins run, and whose are let in.
fn plugins(c: &mut Checker<'_>) -> PluginConfig {
    let show = |backend: &Backend| match backend {
        Backend::Native => "native".to_owned(),
        Backend::Interpreter => "interpreter".to_owned(),
    };
    let backend = c.text(Key::PluginsEngine, Backend::Native, show, |text| match text {
        "native" => Ok(Backend::Native),
        "interpreter" => Ok(Backend::Interpreter),
        _ => Err(format!("{text:?} is no engine: use native or interpreter")),
    });
    let space =
        c.text(Key::PluginsAddressSpace, WHOLE_SPACE, ToString::to_string, |text| {
            match text.parse::<ByteSize>() {
                Ok(size) if size < ByteSize::mib(1) || size > WHOLE_SPACE => {
                    Err(format!("{text:?} is out of range: 1 MiB to {WHOLE_SPACE}"))
                }
                Ok(size) => Ok(size),
                Err(error) => Err(error.to_string()),
            }
        });
    let publishers = c.take(
        Key::PluginsPublishers,
        Vec::new(),
        |publishers: &Vec<Publisher>| {
            publishers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
        },
        |items| items.iter().map(|text| text.parse()).collect(),
    );
    let require_signature = c.text(Key::PluginsRequireSignature, false, bool::to_string, |text| {
        text.parse().map_err(|_| format!("{text:?} is neither true nor false"))
    });
    let memory_reservation = (space < WHOLE_SPACE).then_some(space);
    PluginConfig { backend, memory_reservation, publishers, require_signature }
}

/// What an instance can address at all.
const WHOLE_SPACE: ByteSize = ByteSize::gib(4);

/// The Kafka listener's settings.
fn kafka(c: &mut Checker<'_>) -> Option<GatewayConfig> {
    let listen = Some(SocketAddr::from(([127, 0, 0, 1], KAFKA_PORT)));
    let show = |listen: &Option<SocketAddr>| {
        listen.map_or_else(|| "off".to_owned(), |address| address.to_string())
    };
    let listen = c.text(Key::KafkaListen, listen, show, |text| match text {
        "off" => Ok(None),
        _ => text.parse().map(Some).map_err(|_| {
            format!("{text:?} is no address with a port: write 127.0.0.1:9092, or off")
        }),
    });
    let show = |told: &Option<(String, u16)>| {
        told.as_ref().map_or_else(String::new, |(host, port)| format!("{host}:{port}"))
    };
    let advertised = c.text(Key::KafkaAdvertised, None, show, |text| {
        host_and_port(text)?;
        let (host, port) = text.rsplit_once(':').unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Ok(Some((host.to_owned(), port.parse().unwrap_or_default())))
    });
    let auto_create = c.text(Key::KafkaAutoCreate, true, bool::to_string, |text| {
        text.parse().map_err(|_| format!("{text:?} is neither true nor false"))
    });
    let partitions = c.text(Key::KafkaPartitions, 1, u32::to_string, |text| {
        let max = limits::MAX_PARTITIONS_PER_TOPIC;
        let number = text.parse().ok().filter(|number| (1..=max).contains(number));
        number.ok_or_else(|| format!("{text:?} is no number of partitions from 1 to {max}"))
    });
    Some(GatewayConfig { listen: listen?, advertised, auto_create, partitions })
}

/// TCP port of the Kafka listener: Kafka's own.
const KAFKA_PORT: u16 = 9092;

/// Longest wait of a new group.
const MAX_REBALANCE_DELAY: Duration = Duration::from_secs(300);

/// UDP port of the native listener.
const DEFAULT_PORT: u16 = 9640;

#[expect(clippy::expect_used, reason = "a constant that a test reads")]
fn default_site() -> SiteName {
    SiteName::new("local").expect("a valid name")
}

fn folder(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() { Err("must not be empty".to_owned()) } else { Ok(PathBuf::from(text)) }
}

/// Checks `host:port`, with a port that can be dialled.
pub fn host_and_port(text: &str) -> Result<String, String> {
    let wrong = || format!("{text:?} is no host with a port: write for example 127.0.0.1:9640");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let host_is_good = match bare {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => is_host_name(host),
    };
    match port.parse::<u16>() {
        Ok(port) if port > 0 && host_is_good => Ok(text.to_owned()),
        _ => Err(wrong()),
    }
}

fn certificate_name(name: &str) -> Result<String, String> {
    if name.parse::<IpAddr>().is_ok() || is_host_name(name) {
        Ok(name.to_owned())
    } else {
        Err(format!("{name:?} is neither a host name nor an address"))
    }
}

/// Letters, digits, dots, hyphens and underscores, at most 253 of them.
fn is_host_name(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        && !text.starts_with(['.', '-'])
}

impl LogFormat {
    /// The word that users write.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        }
    }
}
