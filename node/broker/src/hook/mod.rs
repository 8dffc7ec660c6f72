//! Plugins at work, whichever the hook: instances, chains, policies, counts.
//!
//! | module | what it does |
//! | --- | --- |
//! | `stage` | one version of one attachment: its instances, its counts, its last words |
//! | `trouble` | whether it wastes its time on runs that fail |
//! | `chain` | the stages that a batch runs through, and what becomes of records that fail |

mod chain;
mod stage;
mod trouble;

pub(crate) use chain::{Chain, Running, Slot};
pub(crate) use stage::{Borrowed, Stage};
