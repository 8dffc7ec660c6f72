//! Plugins that loop, panic and eat memory, under each policy; components that are none. What a
//! plugin does may cost its own records, never the node, its neighbours, or the rest of a batch.

mod install;
mod poison;
