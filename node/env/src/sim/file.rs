//! One simulated file: what the process sees, what the platter holds, and what lies between.

use crate::Rng;

/// The unit that a power cut writes or loses as a whole.
pub(super) const SECTOR: usize = 512;

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, data: Vec<u8> },
    SetLen(usize),
}

/// A file's bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    seen: Vec<u8>,
    platter: Vec<u8>,
    /// Not synced yet, oldest first.
    pending: Vec<Change>,
}

fn write(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(data);
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write { offset, data } => write(bytes, *offset, data),
        Change::SetLen(len) => bytes.resize(*len, 0),
    }
}

impl Content {
    pub(super) fn len(&self) -> u64 {
        self.seen.len() as u64
    }

    pub(super) fn read(&self, offset: u64, buf: &mut [u8]) -> usize {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(self.seen.len());
        let available = &self.seen[offset..];
        let read = available.len().min(buf.len());
        buf[..read].copy_from_slice(&available[..read]);
        read
    }

    pub(super) fn write(&mut self, offset: u64, data: &[u8]) {
        if !data.is_empty() {
            self.change(Change::Write { offset: offset as usize, data: data.to_vec() });
        }
    }

    pub(super) fn set_len(&mut self, len: u64) {
        self.change(Change::SetLen(len as usize));
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.seen, &change);
        self.pending.push(change);
    }

    pub(super) fn sync(&mut self) {
        for change in self.pending.drain(..) {
            apply(&mut self.platter, &change);
        }
    }

    /// Some sectors reach the platter; the others never will, though the process still sees them.
    pub(super) fn fail_sync(&mut self, rng: &mut Rng) {
        self.platter = self.settled(rng);
        self.pending.clear();
    }

    pub(super) fn after_crash(&self, rng: &mut Rng) -> Content {
        let platter = self.settled(rng);
        Content { seen: platter.clone(), platter, pending: Vec::new() }
    }

    /// The platter once each pending change did, or did not, reach it.
    fn settled(&self, rng: &mut Rng) -> Vec<u8> {
        let mut bytes = self.platter.clone();
        // Nothing, everything, a first part, or any sectors: each is a case worth meeting often.
        let style = rng.below(4);
        let first = rng.below(self.pending.len() as u64 + 1) as usize;
        for (at, change) in self.pending.iter().enumerate() {
            let whole = match style {
                0 => false,
                1 => true,
                2 => at < first,
                _ => match change {
                    Change::SetLen(_) => rng.chance(50),
                    Change::Write { offset, data } => {
                        write_some_sectors(&mut bytes, *offset, data, rng);
                        false
                    }
                },
            };
            if whole {
                apply(&mut bytes, change);
            }
        }
        bytes
    }

    /// Turns a bit; false if the file ends before it.
    pub(super) fn flip(&mut self, offset: u64, bit: u8) -> bool {
        let offset = offset as usize;
        let mask = 1 << (bit & 7);
        if let Some(byte) = self.platter.get_mut(offset) {
            *byte ^= mask;
        }
        for change in &mut self.pending {
            if let Change::Write { offset: start, data } = change
                && let Some(byte) = offset.checked_sub(*start).and_then(|at| data.get_mut(at))
            {
                *byte ^= mask;
            }
        }
        match self.seen.get_mut(offset) {
            Some(byte) => {
                *byte ^= mask;
                true
            }
            None => false,
        }
    }
}

fn write_some_sectors(bytes: &mut Vec<u8>, offset: usize, data: &[u8], rng: &mut Rng) {
    let mut at = 0;
    while at < data.len() {
        let boundary = ((offset + at) / SECTOR + 1) * SECTOR - offset;
        let end = boundary.min(data.len());
        if rng.chance(50) {
            write(bytes, offset + at, &data[at..end]);
        }
        at = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_keeps_or_loses_whole_sectors() {
        let mut torn = false;
        for seed in 0..64 {
            let mut content = Content::default();
            content.write(0, &[1; 4 * SECTOR]);
            content.sync();
            content.write(100, &[2; 3 * SECTOR]);
            let after = content.after_crash(&mut Rng::new(seed));
            assert_eq!(after.seen[..100], [1; 100]);
            let kept: Vec<bool> = after.seen.chunks(SECTOR).map(|s| s[110] == 2).collect();
            for (sector, kept) in after.seen[..3 * SECTOR].chunks(SECTOR).zip(&kept) {
                assert!(sector[110..].iter().all(|byte| (*byte == 2) == *kept));
            }
            torn |= kept[0] != kept[1];
        }
        assert!(torn, "no seed tore the write");
    }

    #[test]
    fn what_a_failed_sync_dropped_no_later_sync_brings_back() {
        let lost = (0..64).filter(|seed| {
            let mut content = Content::default();
            content.write(0, b"gone");
            content.fail_sync(&mut Rng::new(*seed));
            content.sync();
            assert_eq!(content.seen, b"gone", "the process still sees it");
            content.after_crash(&mut Rng::new(1)).seen != b"gone"
        });
        assert!(lost.count() > 8);
    }
}
