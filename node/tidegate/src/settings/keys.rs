//! The table of settings: one row each, with its name in files, environment and flags, its
//! default, and what it costs.
//!
//! Everything that lists settings reads this table, so that none of them can disagree. It does not
//! check values: `super::validate` does.

use std::fmt;

/// Which setting.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Key {
    /// `node.data`
    Data,
    /// `node.site`
    Site,
    /// `node.id`
    Node,
    /// `node.reserve`
    Reserve,
    /// `listener.native`
    Listen,
    /// `listener.names`
    Names,
    /// `kafka.listen`
    KafkaListen,
    /// `kafka.advertised`
    KafkaAdvertised,
    /// `kafka.auto_create`
    KafkaAutoCreate,
    /// `kafka.partitions`
    KafkaPartitions,
    /// `kafka.rebalance_delay`
    KafkaRebalanceDelay,
    /// `plugins.engine`
    PluginsEngine,
    /// `plugins.address_space`
    PluginsAddressSpace,
    /// `plugins.publishers`
    PluginsPublishers,
    /// `plugins.require_signature`
    PluginsRequireSignature,
    /// `log.format`
    LogFormat,
    /// `log.level`
    LogLevel,
    /// `client.server`
    Server,
    /// `client.tls`
    Tls,
    /// `client.timeout`
    Timeout,
}

/// What a setting's value looks like in a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A string.
    Text,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// An array of strings; separated by commas elsewhere.
    List,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Which one.
    pub key: Key,
    /// Table in the file.
    pub section: &'static str,
    /// Key in that table.
    pub name: &'static str,
    /// Environment variable.
    pub variable: &'static str,
    /// Flag on the command line; empty where there is none.
    pub flag: &'static str,
    /// Form of the value.
    pub kind: Kind,
    /// Default, as it would be written in a file; empty where it follows from another setting.
    pub default: &'static str,
    /// What it is for, and what it costs.
    pub doc: &'static str,
}

/// Every setting, in the order in which files are written.
pub const SETTINGS: &[Setting] = &[
    Setting {
        key: Key::Data,
        section: "node",
        name: "data",
        variable: "TIDEGATE_DATA",
        flag: "--data",
        kind: Kind::Text,
        default: "\"tidegate-data\"",
        doc: "Folder of everything the node keeps: logs, metadata, plugins, certificates.\n\
              Relative to the working directory. Needs room for the logs: how much, and for how\n\
              long, is each topic's setting.",
    },
    Setting {
        key: Key::Site,
        section: "node",
        name: "site",
        variable: "TIDEGATE_SITE",
        flag: "--site",
        kind: Kind::Text,
        default: "\"local\"",
        doc: "Name of the site, and the prefix of its topics where they are mirrored.\n\
              Fixed at the first start.",
    },
    Setting {
        key: Key::Node,
        section: "node",
        name: "id",
        variable: "TIDEGATE_NODE",
        flag: "--node",
        kind: Kind::Integer,
        default: "1",
        doc: "Number of the node in its site. Fixed at the first start.",
    },
    Setting {
        key: Key::Reserve,
        section: "node",
        name: "reserve",
        variable: "TIDEGATE_RESERVE",
        flag: "--reserve",
        kind: Kind::Text,
        default: "\"32 MiB\"",
        doc: "Disk space held in a file and given up when the disk is full, so that it can still be\n\
              administered: topics deleted, settings changed. Producers are refused while less than\n\
              64 MiB, or twice the reserve, is free. On small disks it is less: a thirty-second part.",
    },
    Setting {
        key: Key::Listen,
        section: "listener",
        name: "native",
        variable: "TIDEGATE_LISTEN",
        flag: "--listen",
        kind: Kind::Text,
        default: "\"127.0.0.1:9640\"",
        doc: "UDP address of the native listener; port 0 takes a free one. Clients and links always\n\
              need a certificate of this site, on every address.",
    },
    Setting {
        key: Key::Names,
        section: "listener",
        name: "names",
        variable: "TIDEGATE_NAMES",
        flag: "--name",
        kind: Kind::List,
        default: "[]",
        doc: "Names and addresses, beside loopback, that the node's certificate is valid for.\n\
              Used when the certificate is made. Tidegate's own clients need none.",
    },
    Setting {
        key: Key::KafkaListen,
        section: "kafka",
        name: "listen",
        variable: "TIDEGATE_KAFKA",
        flag: "--kafka",
        kind: Kind::Text,
        default: "\"127.0.0.1:9092\"",
        doc: "TCP address for Kafka's clients; port 0 takes a free one, off leaves the listener out.\n\
              Plain on loopback; elsewhere TLS, with a certificate of this site for every client.",
    },
    Setting {
        key: Key::KafkaAdvertised,
        section: "kafka",
        name: "advertised",
        variable: "TIDEGATE_KAFKA_ADVERTISED",
        flag: "--kafka-advertised",
        kind: Kind::Text,
        default: "",
        doc: "Host and port that Kafka's clients are told to connect to, where that is not the\n\
              listener's own address: behind NAT, or on a listener for all interfaces.",
    },
    Setting {
        key: Key::KafkaAutoCreate,
        section: "kafka",
        name: "auto_create",
        variable: "TIDEGATE_KAFKA_AUTO_CREATE",
        flag: "",
        kind: Kind::Boolean,
        default: "true",
        doc: "Whether a topic is made when a Kafka client asks for one that does not exist.",
    },
    Setting {
        key: Key::KafkaPartitions,
        section: "kafka",
        name: "partitions",
        variable: "TIDEGATE_KAFKA_PARTITIONS",
        flag: "",
        kind: Kind::Integer,
        default: "1",
        doc: "Partitions of a topic that a Kafka client makes without saying how many.",
    },
    Setting {
        key: Key::KafkaRebalanceDelay,
        section: "kafka",
        name: "rebalance_delay",
        variable: "TIDEGATE_KAFKA_REBALANCE_DELAY",
        flag: "",
        kind: Kind::Text,
        default: "\"0ms\"",
        doc: "How long a new consumer group waits for more members before it divides its partitions.\n\
              Groups of many members start with fewer rounds when it is some seconds.",
    },
    Setting {
        key: Key::PluginsEngine,
        section: "plugins",
        name: "engine",
        variable: "TIDEGATE_PLUGINS_ENGINE",
        flag: "",
        kind: Kind::Text,
        default: "\"native\"",
        doc: "How plugins run: native compiles them to machine code, interpreter runs them some ten\n\
              times slower where memory must not be made executable, as under systemd's\n\
              MemoryDenyWriteExecute, and on processors without a compiler.",
    },
    Setting {
        key: Key::PluginsAddressSpace,
        section: "plugins",
        name: "address_space",
        variable: "TIDEGATE_PLUGINS_ADDRESS_SPACE",
        flag: "",
        kind: Kind::Text,
        default: "\"4 GiB\"",
        doc: "Address space set aside for each running instance. It costs no memory. Less, such as\n\
              64 MiB, suits devices with little of it, and costs 20 to 45 % of a plugin's speed.",
    },
    Setting {
        key: Key::PluginsPublishers,
        section: "plugins",
        name: "publishers",
        variable: "TIDEGATE_PLUGINS_PUBLISHERS",
        flag: "",
        kind: Kind::List,
        default: "[]",
        doc: "Whose signatures on plugins count, as NAME=KEY with the public key in 64 hexadecimal\n\
              digits, as `tidegate plugin sign` prints it.",
    },
    Setting {
        key: Key::PluginsRequireSignature,
        section: "plugins",
        name: "require_signature",
        variable: "TIDEGATE_PLUGINS_REQUIRE_SIGNATURE",
        flag: "",
        kind: Kind::Boolean,
        default: "false",
        doc: "Whether plugins are refused that none of the publishers signed.",
    },
    Setting {
        key: Key::LogFormat,
        section: "log",
        name: "format",
        variable: "TIDEGATE_LOG_FORMAT",
        flag: "--log-format",
        kind: Kind::Text,
        default: "\"text\"",
        doc: "How the node's own log is written to standard error: text or json.",
    },
    Setting {
        key: Key::LogLevel,
        section: "log",
        name: "level",
        variable: "TIDEGATE_LOG_LEVEL",
        flag: "--log-level",
        kind: Kind::Text,
        default: "\"info\"",
        doc: "What the node logs: error, warn, info, debug or trace, or filters such as\n\
              \"info,tidegate_link=debug\". Debug costs a line per session, trace one per batch.",
    },
    Setting {
        key: Key::Server,
        section: "client",
        name: "server",
        variable: "TIDEGATE_SERVER",
        flag: "--server",
        kind: Kind::Text,
        default: "\"127.0.0.1:9640\"",
        doc: "Node that the commands talk to, as host:port.",
    },
    Setting {
        key: Key::Tls,
        section: "client",
        name: "tls",
        variable: "TIDEGATE_TLS",
        flag: "--tls",
        kind: Kind::Text,
        default: "",
        doc: "Folder with ca.pem, client.pem and client.key. Default: tls in node.data.",
    },
    Setting {
        key: Key::Timeout,
        section: "client",
        name: "timeout",
        variable: "TIDEGATE_TIMEOUT",
        flag: "--timeout",
        kind: Kind::Text,
        default: "\"10s\"",
        doc: "How long a command waits for the node. A longer time finds a slow line usable,\n\
              a shorter one tells sooner that a node is down.",
    },
];

/// Environment variable that names the settings file.
pub const CONFIG_VARIABLE: &str = "TIDEGATE_CONFIG";

impl Key {
    /// The setting's row.
    #[must_use]
    pub fn setting(self) -> &'static Setting {
        // Asserted below: each key has the row of its own position.
        &SETTINGS[self as usize]
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.setting().fmt(f)
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}", self.section, self.name))
    }
}

const _: () = {
    let mut i = 0;
    while i < SETTINGS.len() {
        assert!(SETTINGS[i].key as usize == i, "the table lists keys in their order");
        i += 1;
    }
    assert!(SETTINGS.len() == Key::Timeout as usize + 1, "every key has a row");
};

/// The word of `known` that `word` was probably meant to be.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).max(2);
    known
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Characters to insert, delete or replace to turn `a` into `b` (Levenshtein). Words longer than
/// any setting are as far as can be, which bounds the work.
fn distance(a: &str, b: &str) -> usize {
    const LONGEST: usize = 64;
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len() > LONGEST || b.len() > LONGEST {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_the_one_meant() {
        let known = || SETTINGS.iter().map(|setting| setting.name);
        assert_eq!(nearest("siet", known()), Some("site"));
        assert_eq!(nearest("nativ", known()), Some("native"));
        assert_eq!(nearest("retention", known()), None);
        assert_eq!(nearest(&"x".repeat(5000), known()), None);
    }

    #[test]
    fn names_variables_and_flags_are_unique() {
        for (i, a) in SETTINGS.iter().enumerate() {
            for b in &SETTINGS[i + 1..] {
                assert_ne!((a.section, a.name), (b.section, b.name));
                assert_ne!(a.variable, b.variable);
                assert!(a.flag != b.flag || a.flag.is_empty());
            }
        }
    }
}
