//! Plugins that loop, panic and eat memory, under each policy; components that are none. What a
//! plugin does may cost its own records, never the node, its neighbours, or the rest of a batch.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod install;
mod poison;
