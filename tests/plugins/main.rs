//! Plugins that do what no plugin should, under each policy; components that are none; versions
//! swapped under load. What a plugin does may cost its own records, never the node, its neighbours,
//! or the rest of a batch.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod hostile;
mod install;
mod poison;
mod support;
mod swap;
