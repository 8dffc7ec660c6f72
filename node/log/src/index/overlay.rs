//! A redb storage backend that never writes to its file: what is written stays in memory, above it.
//! For looking at a database that is not to be changed, though it may have to be repaired for that.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, PoisonError};

use redb::StorageBackend;
use tidegate_env::DiskFile;

/// What is written is kept in pieces of this size.
const PAGE: u64 = 4 << 10;

/// A file below, and what was written since above.
#[derive(Debug)]
pub(super) struct Overlay {
    file: Box<dyn DiskFile>,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    len: u64,
    /// The file counts up to here; beyond, what was not written is zeros.
    below: u64,
    pages: BTreeMap<u64, Vec<u8>>,
}

impl Overlay {
    pub(super) fn new(file: Box<dyn DiskFile>) -> io::Result<Overlay> {
        let len = file.len()?;
        let written = Mutex::new(Written { len, below: len, pages: BTreeMap::new() });
        Ok(Overlay { file, written })
    }

    fn read_below(&self, written: &Written, at: u64, out: &mut [u8]) -> io::Result<()> {
        out.fill(0);
        let left = usize::try_from(written.below.saturating_sub(at)).unwrap_or(usize::MAX);
        let len = left.min(out.len());
        self.file.read_exact_at(at, &mut out[..len])
    }

    /// Calls `f` for each page that `[at, at + len)` touches: its number, where the touched part
    /// begins in it, and which part of the range that is.
    fn pages(
        at: u64,
        len: usize,
        mut f: impl FnMut(u64, usize, std::ops::Range<usize>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut done = 0;
        while done < len {
            let position = at + done as u64;
            let within = (position % PAGE) as usize;
            let part = (PAGE as usize - within).min(len - done);
            f(position / PAGE, within, done..done + part)?;
            done += part;
        }
        Ok(())
    }
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.written.lock().unwrap_or_else(PoisonError::into_inner).len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > written.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Overlay::pages(offset, out.len(), |page, within, range| {
            let part = &mut out[range];
            match written.pages.get(&page) {
                Some(bytes) => part.copy_from_slice(&bytes[within..within + part.len()]),
                None => self.read_below(&written, page * PAGE + within as u64, part)?,
            }
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.below = written.below.min(len);
        if len < written.len {
            written.pages.retain(|page, _| page * PAGE < len);
            if let Some(last) = written.pages.get_mut(&(len / PAGE)) {
                last[(len % PAGE) as usize..].fill(0);
            }
        }
        written.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.len = written.len.max(offset + data.len() as u64);
        Overlay::pages(offset, data.len(), |page, within, range| {
            if !written.pages.contains_key(&page) {
                let mut bytes = vec![0; PAGE as usize];
                self.read_below(&written, page * PAGE, &mut bytes)?;
                written.pages.insert(page, bytes);
            }
            if let Some(bytes) = written.pages.get_mut(&page) {
                let part = &data[range];
                bytes[within..within + part.len()].copy_from_slice(part);
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use tidegate_env::{Disk, OpenMode, Rng, SimDisk};

    #[test]
    fn it_behaves_as_a_file_does_and_leaves_the_one_below_alone() {
        let disk = SimDisk::new(1);
        let file = |name: &str| disk.open(Path::new(name), OpenMode::Create).unwrap();
        let mut rng = Rng::new(2);
        let mut start = vec![0; 20_000];
        rng.fill(&mut start);
        file("/below").write_at(0, &start).unwrap();
        file("/other").write_at(0, &start).unwrap();
        let (overlay, other) = (Overlay::new(file("/below")).unwrap(), file("/other"));
        for _ in 0..400 {
            let at = rng.below(30_000);
            let mut bytes = vec![0; rng.below(9_000) as usize];
            match rng.below(4) {
                0 => {
                    overlay.set_len(at).unwrap();
                    other.set_len(at).unwrap();
                }
                1 | 2 if !bytes.is_empty() => {
                    rng.fill(&mut bytes);
                    overlay.write(at, &bytes).unwrap();
                    other.write_at(at, &bytes).unwrap();
                }
                _ => {}
            }
            let len = other.len().unwrap();
            assert_eq!(overlay.len().unwrap(), len);
            let (mut found, mut expected) = (vec![0; len as usize], vec![0; len as usize]);
            overlay.read(0, &mut found).unwrap();
            other.read_exact_at(0, &mut expected).unwrap();
            assert!(found == expected);
            assert!(overlay.read(len, &mut [0]).is_err());
        }
        let mut below = vec![0; 20_000];
        file("/below").read_exact_at(0, &mut below).unwrap();
        assert!(below == start);
    }
}
