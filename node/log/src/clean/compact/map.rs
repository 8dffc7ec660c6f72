//! The latest offset of each key, in bounded memory.
//!
//! Keys are known by a keyed hash of 128 bits: that two of a log share one is less likely than that
//! the memory flips a bit. The table neither grows nor moves: it has as many slots as were asked
//! for, and says when it is full.

use std::hash::{BuildHasher, Hasher, RandomState};

use tidegate_types::Offset;

#[derive(Clone, Copy)]
struct Slot {
    hash: [u64; 2],
    /// -1 in an empty one.
    offset: i64,
}

const EMPTY: Slot = Slot { hash: [0; 2], offset: -1 };

/// Slots in use, of a hundred, beyond which the map is full: longer chains cost more than memory.
const FULL_PERCENT: usize = 75;

/// Bytes that one slot takes.
pub(super) const SLOT: u64 = size_of::<Slot>() as u64;

/// Keys with the offset of their latest record.
pub(super) struct KeyMap {
    slots: Vec<Slot>,
    used: usize,
    hashers: [RandomState; 2],
}

impl KeyMap {
    /// A map for about `keys` keys, in at most `memory` bytes.
    pub(super) fn new(keys: u64, memory: u64) -> KeyMap {
        let wanted = keys.saturating_mul(100) / FULL_PERCENT as u64 + 2;
        let slots = usize::try_from(wanted.min(memory / SLOT)).unwrap_or(usize::MAX).max(2);
        KeyMap {
            slots: vec![EMPTY; slots],
            used: 0,
            hashers: [RandomState::new(), RandomState::new()],
        }
    }

    fn hash(&self, key: &[u8]) -> [u64; 2] {
        self.hashers.each_ref().map(|keyed| {
            let mut hasher = keyed.build_hasher();
            hasher.write(key);
            hasher.finish()
        })
    }

    /// Where the key is, or would be.
    fn slot(&self, hash: [u64; 2]) -> usize {
        let mut at = (hash[0] % self.slots.len() as u64) as usize;
        // Ends: some slots are always empty.
        while self.slots[at].offset >= 0 && self.slots[at].hash != hash {
            at = (at + 1) % self.slots.len();
        }
        at
    }

    /// Notes a key's record; false if the map is full, and the key not in it.
    #[must_use]
    pub(super) fn note(&mut self, key: &[u8], offset: Offset) -> bool {
        let hash = self.hash(key);
        let at = self.slot(hash);
        let known = self.slots[at].offset;
        if known < 0 {
            if (self.used + 1) * 100 > (self.slots.len() * FULL_PERCENT).max(100) {
                return false;
            }
            self.used += 1;
        }
        self.slots[at] = Slot { hash, offset: known.max(offset.0) };
        true
    }

    /// Whether a record of the key lies after `offset`.
    pub(super) fn is_superseded(&self, key: &[u8], offset: Offset) -> bool {
        self.slots[self.slot(self.hash(key))].offset > offset.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_offset_of_a_key_counts() {
        let mut map = KeyMap::new(10, 1 << 20);
        assert!(
            map.note(b"a", Offset(3)) && map.note(b"b", Offset(4)) && map.note(b"a", Offset(9))
        );
        for (key, offset, superseded) in
            [("a", 3, true), ("a", 8, true), ("a", 9, false), ("b", 4, false), ("c", 0, false)]
        {
            assert_eq!(map.is_superseded(key.as_bytes(), Offset(offset)), superseded, "{key}");
        }
    }

    #[test]
    fn a_full_map_takes_known_keys_and_no_new_ones() {
        let mut map = KeyMap::new(1 << 40, 100 * SLOT);
        let taken = (0..200_u32).filter(|n| map.note(&n.to_be_bytes(), Offset(0))).count();
        assert_eq!((taken, map.slots.len()), (75, 100));
        assert!(map.note(&0_u32.to_be_bytes(), Offset(7)));
        assert!(map.is_superseded(&0_u32.to_be_bytes(), Offset(6)));
        assert!(!map.is_superseded(&199_u32.to_be_bytes(), Offset(0)));
    }

    #[test]
    fn the_smallest_map_takes_one_key() {
        let mut map = KeyMap::new(0, 0);
        assert!(map.note(b"a", Offset(0)));
        assert!(!map.note(b"b", Offset(1)));
        assert!(!map.is_superseded(b"b", Offset(0)));
    }
}
