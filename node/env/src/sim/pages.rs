//! A file's bytes in pages that copies share until one of them is written.
//!
//! A power cut copies every file of a disk, most of which nobody touches again; with shared pages
//! that costs a pointer for each 4 KiB. Pages never written hold no memory and read as zeros, and
//! are what a sparse file leaves out when the disk counts its blocks.

use std::ops::Range;
use std::sync::Arc;

/// The unit of sharing, and of the space that a file takes up.
pub(super) const PAGE: usize = 4096;

/// Bytes from 0 to a length.
#[derive(Clone, Debug, Default)]
pub(super) struct Pages {
    len: usize,
    pages: Vec<Option<Arc<[u8; PAGE]>>>,
    written: u64,
}

/// The pages that a range of bytes touches.
fn pages_of(start: usize, end: usize) -> Range<usize> {
    start / PAGE..end.div_ceil(PAGE)
}

impl Pages {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How many pages were written: what the file takes up on the disk.
    pub(super) fn blocks(&self) -> u64 {
        self.written
    }

    /// How much of a write of `len` bytes at `offset` needs no more than `free` new pages.
    pub(super) fn fitting(&self, offset: usize, len: usize, free: u64) -> usize {
        let mut left = free;
        for page in pages_of(offset, offset + len) {
            if self.pages.get(page).is_some_and(Option::is_some) {
                continue;
            }
            match left.checked_sub(1) {
                Some(less) => left = less,
                None => return (page * PAGE).saturating_sub(offset).min(len),
            }
        }
        len
    }

    pub(super) fn read(&self, offset: usize, buf: &mut [u8]) -> usize {
        let offset = offset.min(self.len);
        let read = (self.len - offset).min(buf.len());
        let mut at = 0;
        while at < read {
            let (page, within) = ((offset + at) / PAGE, (offset + at) % PAGE);
            let some = (PAGE - within).min(read - at);
            let out = &mut buf[at..at + some];
            match self.pages.get(page) {
                Some(Some(bytes)) => out.copy_from_slice(&bytes[within..within + some]),
                _ => out.fill(0),
            }
            at += some;
        }
        read
    }

    fn page(&mut self, page: usize) -> &mut [u8; PAGE] {
        if self.pages.len() <= page {
            self.pages.resize(page + 1, None);
        }
        let slot = &mut self.pages[page];
        if slot.is_none() {
            self.written += 1;
        }
        Arc::make_mut(slot.get_or_insert_with(|| Arc::new([0; PAGE])))
    }

    pub(super) fn write(&mut self, offset: usize, data: &[u8]) {
        let mut at = 0;
        while at < data.len() {
            let (page, within) = ((offset + at) / PAGE, (offset + at) % PAGE);
            let some = (PAGE - within).min(data.len() - at);
            self.page(page)[within..within + some].copy_from_slice(&data[at..at + some]);
            at += some;
        }
        if !data.is_empty() {
            self.len = self.len.max(offset + data.len());
        }
    }

    pub(super) fn resize(&mut self, len: usize) {
        if len < self.len {
            let kept = len.div_ceil(PAGE);
            for page in self.pages.drain(kept.min(self.pages.len())..) {
                self.written -= u64::from(page.is_some());
            }
            // What lies behind the end must be zeros if the file grows again.
            if !len.is_multiple_of(PAGE)
                && let Some(Some(last)) = self.pages.get_mut(len / PAGE)
            {
                Arc::make_mut(last)[len % PAGE..].fill(0);
            }
        }
        self.len = len;
    }

    /// Takes over from `other` the pages that hold a range, and its length.
    pub(super) fn share(&mut self, other: &Pages, start: usize, end: usize) {
        for page in pages_of(start, end) {
            let theirs = other.pages.get(page).cloned().flatten();
            if self.pages.len() <= page {
                self.pages.resize(page + 1, None);
            }
            self.written += u64::from(theirs.is_some());
            self.written -= u64::from(self.pages[page].is_some());
            self.pages[page] = theirs;
        }
        self.len = other.len;
    }

    /// Turns bits of a byte; false if the file ends before it.
    pub(super) fn flip(&mut self, offset: usize, mask: u8) -> bool {
        let inside = offset < self.len;
        if inside {
            self.page(offset / PAGE)[offset % PAGE] ^= mask;
        }
        inside
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;

    fn bytes(pages: &Pages) -> Vec<u8> {
        let mut bytes = vec![7; pages.len() + 3];
        let read = pages.read(0, &mut bytes);
        bytes.truncate(read);
        bytes
    }

    #[test]
    fn they_hold_what_a_plain_vector_holds() {
        for seed in 0..50 {
            let mut rng = Rng::new(seed);
            let (mut pages, mut plain) = (Pages::default(), Vec::new());
            let mut copies = Vec::new();
            for _ in 0..60 {
                let at = rng.below(5 * PAGE as u64) as usize;
                if rng.chance(20) {
                    pages.resize(at);
                    plain.resize(at, 0);
                } else {
                    let data = vec![rng.next_u64() as u8; rng.below(2 * PAGE as u64) as usize];
                    let end = at + data.len();
                    pages.write(at, &data);
                    if !data.is_empty() {
                        plain.resize(plain.len().max(end), 0);
                        plain[at..end].copy_from_slice(&data);
                    }
                }
                assert_eq!(bytes(&pages), plain, "seed {seed}");
                copies.push((pages.clone(), plain.clone()));
                let written = pages.pages.iter().filter(|page| page.is_some()).count();
                assert_eq!(pages.blocks(), written as u64);
            }
            for (pages, plain) in copies {
                assert_eq!(bytes(&pages), plain, "seed {seed}: a copy changed");
            }
        }
    }

    #[test]
    fn a_write_fits_up_to_the_first_page_that_finds_no_room() {
        let mut pages = Pages::default();
        pages.write(PAGE, &[1; PAGE]);
        assert_eq!(pages.fitting(PAGE, PAGE, 0), PAGE);
        assert_eq!(pages.fitting(10, 2 * PAGE, 0), 0);
        assert_eq!(pages.fitting(10, 2 * PAGE, 1), 2 * PAGE - 10);
        assert_eq!(pages.fitting(10, 2 * PAGE, 2), 2 * PAGE);
    }
}
