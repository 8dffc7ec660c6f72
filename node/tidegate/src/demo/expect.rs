//! What must arrive, and whether it does.
//!
//! The [`Ledger`] is written where records are made, before they are sent, by those who know what
//! the plugins ought to do with each: it does not run them. A [`Check`] holds what was read against
//! it, by content. Neither looks at a node's counters.
//!
//! A record is told apart by an id that it carries (see [`Identity`]); ids count from 0 in each
//! stream and rise in the order of sending.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// Faults described in words; the rest is only counted.
const EXAMPLES: usize = 5;

/// What stands in place of what the plugin `redact` masks.
pub const MASK: &str = "***";

/// Where a record carries its id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Identity {
    /// The JSON value begins with `{"id":N,`.
    Json,
    /// The line ends with ` id=N`.
    LineEnd,
    /// The key is `LINE.PASS` of a file with so many lines, both counted from 1.
    Key {
        /// Lines of the file.
        lines: u64,
    },
}

/// In which order a stream's records must be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// Those of one key, wherever they lie.
    PerKey,
    /// Those of one partition: for streams whose keys do not come again.
    PerPartition,
}

/// What becomes of a record on its way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It arrives as it was sent.
    Kept,
    /// It does not arrive.
    Dropped,
    /// It arrives with this value.
    Rewritten(String),
    /// It arrives as a JSON object whose `message` is the end of this line, parts of it masked.
    Parsed(Arc<str>),
}

/// A record to send, and what will become of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Made {
    /// Index of its stream.
    pub stream: usize,
    /// The key.
    pub key: String,
    /// The value.
    pub value: Vec<u8>,
    /// What becomes of it.
    pub fate: Fate,
}

#[derive(Clone, Debug)]
enum Expected {
    Nothing,
    /// Hash of key and value.
    Content(u64),
    Message {
        key: u64,
        line: Arc<str>,
    },
}

/// What must arrive in every stream.
#[derive(Debug)]
pub struct Ledger {
    streams: Vec<(Identity, Order, Vec<Expected>)>,
    dropped: u64,
    rewritten: u64,
    kept: u64,
}

impl Ledger {
    /// An empty one for these streams.
    pub fn new(streams: impl IntoIterator<Item = (Identity, Order)>) -> Ledger {
        let streams = streams.into_iter().map(|(id, order)| (id, order, Vec::new())).collect();
        Ledger { streams, dropped: 0, rewritten: 0, kept: 0 }
    }

    /// Notes a record that is about to be sent.
    pub fn note(&mut self, record: &Made) {
        let key = record.key.as_bytes();
        let expected = match &record.fate {
            Fate::Dropped => Expected::Nothing,
            Fate::Kept => Expected::Content(hash(key, &record.value)),
            Fate::Rewritten(value) => Expected::Content(hash(key, value.as_bytes())),
            Fate::Parsed(line) => Expected::Message { key: hash(key, b""), line: line.clone() },
        };
        match &record.fate {
            Fate::Dropped => self.dropped += 1,
            Fate::Kept => self.kept += 1,
            Fate::Rewritten(_) | Fate::Parsed(_) => {
                self.kept += 1;
                self.rewritten += 1;
            }
        }
        self.streams[record.stream].2.push(expected);
    }

    /// Records that must not arrive.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Records that must arrive changed.
    pub fn rewritten(&self) -> u64 {
        self.rewritten
    }

    /// Records that must arrive, the changed ones among them.
    pub fn kept(&self) -> u64 {
        self.kept
    }
}

/// What was wrong with what was read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Faults {
    /// Records that had come before.
    pub duplicated: u64,
    /// Records with another content than expected.
    pub altered: u64,
    /// Records that nobody sent, or that had to be dropped.
    pub unexpected: u64,
    /// Records behind one that was sent later.
    pub disordered: u64,
    /// Some of them in words.
    pub examples: Vec<String>,
}

impl Faults {
    /// Whether nothing was wrong.
    pub fn is_none(&self) -> bool {
        self.duplicated + self.altered + self.unexpected + self.disordered == 0
    }
}

/// What was read so far, held against a [`Ledger`].
#[derive(Debug, Default)]
pub struct Check {
    seen: Vec<Vec<bool>>,
    /// Last id by what orders the stream.
    last: HashMap<(usize, u64), u64>,
    arrived: u64,
    bytes: u64,
    read: u64,
    faults: Faults,
}

impl Check {
    /// Takes a record that was read.
    pub fn take(
        &mut self,
        ledger: &Ledger,
        stream: usize,
        partition: u32,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) {
        self.read += 1;
        let (key, value) = (key.unwrap_or_default(), value.unwrap_or_default());
        let (identity, order, expected) = &ledger.streams[stream];
        let told = || {
            let value = String::from_utf8_lossy(&value[..value.len().min(200)]);
            format!("partition {partition}, key {}: {value}", String::from_utf8_lossy(key))
        };
        let Some(id) = identity.of(key, value) else {
            self.faults.unexpected += 1;
            return self.example("carries no id", told());
        };
        match expected.get(id as usize) {
            None => {
                self.faults.unexpected += 1;
                return self.example("was never sent", told());
            }
            Some(Expected::Nothing) => {
                self.faults.unexpected += 1;
                return self.example("should have been dropped", told());
            }
            Some(expected) if !expected.is(key, value) => {
                self.faults.altered += 1;
                return self.example("has another content than expected", told());
            }
            Some(_) => {}
        }
        if !self.mark(stream, id as usize) {
            self.faults.duplicated += 1;
            return self.example("came twice", told());
        }
        self.arrived += 1;
        self.bytes += (key.len() + value.len()) as u64;
        let slot = match order {
            Order::PerKey => hash(key, b""),
            Order::PerPartition => u64::from(partition),
        };
        let last = self.last.entry((stream, slot)).or_insert(id);
        if id < *last {
            self.faults.disordered += 1;
            return self.example("came behind a later one", told());
        }
        *last = id;
    }

    /// Records that arrived as expected, each counted once.
    pub fn arrived(&self) -> u64 {
        self.arrived
    }

    /// Bytes of the keys and values of those.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Records read, whatever they were.
    pub fn read(&self) -> u64 {
        self.read
    }

    /// What was wrong.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Whether it is the first time.
    fn mark(&mut self, stream: usize, id: usize) -> bool {
        if self.seen.len() <= stream {
            self.seen.resize_with(stream + 1, Vec::new);
        }
        let seen = &mut self.seen[stream];
        if seen.len() <= id {
            seen.resize(id + 1, false);
        }
        !std::mem::replace(&mut seen[id], true)
    }

    fn example(&mut self, what: &str, record: String) {
        if self.faults.examples.len() < EXAMPLES {
            self.faults.examples.push(format!("this record {what}: {record}"));
        }
    }
}

impl Expected {
    fn is(&self, key: &[u8], value: &[u8]) -> bool {
        match self {
            Expected::Nothing => false,
            Expected::Content(expected) => *expected == hash(key, value),
            Expected::Message { key: expected, line } => {
                *expected == hash(key, b"")
                    && serde_json::from_slice::<serde_json::Value>(value)
                        .ok()
                        .and_then(|value| {
                            Some(ends_with_masked(line, value.get("message")?.as_str()?))
                        })
                        .unwrap_or(false)
            }
        }
    }
}

impl Identity {
    /// The id of a record, if it has one.
    fn of(self, key: &[u8], value: &[u8]) -> Option<u64> {
        match self {
            Identity::Json => {
                let rest = str::from_utf8(value).ok()?.strip_prefix("{\"id\":")?;
                rest.split_once(',')?.0.parse().ok()
            }
            Identity::LineEnd => str::from_utf8(value).ok()?.rsplit_once(" id=")?.1.parse().ok(),
            Identity::Key { lines } => {
                let (line, pass) = str::from_utf8(key).ok()?.split_once('.')?;
                let line = line.parse::<u64>().ok()?.checked_sub(1).filter(|line| *line < lines)?;
                let pass = pass.parse::<u64>().ok()?.checked_sub(1)?;
                pass.checked_mul(lines)?.checked_add(line)
            }
        }
    }

    /// The key that carries an id in [`Identity::Key`].
    pub fn key(id: u64, lines: u64) -> String {
        let lines = lines.max(1);
        format!("{}.{}", id % lines + 1, id / lines + 1)
    }
}

/// Whether `line` ends with `message`, where each mask in it stands for any text.
fn ends_with_masked(line: &str, message: &str) -> bool {
    let mut rest = line.trim_end();
    let mut parts = message.trim_end().rsplit(MASK);
    let Some(before) = rest.strip_suffix(parts.next().unwrap_or_default()) else { return false };
    rest = before;
    for part in parts {
        let Some(at) = rest.rfind(part) else { return false };
        rest = &rest[..at];
    }
    true
}

fn hash(key: &[u8], value: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (key, value).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(id: u64, fate: Fate) -> Made {
        let value = format!("{{\"id\":{id},\"value\":7}}").into_bytes();
        Made { stream: 0, key: "k".to_owned(), value, fate }
    }

    /// A ledger of ids 0 to 4: three kept, 3 dropped, 4 rewritten.
    fn ledger() -> Ledger {
        let mut ledger = Ledger::new([(Identity::Json, Order::PerKey)]);
        for id in 0..3 {
            ledger.note(&made(id, Fate::Kept));
        }
        ledger.note(&made(3, Fate::Dropped));
        ledger.note(&made(4, Fate::Rewritten("{\"id\":4,}".to_owned())));
        ledger
    }

    fn read(ledger: &Ledger, values: &[&str]) -> Check {
        let mut check = Check::default();
        for value in values {
            check.take(ledger, 0, 0, Some(b"k"), Some(value.as_bytes()));
        }
        check
    }

    const ZERO: &str = "{\"id\":0,\"value\":7}";
    const ONE: &str = "{\"id\":1,\"value\":7}";
    const TWO: &str = "{\"id\":2,\"value\":7}";
    const THREE: &str = "{\"id\":3,\"value\":7}";
    const FOUR: &str = "{\"id\":4,}";

    #[test]
    fn what_was_promised_is_found_in_order() {
        let ledger = ledger();
        assert_eq!((ledger.kept(), ledger.dropped(), ledger.rewritten()), (4, 1, 1));
        let check = read(&ledger, &[ZERO, ONE, TWO, FOUR]);
        assert_eq!((check.arrived(), check.read()), (4, 4));
        let values = [ZERO, ONE, TWO, FOUR];
        assert_eq!(
            check.bytes() as usize,
            values.map(|value| "k".len() + value.len()).iter().sum::<usize>()
        );
        assert!(check.faults().is_none(), "{:?}", check.faults());
    }

    #[test]
    fn a_lost_record_is_missed() {
        let ledger = ledger();
        let check = read(&ledger, &[ZERO, TWO, FOUR]);
        assert_eq!(ledger.kept() - check.arrived(), 1);
    }

    #[test]
    fn a_record_that_comes_twice_is_told_and_counted_once() {
        let ledger = ledger();
        let check = read(&ledger, &[ZERO, ONE, ZERO, TWO, FOUR, FOUR]);
        assert_eq!((check.arrived(), check.faults().duplicated), (4, 2));
        assert!(check.faults().examples[0].contains("came twice"));
        assert_eq!(check.faults().disordered, 0);
    }

    #[test]
    fn changed_content_is_told_and_does_not_count_as_arrived() {
        let ledger = ledger();
        let check = read(&ledger, &["{\"id\":0,\"value\":8}", ONE, TWO, "{\"id\":4,\"value\":7}"]);
        assert_eq!((check.arrived(), check.faults().altered), (2, 2));
        let mut check = Check::default();
        check.take(&ledger, 0, 0, Some(b"another key"), Some(ZERO.as_bytes()));
        assert_eq!(check.faults().altered, 1);
    }

    #[test]
    fn what_nobody_sent_or_was_to_be_dropped_is_told() {
        let ledger = ledger();
        let check = read(&ledger, &[THREE, "{\"id\":9,\"value\":7}", "no id", ""]);
        assert_eq!((check.arrived(), check.faults().unexpected), (0, 4));
    }

    #[test]
    fn a_wrong_order_is_told() {
        let ledger = ledger();
        let check = read(&ledger, &[ONE, ZERO, TWO, FOUR]);
        assert_eq!((check.arrived(), check.faults().disordered), (4, 1));
    }

    #[test]
    fn order_is_asked_for_within_a_partition_alone() {
        let lines = 10;
        let mut ledger = Ledger::new([(Identity::Key { lines }, Order::PerPartition)]);
        for id in 0..3 {
            let key = Identity::key(id, lines);
            ledger.note(&Made { stream: 0, key, value: b"x".to_vec(), fate: Fate::Kept });
        }
        let mut check = Check::default();
        for (id, partition) in [(2, 0), (0, 1), (1, 1)] {
            let key = Identity::key(id, lines);
            check.take(&ledger, 0, partition, Some(key.as_bytes()), Some(b"x"));
        }
        assert!(check.faults().is_none(), "{:?}", check.faults());
    }

    #[test]
    fn keys_of_lines_carry_their_id() {
        for id in [0, 6, 7, 700] {
            let key = Identity::key(id, 7);
            assert_eq!(Identity::Key { lines: 7 }.of(key.as_bytes(), b""), Some(id));
        }
        for bad in ["", "1", "0.1", "1.0", "8.1", "x.y"] {
            assert_eq!(Identity::Key { lines: 7 }.of(bad.as_bytes(), b""), None, "{bad}");
        }
    }

    #[test]
    fn masked_messages_are_recognised_as_the_end_of_their_line() {
        let line =
            "Dec 10 06:55:48 LabSZ sshd[24200]: Failed password for eve from 10.1.2.3 port 22";
        for good in [
            "Failed password for eve from 10.1.2.3 port 22",
            "Failed password for eve from *** port 22",
            "*** for eve from *** port 22",
            line,
        ] {
            assert!(ends_with_masked(line, good), "{good}");
        }
        for bad in [
            "Failed password for eve from *** port 23",
            "Failed password for bob from *** port 22",
            "Failed password for eve from 10.1.2.3 port 22 and more",
            "port *** Failed 22",
        ] {
            assert!(!ends_with_masked(line, bad), "{bad}");
        }
    }
}
