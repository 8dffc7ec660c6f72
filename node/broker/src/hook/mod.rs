//! Plugins at work, whichever the hook: instances, chains, policies, counts.
//!
//! | module | what it does |
//! | --- | --- |
//! | `stage` | one version of one attachment: its instances, its counts, its last words |
//! | `trouble` | whether it wastes its time on runs that fail |
//! | `chain` | the stages that a batch runs through, and what becomes of records that fail |
//! | `pace` | what a batch is expected to take in a chain |
//! | `back_row` | the thread for plugins in trouble |
//!
//! A run that is expected to take a moment is run on the thread that asks for it: to hand it to
//! another costs more than most plugins do. All else goes to threads that may block; and what is in
//! trouble goes last.

mod back_row;
mod chain;
mod pace;
mod stage;
mod trouble;

pub(crate) use back_row::BackRow;
pub(crate) use chain::{Chain, Running, Slot};
pub(crate) use stage::{Borrowed, Stage};
