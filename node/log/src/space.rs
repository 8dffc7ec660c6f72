//! What happens when the disk fills up.
//!
//! [`Watch`] decides, from numbers alone; [`Space`] does what it says, on the writer thread, and
//! tells everyone how things stand.
//!
//! - While less than a **low water** mark is free, appends are refused before anything of them is
//!   done: what is left belongs to metadata, the index and deletes. The same for a moment after any
//!   write met a full disk, whatever the file system says is free: there may be a quota.
//! - A **reserve** of the same purpose is held in a file, `<root>/reserve`, for when others fill the
//!   disk: once half of the low water is gone too, or the index finds no room, the file gives up its
//!   blocks.
//! - While appends are refused, maintenance is told how much room is missing, and drops the oldest
//!   segments of the logs that allow it. Where nothing may be dropped, room comes from outside.
//! - With a quarter more than the low water free, appends are taken again; with room for the reserve
//!   on top of that, it is taken up again. The reserve is less than what lies between, so that giving
//!   it up does not let appends in.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tidegate_env::{Clock, Disk, OpenMode};
use tidegate_types::ByteSize;

use crate::AppendError;
use crate::config::StoreConfig;
use crate::log::lock;

/// How long appends are refused, at the least, after a write met a full disk.
const RETRY: Duration = Duration::from_secs(1);

/// The file system is asked again after this part of the low water was written.
const ASK_AGAIN: u64 = 4;

/// On small file systems the low water is at most one part in so many.
const MAX_SHARE: u64 = 16;

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Effect {
    GiveUpReserve,
    FillReserve(u64),
    /// So many bytes are missing.
    MakeRoom(u64),
}

/// Decides when the disk counts as full. Plain data.
#[derive(Clone, Debug)]
struct Watch {
    low_water: u64,
    reserve: u64,
    full: bool,
    /// Appends are refused until then, however much is free.
    retry: Duration,
    held: bool,
}

impl Watch {
    /// The reserve and the low water on a file system of this size.
    fn marks(&self, total: u64) -> (u64, u64) {
        let reserve = self.reserve.min(total / (2 * MAX_SHARE));
        (reserve, self.low_water.min(total / MAX_SHARE).max(2 * reserve))
    }

    fn handle_space(&mut self, now: Duration, free: u64, total: u64) -> Vec<Effect> {
        let (reserve, low) = self.marks(total);
        let enough = low + low / 4;
        if self.full {
            self.full = free < enough || now < self.retry;
        } else {
            self.full = free < low;
        }
        let mut effects = Vec::new();
        if self.full {
            if self.held && free < low / 2 {
                self.held = false;
                effects.push(Effect::GiveUpReserve);
            }
            // Where the file system says there is room and a write said there is none, it is the
            // write that is believed.
            effects.push(Effect::MakeRoom(if free < enough { enough - free } else { low }));
        } else if !self.held && reserve > 0 && free >= enough + reserve {
            effects.push(Effect::FillReserve(reserve));
        }
        effects
    }

    fn handle_no_space(&mut self, now: Duration) {
        self.full = true;
        self.retry = now + RETRY;
    }
}

/// The disk's room as a store sees it.
#[derive(Debug)]
pub(crate) struct Space {
    root: PathBuf,
    watch: Mutex<Watch>,
    full: AtomicBool,
    free: AtomicU64,
    total: AtomicU64,
    low_water: AtomicU64,
    /// Bytes that maintenance is to free; 0 if none.
    missing: AtomicU64,
    /// Bytes that may still be written before the file system is asked again.
    until_asked: AtomicU64,
}

impl Space {
    pub(crate) fn new(disk: &dyn Disk, root: &Path, config: &StoreConfig) -> Space {
        let held = disk
            .open(&root.join("reserve"), OpenMode::Read)
            .and_then(|file| file.len())
            .is_ok_and(|len| len > 0);
        let watch = Watch {
            low_water: config.low_water.get(),
            reserve: config.reserve.get(),
            full: false,
            retry: Duration::ZERO,
            held,
        };
        Space {
            root: root.to_owned(),
            low_water: AtomicU64::new(watch.low_water),
            watch: Mutex::new(watch),
            full: AtomicBool::new(false),
            free: AtomicU64::new(0),
            total: AtomicU64::new(0),
            missing: AtomicU64::new(0),
            until_asked: AtomicU64::new(0),
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }

    /// How much of `want` may be taken ahead of its use: an eighth of what lies above the low
    /// water, so that what is taken for one log's comfort is not missed by all.
    pub(crate) fn to_spare(&self, want: u64) -> u64 {
        if self.is_full() {
            return 0;
        }
        let kept = self.low_water.load(Ordering::Acquire);
        want.min(self.free.load(Ordering::Acquire).saturating_sub(kept) / 8)
    }

    /// Bytes that maintenance should free.
    pub(crate) fn missing(&self) -> ByteSize {
        ByteSize::bytes(self.missing.load(Ordering::Acquire))
    }

    /// Whether `len` bytes can be written that are not an append's without filling the disk.
    pub(crate) fn has_room_for(&self, disk: &dyn Disk, len: u64) -> bool {
        let kept = self.low_water.load(Ordering::Acquire);
        let free = disk.space(&self.root).map(|space| space.free.get());
        !self.is_full() && free.is_ok_and(|free| free >= len.saturating_add(kept))
    }

    /// Refuses appends while the disk is full.
    pub(crate) fn check(&self) -> Result<(), AppendError> {
        if self.is_full() { Err(self.refusal()) } else { Ok(()) }
    }

    pub(crate) fn refusal(&self) -> AppendError {
        AppendError::DiskFull {
            free: ByteSize::bytes(self.free.load(Ordering::Acquire)),
            reserve: ByteSize::bytes(self.low_water.load(Ordering::Acquire)),
        }
    }

    /// Notes that a write found no room; what its append is answered.
    pub(crate) fn handle_no_space(&self) -> AppendError {
        if !self.full.swap(true, Ordering::AcqRel) {
            tracing::warn!("the disk is full: appends are refused until there is room");
        }
        self.until_asked.store(0, Ordering::Release);
        self.refusal()
    }

    /// Notes bytes that were written.
    pub(crate) fn handle_written(&self, len: usize) {
        let left = self.until_asked.load(Ordering::Acquire);
        self.until_asked.store(left.saturating_sub(len as u64), Ordering::Release);
    }

    /// Whether so much was written that the file system should be asked before the next tick.
    pub(crate) fn is_due(&self) -> bool {
        self.until_asked.load(Ordering::Acquire) == 0
    }

    /// Asks the file system, and does what follows from the answer. `wake` wakes maintenance. What
    /// takes long is done only if this is `timed`, and not between rounds of appends.
    pub(crate) fn look(&self, disk: &dyn Disk, clock: &dyn Clock, timed: bool, wake: impl Fn()) {
        let now = clock.monotonic();
        let mut watch = lock(&self.watch);
        if self.is_full() && !watch.full {
            watch.handle_no_space(now);
        }
        let space = match disk.space(&self.root) {
            Ok(space) => space,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "free space is not known");
                return;
            }
        };
        let (free, total) = (space.free.get(), space.total.get());
        let was_full = watch.full;
        let effects = watch.handle_space(now, free, total);
        let (_, low_water) = watch.marks(total);
        self.free.store(free, Ordering::Release);
        self.total.store(total, Ordering::Release);
        self.low_water.store(low_water, Ordering::Release);
        self.until_asked.store((low_water / ASK_AGAIN).max(1), Ordering::Release);
        self.missing.store(0, Ordering::Release);
        if self.full.swap(watch.full, Ordering::AcqRel) != watch.full || was_full != watch.full {
            let (free, kept) = (space.free, ByteSize::bytes(low_water));
            if watch.full {
                tracing::warn!(%free, %kept, "the disk is full: appends are refused until there is room");
            } else {
                tracing::info!(%free, "the disk has room again: appends are taken");
            }
        }
        for effect in effects {
            match effect {
                Effect::GiveUpReserve => {
                    self.set_reserve(disk, None);
                }
                Effect::FillReserve(len) if timed => {
                    watch.held = self.set_reserve(disk, Some(len));
                }
                Effect::FillReserve(_) => {}
                Effect::MakeRoom(bytes) => {
                    self.missing.store(bytes, Ordering::Release);
                    wake();
                }
            }
        }
    }

    /// Gives up the reserve for the index, if it is held.
    pub(crate) fn give_up_reserve(&self, disk: &dyn Disk) -> bool {
        let mut watch = lock(&self.watch);
        std::mem::take(&mut watch.held) && self.set_reserve(disk, None)
    }

    /// Takes up the reserve's blocks, or gives them up; true if that went well.
    fn set_reserve(&self, disk: &dyn Disk, len: Option<u64>) -> bool {
        let path = self.root.join("reserve");
        let set = || -> io::Result<()> {
            let file = disk.open(&path, OpenMode::Create)?;
            file.set_len(0)?;
            let filled = len.map_or(Ok(()), |len| file.reserve(len));
            if filled.is_err() {
                // Half a reserve would be taken for a whole one.
                file.set_len(0)?;
            }
            // The blocks are free once the file system has noted so for good.
            file.sync_data()?;
            filled
        };
        match set() {
            Ok(()) => true,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, path = %path.display(), "the reserve could not be changed");
                false
            }
        }
    }

    /// Why appends are refused, if they are.
    pub(crate) fn full_reason(&self) -> Option<String> {
        self.check().err().map(|error| error.to_string())
    }
}

/// Frees the blocks of the reserve before a store is open; false if there are none.
pub(crate) fn empty_reserve(disk: &dyn Disk, root: &Path) -> io::Result<bool> {
    let file = disk.open(&root.join("reserve"), OpenMode::Write)?;
    if file.is_empty()? {
        return Ok(false);
    }
    file.set_len(0)?;
    file.sync_data()?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const TOTAL: u64 = 1 << 40;

    fn watch() -> Watch {
        Watch {
            low_water: 64 * MIB,
            reserve: 32 * MIB,
            full: false,
            retry: Duration::ZERO,
            held: false,
        }
    }

    fn at(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    #[test]
    fn a_disk_fills_up_and_heals() {
        let mut watch = watch();
        let mut see = |second, mib: u64| {
            let effects = watch.handle_space(at(second), mib * MIB, TOTAL);
            if effects.contains(&Effect::FillReserve(32 * MIB)) {
                watch.held = true;
            }
            (watch.full, effects)
        };
        assert_eq!(see(1, 500), (false, vec![Effect::FillReserve(32 * MIB)]));
        assert_eq!(see(2, 64), (false, vec![]), "the mark itself is enough");
        assert_eq!(see(3, 63), (true, vec![Effect::MakeRoom(17 * MIB)]));
        assert_eq!(see(4, 79), (true, vec![Effect::MakeRoom(MIB)]), "not yet enough");
        assert_eq!(see(5, 31), (true, vec![Effect::GiveUpReserve, Effect::MakeRoom(49 * MIB)]));
        // What the reserve gave does not let appends in.
        assert_eq!(see(6, 63), (true, vec![Effect::MakeRoom(17 * MIB)]));
        assert_eq!(see(7, 80), (false, vec![]), "room again, not for the reserve yet");
        assert_eq!(see(8, 112), (false, vec![Effect::FillReserve(32 * MIB)]));
    }

    #[test]
    fn a_write_without_room_is_believed_more_than_the_file_system() {
        let mut watch = watch();
        watch.handle_no_space(at(10));
        assert_eq!(watch.handle_space(at(10), TOTAL / 2, TOTAL), [Effect::MakeRoom(64 * MIB)]);
        assert!(watch.full);
        watch.handle_space(at(11), TOTAL / 2, TOTAL);
        assert!(!watch.full, "another try after a moment");
    }

    #[test]
    fn marks_fit_the_file_system() {
        let watch = watch();
        assert_eq!(watch.marks(TOTAL), (32 * MIB, 64 * MIB));
        assert_eq!(watch.marks(64 * MIB), (2 * MIB, 4 * MIB));
        let odd = Watch { low_water: 0, ..watch };
        assert_eq!(odd.marks(TOTAL), (32 * MIB, 64 * MIB), "the mark is never below the reserve");
        for total in [0, 1, 100, MIB, TOTAL] {
            let (reserve, low) = odd.marks(total);
            assert!(low >= 2 * reserve && low / 2 + reserve < low + low / 4 || low == 0);
        }
    }

    #[test]
    fn without_marks_only_a_failed_write_is_full() {
        let mut watch = Watch { low_water: 0, reserve: 0, ..watch() };
        assert_eq!(watch.handle_space(at(1), 0, TOTAL), []);
        assert!(!watch.full);
    }
}
