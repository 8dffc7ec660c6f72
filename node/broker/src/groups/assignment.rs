//! What a member of a classic group was given, where the group is one of consumers.
//!
//! Leaders write it and members read it, in a format of their own: a version, then topics with
//! their partitions, then anything. The node only looks at it to show it; what it cannot read it
//! does not show.

use tidegate_types::PartitionId;

/// The protocol type of groups whose members speak so.
pub(super) const CONSUMERS: &str = "consumer";

/// Topics with partitions.
pub(super) type Topics = Vec<(String, Vec<PartitionId>)>;

/// Reads an assignment. Nothing is reserved before its bytes are there.
pub(super) fn decode(mut bytes: &[u8]) -> Option<Topics> {
    if bytes.is_empty() {
        // A member that was given nothing yet.
        return Some(Vec::new());
    }
    let _version = take::<2>(&mut bytes)?;
    let count = count(&mut bytes)?;
    let mut topics = Vec::new();
    for _ in 0..count {
        let len = u16::from_be_bytes(take(&mut bytes)?);
        let (name, rest) = bytes.split_at_checked(usize::from(len))?;
        bytes = rest;
        let name = std::str::from_utf8(name).ok()?.to_owned();
        let count = self::count(&mut bytes)?;
        let (partitions, rest) = bytes.split_at_checked(count.checked_mul(size_of::<i32>())?)?;
        bytes = rest;
        let (partitions, _) = partitions.as_chunks();
        let ids = partitions.iter().map(|id| PartitionId(u32::from_be_bytes(*id)));
        topics.push((name, ids.collect()));
    }
    Some(topics)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

fn count(bytes: &mut &[u8]) -> Option<usize> {
    usize::try_from(i32::from_be_bytes(take(bytes)?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Version 1: `orders` 0 and 2, `a` none, no user data.
    const GOLDEN: &[u8] =
        b"\0\x01\0\0\0\x02\0\x06orders\0\0\0\x02\0\0\0\0\0\0\0\x02\0\x01a\0\0\0\0\xff\xff\xff\xff";

    #[test]
    fn topics_and_partitions_are_read() {
        let orders = ("orders".to_owned(), vec![PartitionId(0), PartitionId(2)]);
        assert_eq!(decode(GOLDEN), Some(vec![orders, ("a".to_owned(), Vec::new())]));
        assert_eq!(decode(&[]), Some(Vec::new()));
    }

    #[test]
    fn what_is_cut_or_lies_about_lengths_is_not_shown() {
        for cut in 1..GOLDEN.len() - 4 {
            assert_eq!(decode(&GOLDEN[..cut]), None, "{cut}");
        }
        assert_eq!(decode(b"\0\0\x7f\xff\xff\xff"), None);
        assert_eq!(decode(b"\0\0\xff\xff\xff\xff"), None);
        assert_eq!(decode(b"\0\0\0\0\0\x01\0\x01a\x7f\xff\xff\xff"), None);
    }
}
