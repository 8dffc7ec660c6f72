//! The stock plugins, compiled to components and embedded.
//!
//! Each is documented in its own crate, configuration included; `plugins/README.md` lists them. This
//! crate holds their bytes, compressed; it runs nothing.

mod archive;
mod list;
#[cfg(test)]
mod tests;

use std::fmt;

use list::ALL;

/// A plugin that comes with every node.
#[derive(Clone, Copy, Debug)]
pub struct StockPlugin {
    /// The name under which it is installed.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// What kind of plugin it is.
    pub kind: StockKind,
    /// Whether it keeps a state, or reads a table, and so works at the hook `derive` only.
    pub needs_state: bool,
    /// A small configuration that works, as JSON.
    pub example: &'static str,
}

impl StockPlugin {
    /// The component. All of them are decompressed for it, which takes some milliseconds and a few
    /// megabytes.
    #[must_use]
    pub fn component(&self) -> Vec<u8> {
        archive::open()[archive::place(self.name)].to_vec()
    }

    /// The size of the component in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        archive::place(self.name).len()
    }
}

/// What a plugin may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StockKind {
    /// Keeps or drops records.
    Filter,
    /// Drops, rewrites, splits and routes records.
    Transform,
}

impl fmt::Display for StockKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StockKind::Filter => "filter",
            StockKind::Transform => "transform",
        })
    }
}

/// Every stock plugin, by name.
pub fn all() -> &'static [StockPlugin] {
    &ALL
}

/// The stock plugin of that name.
pub fn find(name: &str) -> Option<&'static StockPlugin> {
    ALL.iter().find(|plugin| plugin.name == name)
}
