//! What the node offers: log lines, counters, and a panic's text carried to the operator.
//!
//! Compiled for the developer's own machine there is no node; lines and counters are then kept per
//! thread, where [`testing`](crate::testing) finds them.

use std::fmt;

pub use crate::bindings::host::Level;

/// Longest log line that is sent; the node cuts as well.
const MAX_LINE: usize = 4096;

/// A line in the node's log, under the plugin's name. The macros [`info!`](crate::info) and its
/// siblings call this.
pub fn log(level: Level, message: fmt::Arguments<'_>) {
    match message.as_str() {
        Some(text) => send(level, text),
        None => send(level, &message.to_string()),
    }
}

/// Adds to a counter of the plugin's own. Names are `a-z 0-9 _`, at most 64 bytes; the node
/// ignores others.
pub fn count(metric: &str, by: u64) {
    #[cfg(target_family = "wasm")]
    crate::bindings::host::count(metric, by);
    #[cfg(not(target_family = "wasm"))]
    native::count(metric, by);
}

fn send(level: Level, text: &str) {
    let text = &text[..text.floor_char_boundary(MAX_LINE)];
    #[cfg(target_family = "wasm")]
    crate::bindings::host::log(level, text);
    #[cfg(not(target_family = "wasm"))]
    native::log(level, text);
}

/// Sends panics to the node's log: the trap that follows a panic carries no text.
pub(crate) fn install_panic_hook() {
    #[cfg(target_family = "wasm")]
    std::panic::set_hook(Box::new(|info| {
        let text = info.payload_as_str().unwrap_or("panic");
        match info.location() {
            Some(at) => log(Level::Error, format_args!("{text} ({}:{})", at.file(), at.line())),
            None => send(Level::Error, text),
        }
    }));
}

#[cfg(not(target_family = "wasm"))]
pub(crate) mod native {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use super::Level;

    #[derive(Default)]
    pub(crate) struct Seen {
        pub(crate) lines: Vec<(Level, String)>,
        pub(crate) counters: BTreeMap<String, u64>,
    }

    thread_local! {
        static SEEN: RefCell<Seen> = RefCell::default();
    }

    pub(super) fn log(level: Level, text: &str) {
        SEEN.with_borrow_mut(|seen| seen.lines.push((level, text.to_owned())));
    }

    pub(super) fn count(metric: &str, by: u64) {
        SEEN.with_borrow_mut(|seen| {
            let total = seen.counters.entry(metric.to_owned()).or_default();
            *total = total.saturating_add(by);
        });
    }

    pub(crate) fn take() -> Seen {
        SEEN.take()
    }
}

/// Logs at level trace, with the arguments of `format!`.
#[macro_export]
macro_rules! trace {
    ($($arg:tt)*) => { $crate::log($crate::Level::Trace, ::core::format_args!($($arg)*)) };
}
/// Logs at level debug, with the arguments of `format!`.
#[macro_export]
macro_rules! debug {
    ($($arg:tt)*) => { $crate::log($crate::Level::Debug, ::core::format_args!($($arg)*)) };
}
/// Logs at level info, with the arguments of `format!`.
#[macro_export]
macro_rules! info {
    ($($arg:tt)*) => { $crate::log($crate::Level::Info, ::core::format_args!($($arg)*)) };
}
/// Logs at level warn, with the arguments of `format!`.
#[macro_export]
macro_rules! warn {
    ($($arg:tt)*) => { $crate::log($crate::Level::Warn, ::core::format_args!($($arg)*)) };
}
/// Logs at level error, with the arguments of `format!`.
#[macro_export]
macro_rules! error {
    ($($arg:tt)*) => { $crate::log($crate::Level::Error, ::core::format_args!($($arg)*)) };
}
