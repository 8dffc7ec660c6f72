//! The simulated disk and its files behind the traits.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tidegate_types::ByteSize;

use super::{FaultOn, Inode, PAGE, SimDisk, State, guard, no_power};
use crate::{DirEntry, Disk, DiskFile, OpenMode, Space};

#[derive(Debug)]
struct SimFile {
    state: Arc<Mutex<State>>,
    id: usize,
    path: String,
    writable: bool,
    locked: bool,
}

impl SimDisk {
    fn handle(&self, state: &mut State, id: usize, path: &Path, writable: bool) -> SimFile {
        state.with_file(id, |file| file.handles += 1);
        SimFile {
            state: Arc::clone(&self.state),
            id,
            path: path.to_string_lossy().into_owned(),
            writable,
            locked: false,
        }
    }

    fn open_file(&self, path: &Path, mode: OpenMode) -> io::Result<SimFile> {
        let mut state = guard(&self.state);
        state.alive()?;
        let found = match state.tree.file(path) {
            Ok(id) => Some(id),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let on = if found.is_some() { FaultOn::Open } else { FaultOn::Create };
        let id = match (found, mode) {
            (Some(_), OpenMode::CreateNew) => return Err(io::ErrorKind::AlreadyExists.into()),
            (None, OpenMode::Read | OpenMode::Write) => return Err(io::ErrorKind::NotFound.into()),
            (Some(id), _) => {
                state.strike(on, &path.to_string_lossy())?;
                id
            }
            (None, OpenMode::Create | OpenMode::CreateNew) => {
                state.strike(on, &path.to_string_lossy())?;
                let id = state.files.len();
                // Tells whether the folder is there before any room is taken.
                state.tree.link_file(path, id)?;
                if let Err(error) = state.take_blocks(1) {
                    state.tree.remove_file(path)?;
                    state.files.push(Inode::default());
                    return Err(error);
                }
                state.files.push(Inode { named: true, ..Inode::default() });
                state.changed()?;
                id
            }
        };
        state.counts.opens += 1;
        Ok(self.handle(&mut state, id, path, mode != OpenMode::Read))
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(self.open_file(path, mode)?))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut file = self.open_file(path, OpenMode::Create)?;
        let mut state = guard(&self.state);
        let taken = state.locks.contains(&file.id);
        if !taken {
            state.locks.push(file.id);
            file.locked = true;
        }
        drop(state);
        if taken { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(Box::new(file)) }
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = guard(&self.state);
        state.alive()?;
        let missing = state.tree.missing(path)?;
        if missing == 0 {
            return Ok(());
        }
        state.strike(FaultOn::Create, &path.to_string_lossy())?;
        state.take_blocks(missing)?;
        state.tree.create_dir_all(path)?;
        state.changed()
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = guard(&self.state);
        state.strike(FaultOn::SyncDir, &path.to_string_lossy())?;
        state.changed()?;
        state.tree.sync_dir(path)?;
        state.counts.dir_syncs += 1;
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let state = guard(&self.state);
        state.alive()?;
        state.tree.list(path, |id| state.files[id].content.len())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = guard(&self.state);
        state.strike(FaultOn::Remove, &path.to_string_lossy())?;
        let id = state.tree.remove_file(path)?;
        state.with_file(id, |file| file.named = false);
        state.changed()
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = guard(&self.state);
        state.strike(FaultOn::Remove, &path.to_string_lossy())?;
        let (files, folders) = state.tree.remove_dir_all(path)?;
        for id in files {
            state.with_file(id, |file| file.named = false);
        }
        state.used -= folders;
        state.changed()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = guard(&self.state);
        state.strike(FaultOn::Rename, &from.to_string_lossy())?;
        if let Some(replaced) = state.tree.rename(from, to)? {
            state.with_file(replaced, |file| file.named = false);
        }
        state.changed()
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let state = guard(&self.state);
        state.alive()?;
        Ok(state.tree.exists(path))
    }

    fn space(&self, _path: &Path) -> io::Result<Space> {
        let state = guard(&self.state);
        state.alive()?;
        let bytes = |blocks: u64| ByteSize::bytes(blocks.saturating_mul(PAGE as u64));
        let total = state.capacity.unwrap_or(u64::MAX / PAGE as u64);
        Ok(Space { free: bytes(state.free()), total: bytes(total) })
    }
}

impl SimFile {
    fn check_writable(&self) -> io::Result<()> {
        if self.writable { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }

    /// Writes `data` if nothing is in the way; else some first part of it, ended anywhere.
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = guard(&self.state);
        state.alive()?;
        self.check_writable()?;
        let mut result = state.strike(FaultOn::Write, &self.path);
        if result.is_ok() && state.last_change() {
            result = Err(no_power());
        }
        let mut written = data.len();
        if result.is_err() {
            written = state.rng.below(data.len() as u64 + 1) as usize;
        }
        let fitting = state.files[self.id].content.fitting(offset, written, state.free());
        if fitting < written {
            written = fitting;
            result = result.and(Err(io::ErrorKind::StorageFull.into()));
        }
        state.with_file(self.id, |file| file.content.write(offset, &data[..written]));
        if result.is_ok() {
            state.counts.writes += 1;
            state.counts.bytes_written += written as u64;
        }
        result
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut state = guard(&self.state);
        state.strike(FaultOn::Read, &self.path)?;
        let read = state.files[self.id].content.read(offset, buf);
        state.counts.reads += 1;
        state.counts.bytes_read += read as u64;
        Ok(read)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.write(offset, data)
    }

    fn write_vectored_at(&self, offset: u64, bufs: &[io::IoSlice<'_>]) -> io::Result<()> {
        let bytes: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
        self.write(offset, &bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = guard(&self.state);
        state.alive()?;
        if let Err(error) = state.strike(FaultOn::Sync, &self.path) {
            let State { files, rng, .. } = &mut *state;
            files[self.id].content.fail_sync(rng);
            return Err(error);
        }
        state.changed()?;
        state.files[self.id].content.sync();
        state.counts.syncs += 1;
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        let state = guard(&self.state);
        state.alive()?;
        Ok(state.files[self.id].content.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = guard(&self.state);
        state.alive()?;
        self.check_writable()?;
        state.strike(FaultOn::Write, &self.path)?;
        state.with_file(self.id, |file| file.content.set_len(len));
        state.changed()
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        let zeros = usize::try_from(len).map_err(|_| io::ErrorKind::StorageFull)?;
        self.write(offset, &vec![0; zeros])
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut state = guard(&self.state);
        if self.locked {
            state.locks.retain(|id| *id != self.id);
        }
        state.with_file(self.id, |file| file.handles = file.handles.saturating_sub(1));
    }
}
