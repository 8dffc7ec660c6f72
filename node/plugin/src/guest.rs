//! What lives beside a guest in its store: its limits, what it logged, its seed.
//!
//! The host functions here are all that a plugin can reach. Of WASI there is randomness that is not
//! random (Rust's hash maps ask for it) and an empty environment; everything else traps when called.

use std::collections::BTreeMap;
use std::mem;

use wasmtime::component::{Component, Linker, LinkerInstance, types::ComponentItem};
use wasmtime::{Engine, ResourceLimiter, StoreContextMut};

use crate::abi::{LogLevel, WORLD_VERSION};
use crate::deadline::Deadline;
use crate::state::{self, State};

/// Longest line of a plugin in the log.
const MAX_LINE: usize = 4_096;
/// Counters of one plugin.
const MAX_COUNTERS: usize = 64;
/// Longest name of a counter.
const MAX_COUNTER_NAME: usize = 64;
/// Entries of all tables of one plugin: its indirect functions.
const MAX_TABLE: usize = 1 << 20;

/// A line that a plugin logged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogLine {
    /// How loud.
    pub level: LogLevel,
    /// What it says; cut where it was too long.
    pub message: String,
}

/// What plugins said and counted since it was last asked for.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Journal {
    /// The lines, oldest first.
    pub lines: Vec<LogLine>,
    /// Lines that came after the journal was full.
    pub lines_dropped: u64,
    /// What was added to each counter.
    pub counters: BTreeMap<String, u64>,
}

impl Journal {
    /// Whether nothing was said or counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.lines_dropped == 0 && self.counters.is_empty()
    }

    fn log(&mut self, most: usize, level: LogLevel, message: String) {
        if self.lines.len() < most {
            self.lines.push(LogLine { level, message });
        } else {
            self.lines_dropped = self.lines_dropped.saturating_add(1);
        }
    }

    fn count(&mut self, name: String, by: u64) {
        let valid = !name.is_empty()
            && name.len() <= MAX_COUNTER_NAME
            && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        if !valid || (self.counters.len() >= MAX_COUNTERS && !self.counters.contains_key(&name)) {
            return;
        }
        let counter = self.counters.entry(name).or_insert(0);
        *counter = counter.saturating_add(by);
    }
}

/// Cuts `text` to at most `max` bytes, at a character, and puts it on one line.
pub(crate) fn one_line(text: String, max: usize) -> String {
    let text = cut(text, max);
    if !text.contains(['\n', '\r']) {
        return text;
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    cut(lines.collect::<Vec<_>>().join(" | "), max)
}

fn cut(mut text: String, max: usize) -> String {
    const MARK: &str = "...";
    if text.len() > max {
        text.truncate(text.floor_char_boundary(max.saturating_sub(MARK.len())));
        text.push_str(MARK);
    }
    text
}

/// The data of one store.
pub(crate) struct Guest {
    /// Log lines kept between two drains.
    most_lines: usize,
    memory_limit: usize,
    memory_used: usize,
    table_used: usize,
    refused_memory: Option<usize>,
    random: u64,
    last_error: Option<String>,
    journal: Journal,
    state: Option<Box<dyn State>>,
    pub(crate) deadline: Deadline,
}

impl Guest {
    pub(crate) fn new(memory_limit: usize, most_lines: usize, journal: Journal) -> Guest {
        Guest {
            most_lines,
            memory_limit,
            memory_used: 0,
            table_used: 0,
            refused_memory: None,
            random: 0,
            last_error: None,
            journal,
            state: None,
            deadline: Deadline::default(),
        }
    }

    /// Lends a state for the calls to come, or takes it away.
    pub(crate) fn set_state(&mut self, state: Option<Box<dyn State>>) -> Option<Box<dyn State>> {
        mem::replace(&mut self.state, state)
    }

    pub(crate) fn state_mut(&mut self) -> Option<&mut (dyn State + 'static)> {
        self.state.as_deref_mut()
    }

    /// Prepares for a call: what a call sees must not depend on those before it.
    pub(crate) fn begin(&mut self, seed: u64) {
        self.random = seed;
        self.last_error = None;
        self.refused_memory = None;
    }

    /// The memory that was asked for in vain, if any was.
    pub(crate) fn refused_memory(&self) -> Option<usize> {
        self.refused_memory
    }

    pub(crate) fn memory_used(&self) -> usize {
        self.memory_used
    }

    /// The last line of level error in this call.
    pub(crate) fn take_last_error(&mut self) -> Option<String> {
        self.last_error.take()
    }

    pub(crate) fn take_journal(&mut self) -> Journal {
        mem::take(&mut self.journal)
    }

    pub(crate) fn has_journal(&self) -> bool {
        !self.journal.is_empty()
    }

    /// SplitMix64: every seed gives a full-period sequence.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl ResourceLimiter for Guest {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let others = self.memory_used.saturating_sub(current);
        let total = others.saturating_add(desired);
        if total > self.memory_limit {
            self.refused_memory = Some(total);
            wasmtime::bail!("memory of {total} bytes is over the limit of {}", self.memory_limit);
        }
        self.memory_used = total;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.table_used.saturating_sub(current).saturating_add(desired);
        if total > MAX_TABLE {
            wasmtime::bail!("tables of {total} entries are over the limit of {MAX_TABLE}");
        }
        self.table_used = total;
        Ok(true)
    }
}

/// Defines everything that `component` imports.
pub(crate) fn link(
    engine: &Engine,
    linker: &mut Linker<Guest>,
    component: &Component,
) -> wasmtime::Result<()> {
    let mut host = linker.instance(&format!("tidegate:plugin/host@{WORLD_VERSION}"))?;
    host.func_wrap(
        "log",
        |mut store: StoreContextMut<'_, Guest>, (level, message): (LogLevel, String)| {
            let guest = store.data_mut();
            let message = one_line(message, MAX_LINE);
            if level == LogLevel::Error {
                guest.last_error = Some(message.clone());
            }
            guest.journal.log(guest.most_lines, level, message);
            Ok(())
        },
    )?;
    host.func_wrap("count", |mut store: StoreContextMut<'_, Guest>, (name, by): (String, u64)| {
        store.data_mut().journal.count(name, by);
        Ok(())
    })?;
    for (name, item) in component.component_type().imports(engine) {
        let ComponentItem::ComponentInstance(_) = item.ty else { continue };
        match name.split_once('@').map_or(name, |(interface, _)| interface) {
            "tidegate:plugin/state" => state::link(&mut linker.instance(name)?)?,
            "wasi:random/random" => {
                let mut instance = linker.instance(name)?;
                random_bytes(&mut instance, "get-random-bytes")?;
                random_u64(&mut instance, "get-random-u64")?;
            }
            "wasi:random/insecure" => {
                let mut instance = linker.instance(name)?;
                random_bytes(&mut instance, "get-insecure-random-bytes")?;
                random_u64(&mut instance, "get-insecure-random-u64")?;
            }
            "wasi:random/insecure-seed" => {
                linker.instance(name)?.func_wrap(
                    "insecure-seed",
                    |mut store: StoreContextMut<'_, Guest>, (): ()| {
                        let guest = store.data_mut();
                        Ok(((guest.next_random(), guest.next_random()),))
                    },
                )?;
            }
            "wasi:cli/environment" => {
                let mut instance = linker.instance(name)?;
                instance
                    .func_wrap("get-environment", |_: StoreContextMut<'_, Guest>, (): ()| {
                        Ok((Vec::<(String, String)>::new(),))
                    })?;
                instance.func_wrap("get-arguments", |_: StoreContextMut<'_, Guest>, (): ()| {
                    Ok((Vec::<String>::new(),))
                })?;
                instance.func_wrap("initial-cwd", |_: StoreContextMut<'_, Guest>, (): ()| {
                    Ok((None::<String>,))
                })?;
            }
            _ => {}
        }
    }
    linker.define_unknown_imports_as_traps(component)
}

fn random_u64(linker: &mut LinkerInstance<'_, Guest>, name: &str) -> wasmtime::Result<()> {
    linker.func_wrap(name, |mut store: StoreContextMut<'_, Guest>, (): ()| {
        Ok((store.data_mut().next_random(),))
    })
}

fn random_bytes(linker: &mut LinkerInstance<'_, Guest>, name: &str) -> wasmtime::Result<()> {
    linker.func_wrap(name, |mut store: StoreContextMut<'_, Guest>, (len,): (u64,)| {
        const MAX: u64 = 64 << 10;
        if len > MAX {
            wasmtime::bail!("asked for {len} random bytes at once, at most {MAX} are given");
        }
        let guest = store.data_mut();
        let words = len.div_ceil(8);
        let mut bytes: Vec<u8> =
            (0..words).flat_map(|_| guest.next_random().to_le_bytes()).collect();
        bytes.truncate(len as usize);
        Ok((bytes,))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_is_bounded() {
        let mut journal = Journal::default();
        for i in 0..67 {
            journal.log(64, LogLevel::Info, i.to_string());
            journal.count(format!("c{i}"), 1);
        }
        journal.count("c0".to_owned(), u64::MAX);
        for bad in ["", "Upper", "with space", &"x".repeat(65)] {
            journal.count((*bad).to_owned(), 1);
        }
        assert_eq!((journal.lines.len(), journal.lines_dropped), (64, 3));
        assert_eq!(journal.counters.len(), MAX_COUNTERS);
        assert_eq!(journal.counters["c0"], u64::MAX);
    }

    #[test]
    fn lines_are_cut_at_a_character_and_put_on_one_line() {
        assert_eq!(one_line("a\n  b\r\n\nc".to_owned(), 100), "a | b | c");
        let cut = one_line("ä".repeat(10), 12);
        assert_eq!(cut, "ääää...");
    }

    #[test]
    fn memory_is_limited_over_all_memories() {
        let mut guest = Guest::new(100, 9, Journal::default());
        assert!(guest.memory_growing(0, 60, None).unwrap());
        assert!(guest.memory_growing(0, 30, None).unwrap());
        assert!(guest.memory_growing(60, 71, None).is_err());
        assert_eq!(guest.refused_memory(), Some(101));
        assert!(guest.memory_growing(60, 70, None).unwrap());
        assert_eq!(guest.memory_used(), 100);
    }

    #[test]
    fn randomness_follows_from_the_seed_alone() {
        let mut guest = Guest::new(0, 9, Journal::default());
        guest.begin(7);
        let first = (guest.next_random(), guest.next_random());
        guest.begin(7);
        assert_eq!((guest.next_random(), guest.next_random()), first);
        guest.begin(8);
        assert_ne!(guest.next_random(), first.0);
    }
}
