//! One simulated file: what the process sees, what the platter holds, and what lies between.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::pages::Pages;
use crate::Rng;

/// The unit that a power cut writes or loses as a whole.
pub(super) const SECTOR: usize = 512;

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, data: Arc<[u8]> },
    SetLen(usize),
}

/// A file's bytes.
#[derive(Clone, Debug)]
pub(super) struct Content {
    seen: Pages,
    platter: Pages,
    /// Not synced yet, oldest first.
    pending: Vec<Change>,
    /// The platter with the pending changes is what is seen: no sync failed.
    in_step: bool,
}

impl Default for Content {
    fn default() -> Content {
        Content::settled_as(Pages::default())
    }
}

fn apply(bytes: &mut Pages, change: &Change) {
    match change {
        Change::Write { offset, data } => bytes.write(*offset, data),
        Change::SetLen(len) => bytes.resize(*len),
    }
}

/// Where the sectors that a write touches end, within the write.
fn sector_ends(offset: usize, len: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= len {
            return None;
        }
        let end = (((offset + at) / SECTOR + 1) * SECTOR - offset).min(len);
        let piece = (at, end);
        at = end;
        Some(piece)
    })
}

impl Content {
    fn settled_as(platter: Pages) -> Content {
        Content { seen: platter.clone(), platter, pending: Vec::new(), in_step: true }
    }

    pub(super) fn len(&self) -> u64 {
        self.seen.len() as u64
    }

    pub(super) fn blocks(&self) -> u64 {
        self.seen.blocks()
    }

    /// How much of a write fits into `free` new blocks.
    pub(super) fn fitting(&self, offset: u64, len: usize, free: u64) -> usize {
        self.seen.fitting(offset as usize, len, free)
    }

    pub(super) fn read(&self, offset: u64, buf: &mut [u8]) -> usize {
        self.seen.read(usize::try_from(offset).unwrap_or(usize::MAX), buf)
    }

    pub(super) fn write(&mut self, offset: u64, data: &[u8]) {
        if !data.is_empty() {
            self.change(Change::Write { offset: offset as usize, data: data.into() });
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
        let pending = std::mem::take(&mut self.pending);
        if self.in_step && pending.iter().any(|change| matches!(change, Change::SetLen(_))) {
            self.platter = self.seen.clone();
            return;
        }
        for change in pending {
            match change {
                Change::Write { offset, data } if self.in_step => {
                    self.platter.share(&self.seen, offset, offset + data.len());
                }
                change => apply(&mut self.platter, &change),
            }
        }
    }

    /// Some sectors reach the platter; the others never will, though the process still sees them.
    pub(super) fn fail_sync(&mut self, rng: &mut Rng) {
        self.platter = self.settled(rng);
        self.pending.clear();
        self.in_step = false;
    }

    pub(super) fn after_crash(&self, rng: &mut Rng) -> Content {
        Content::settled_as(self.settled(rng))
    }

    /// The platter once each pending change did, or did not, reach it.
    fn settled(&self, rng: &mut Rng) -> Pages {
        let mut bytes = self.platter.clone();
        if self.pending.is_empty() {
            return bytes;
        }
        // Nothing, everything, a first part torn at a sector, any sectors of any write, each
        // sector as it was at some moment: each is a case worth meeting often.
        match rng.below(5) {
            0 => {}
            1 => self.pending.iter().for_each(|change| apply(&mut bytes, change)),
            2 => self.settle_first(&mut bytes, rng),
            3 => self.settle_any(&mut bytes, rng),
            _ => self.settle_moments(&mut bytes, rng),
        }
        bytes
    }

    /// The first few changes, and of the next one the first few sectors.
    fn settle_first(&self, bytes: &mut Pages, rng: &mut Rng) {
        let whole = rng.below(self.pending.len() as u64) as usize;
        self.pending[..whole].iter().for_each(|change| apply(bytes, change));
        match &self.pending[whole] {
            Change::SetLen(len) if rng.chance(50) => bytes.resize(*len),
            Change::SetLen(_) => {}
            Change::Write { offset, data } => {
                let sectors = sector_ends(*offset, data.len()).count() as u64;
                let kept = rng.between(0, sectors) as usize;
                for (at, end) in sector_ends(*offset, data.len()).take(kept) {
                    bytes.write(offset + at, &data[at..end]);
                }
            }
        }
    }

    /// Each sector of each write as a coin falls.
    fn settle_any(&self, bytes: &mut Pages, rng: &mut Rng) {
        for change in &self.pending {
            match change {
                Change::SetLen(_) if rng.chance(50) => apply(bytes, change),
                Change::SetLen(_) => {}
                Change::Write { offset, data } => {
                    for (at, end) in sector_ends(*offset, data.len()) {
                        if rng.chance(50) {
                            bytes.write(offset + at, &data[at..end]);
                        }
                    }
                }
            }
        }
    }

    /// Each sector as the page cache held it at some moment, as when the kernel wrote it back.
    fn settle_moments(&self, bytes: &mut Pages, rng: &mut Rng) {
        let mut moments: BTreeMap<usize, u64> = BTreeMap::new();
        let changes = self.pending.len() as u64;
        let len_at = rng.between(0, changes);
        for (now, change) in (0..).zip(&self.pending) {
            match change {
                Change::SetLen(_) if now < len_at => apply(bytes, change),
                Change::SetLen(_) => {}
                Change::Write { offset, data } => {
                    for (at, end) in sector_ends(*offset, data.len()) {
                        let sector = (offset + at) / SECTOR;
                        let moment =
                            *moments.entry(sector).or_insert_with(|| rng.between(0, changes));
                        if now < moment {
                            bytes.write(offset + at, &data[at..end]);
                        }
                    }
                }
            }
        }
    }

    /// Turns a bit; false if the file ends before it.
    pub(super) fn flip(&mut self, offset: u64, bit: u8) -> bool {
        let offset = offset as usize;
        let mask = 1 << (bit & 7);
        self.platter.flip(offset, mask);
        for change in &mut self.pending {
            if let Change::Write { offset: start, data } = change
                && let Some(at) = offset.checked_sub(*start).filter(|at| *at < data.len())
            {
                let mut turned = data.to_vec();
                turned[at] ^= mask;
                *data = turned.into();
            }
        }
        self.seen.flip(offset, mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(content: &Content) -> Vec<u8> {
        let mut bytes = vec![0; content.seen.len()];
        content.read(0, &mut bytes);
        bytes
    }

    #[test]
    fn a_crash_keeps_or_loses_whole_sectors() {
        let (mut torn, mut scattered) = (false, false);
        for seed in 0..64 {
            let mut content = Content::default();
            content.write(0, &[1; 4 * SECTOR]);
            content.sync();
            content.write(100, &[2; 3 * SECTOR]);
            let after = seen(&content.after_crash(&mut Rng::new(seed)));
            assert_eq!(after[..100], [1; 100]);
            let kept: Vec<bool> = after.chunks(SECTOR).map(|s| s[110] == 2).collect();
            for (sector, kept) in after[..3 * SECTOR].chunks(SECTOR).zip(&kept) {
                assert!(sector[110..].iter().all(|byte| (*byte == 2) == *kept));
            }
            torn |= kept[0] && !kept[2];
            scattered |= !kept[0] && kept[2];
        }
        assert!(torn && scattered, "torn {torn}, scattered {scattered}");
    }

    #[test]
    fn what_a_failed_sync_dropped_no_later_sync_brings_back() {
        let lost = (0..64).filter(|seed| {
            let mut content = Content::default();
            content.write(0, b"gone");
            content.fail_sync(&mut Rng::new(*seed));
            content.sync();
            assert_eq!(seen(&content), b"gone", "the process still sees it");
            seen(&content.after_crash(&mut Rng::new(1))) != b"gone"
        });
        assert!(lost.count() > 8);
    }

    #[test]
    fn what_was_synced_is_what_any_crash_leaves() {
        for seed in 0..200 {
            let mut rng = Rng::new(seed);
            let mut content = Content::default();
            for _ in 0..rng.between(1, 20) {
                if rng.chance(20) {
                    content.set_len(rng.below(20_000));
                } else {
                    let data = vec![rng.next_u64() as u8; rng.below(9_000) as usize];
                    content.write(rng.below(12_000), &data);
                }
                if rng.chance(30) {
                    content.sync();
                }
            }
            content.sync();
            let before = seen(&content);
            assert_eq!(seen(&content.after_crash(&mut rng)), before, "seed {seed}");
        }
    }
}
