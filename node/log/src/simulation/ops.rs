//! What may happen. An operation is a line in a table and a function.

use std::path::Path;
use std::time::Duration;

use tidegate_env::{Disk, Fault, FaultKind, FaultOn, OpenMode, Rng};
use tidegate_record::BatchHeader;
use tidegate_types::{ByteSize, LeaderEpoch, Timestamp};

use super::world::{ROOT, World, log_id};
use crate::files;

type Op = fn(&mut World, usize);

/// How often, what it is called in a trace, and what it does to a log.
const OPS: &[(u64, &str, Op)] = &[
    (100, "produce", World::produce),
    (100, "send", World::send),
    (25, "copy", |world, _| world.copy(super::world::MIRROR)),
    (40, "look", World::check_answers),
    (25, "wait", |world, _| world.wait()),
    (15, "maintain", |world, _| world.maintain()),
    (20, "compact", |world, _| world.compact()),
    (4, "trim", World::trim),
    (4, "config", World::reconfigure),
    (3, "jump", |world, _| world.jump()),
    (8, "epoch", |world, n| world.new_epoch(n)),
    (6, "fault", |world, _| world.inject_any()),
    (4, "power", |world, _| world.cut_soon()),
    (3, "index", World::fail_index),
    (3, "fill", |world, _| world.fill_disk()),
    (6, "room", |world, _| world.disk.set_capacity(None)),
    (10, "flip", |world, n| world.flip(n)),
];

pub(super) fn draw(rng: &mut Rng) -> (&'static str, Op) {
    let all: u64 = OPS.iter().map(|(weight, ..)| weight).sum();
    let mut at = rng.below(all);
    for (weight, name, op) in OPS {
        match at.checked_sub(*weight) {
            Some(left) => at = left,
            None => return (name, *op),
        }
    }
    ("wait", |world, _| world.wait())
}

/// What happens while no process runs, and to the next one as it starts.
pub(super) fn between_starts(world: &mut World) {
    match world.rng.below(40) {
        0 => world.lose_index(),
        1 => world.damage_index(),
        2..=5 => world.cut_soon(),
        6..=8 => world.inject_any(),
        _ => {}
    }
}

impl World {
    pub(super) fn now(&self) -> Timestamp {
        use tidegate_env::Clock;
        self.clock.wall()
    }

    /// Time passes; what is due then happens.
    pub(super) fn wait(&mut self) {
        // Now and then longer than anything that rests after a failure.
        let most = if self.rng.chance(3) { 1_000_000 } else { 3_000 };
        let millis = self.rng.below(most);
        self.clock.advance(Duration::from_millis(millis));
        self.run_writer();
    }

    fn new_epoch(&mut self, n: usize) {
        let LeaderEpoch(epoch) = self.logs[n].epoch;
        self.logs[n].epoch = LeaderEpoch(epoch + 1 + self.rng.below(2) as i32);
    }

    /// Some call to come fails.
    fn inject_any(&mut self) {
        let on = match self.rng.below(12) {
            0..=3 => FaultOn::Sync,
            4..=7 => FaultOn::Write,
            8 => FaultOn::SyncDir,
            9 => FaultOn::Create,
            10 => FaultOn::Open,
            _ => FaultOn::Read,
        };
        let kind = if self.rng.chance(50) { FaultKind::Io } else { FaultKind::NoSpace };
        // An index that cannot be read is one that is lost; that has its own operation.
        let reads = matches!(on, FaultOn::Open | FaultOn::Read);
        let path = if !reads && self.rng.chance(20) { "index.redb" } else { ".log" }.to_owned();
        let path = if on == FaultOn::SyncDir { String::new() } else { path };
        let after = self.rng.below(6) as u32;
        self.inject(Fault { on, after, kind, path });
    }

    pub(super) fn inject(&mut self, fault: Fault) {
        self.tell(format_args!("    {fault:?}"));
        self.disk.inject(fault);
        self.armed = true;
    }

    /// The power fails some changes from now.
    fn cut_soon(&mut self) {
        let changes = self.rng.below(40);
        self.disk.crash_after(changes);
    }

    /// Others fill the disk up to a few blocks.
    fn fill_disk(&mut self) {
        let room = ByteSize::kib(4 * self.rng.below(30));
        let all = self.disk.used().get() + room.get();
        self.disk.set_capacity(Some(ByteSize::bytes(all)));
        self.armed = true;
    }

    fn lose_index(&mut self) {
        let path = Path::new(ROOT).join("index.redb");
        if self.disk.exists(&path).unwrap() {
            // The power may fail at it.
            let _ = self.disk.remove_file(&path);
            self.tell("the index is lost");
            self.index_lost = true;
        }
    }

    fn damage_index(&mut self) {
        let path = Path::new(ROOT).join("index.redb");
        let Ok(file) = self.disk.open(&path, OpenMode::Read) else { return };
        let len = file.len().unwrap();
        self.tell("the index is damaged");
        self.index_hurt = true;
        for _ in 0..self.rng.between(1, 20) {
            let (offset, bit) = (self.rng.below(len.max(1)), self.rng.below(8) as u8);
            self.index_lost |= self.disk.flip_bit(&path, offset, bit).is_ok();
        }
    }

    /// Turns a bit of a batch that the index knows to be durable.
    fn flip(&mut self, n: usize) {
        if !self.flips || self.armed || !self.disk.has_power() {
            return;
        }
        self.clock.advance(Duration::from_secs(2));
        self.run_writer();
        self.catch_up(n);
        if !self.disk.has_power() {
            return;
        }
        let given_up = self.store.as_ref().is_none_or(|(store, _)| store.index_failure().is_some());
        let Some(log) = self.logs[n].handle.clone().filter(|_| !given_up) else { return };
        if log.sealed_reason().is_some() || self.logs[n].durable < self.logs[n].end {
            return;
        }
        let at = self.rng.below(self.logs[n].content.len() as u64) as usize;
        let Some(base) = self.logs[n].content.keys().nth(at).copied() else { return };
        let folder = files::partition(Path::new(ROOT), log_id(n));
        let listed = self.disk.list(&folder).unwrap();
        let bases = listed.iter().filter_map(|entry| files::segment_base(&entry.name));
        let Some(segment) = bases.filter(|segment| *segment <= base).max() else { return };
        let path = files::segment(&folder, segment);
        let file = self.disk.open(&path, OpenMode::Read).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_at(0, &mut bytes).unwrap();
        let mut position = 0;
        let header_at = |position: usize| BatchHeader::parse(bytes.get(position..)?).ok();
        while let Some(header) = header_at(position) {
            if header.base_offset == base {
                // The base offset and the epoch lie outside the CRC: nothing tells of flips there.
                let within = match self.rng.below(header.batch_len as u64 - 12) {
                    at @ 0..4 => 8 + at,
                    at => 12 + at,
                };
                let bit = self.rng.below(8) as u8;
                // An earlier flip may have it claim more than there is.
                if self.disk.flip_bit(&path, position as u64 + within, bit).is_err() {
                    return;
                }
                self.tell(format_args!("log {n}: batch {base} from {segment}, byte {within}"));
                let model = &mut self.logs[n];
                model.hurt = true;
                if let Some(stored) = model.content.get_mut(&base) {
                    stored.hurt = true;
                }
                return;
            }
            position += header.batch_len;
        }
    }
}
