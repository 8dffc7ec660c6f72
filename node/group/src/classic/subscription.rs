//! The one thing that is read of what consumers say to each other: the topics they subscribe to.
//!
//! Every version of a subscription begins with a version (two bytes), a count (four) and that many
//! names, each a length (two) and its bytes.

use std::collections::BTreeSet;

use super::ClassicGroup;

/// The topics of a subscription; `None` if it is none.
fn topics(metadata: &[u8]) -> Option<BTreeSet<String>> {
    let mut rest = metadata;
    let mut take = |len: usize| {
        let (taken, left) = rest.split_at_checked(len)?;
        rest = left;
        Some(taken)
    };
    let version = i16::from_be_bytes(take(2)?.try_into().ok()?);
    let count = i32::from_be_bytes(take(4)?.try_into().ok()?);
    if version < 0 || count < 0 {
        return None;
    }
    let mut topics = BTreeSet::new();
    for _ in 0..count {
        let len = i16::from_be_bytes(take(2)?.try_into().ok()?);
        let name = take(usize::try_from(len).ok()?)?;
        topics.insert(std::str::from_utf8(name).ok()?.to_owned());
    }
    Some(topics)
}

impl ClassicGroup {
    /// Notes what the members of a new generation read.
    pub(super) fn learn_topics(&mut self) {
        self.topics = self.read_topics();
    }

    fn read_topics(&self) -> Option<BTreeSet<String>> {
        if !self.is_of_consumers() {
            return None;
        }
        let mut all = BTreeSet::new();
        for member in self.members.values() {
            all.append(&mut topics(&member.metadata(self.protocol.as_deref()?))?);
        }
        Some(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_read_of_any_version_and_nothing_else_is_taken_for_one() {
        let subscription = b"\x00\x03\x00\x00\x00\x02\x00\x01a\x00\x02bcuser data";
        let read = topics(subscription).unwrap();
        assert_eq!(read.into_iter().collect::<Vec<_>>(), ["a", "bc"]);
        for cut in 0..13 {
            assert_eq!(topics(&subscription[..cut]), None, "cut at {cut}");
        }
        for bad in [&b"\xff\xff\x00\x00\x00\x00"[..], b"\x00\x00\x7f\xff\xff\xff", b"connect"] {
            assert_eq!(topics(bad), None);
        }
    }
}
