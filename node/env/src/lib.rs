//! What the outside world is to Tidegate's storage: a [`Disk`], a [`Clock`], a seeded [`Rng`].
//!
//! Each comes as the real one and as a simulated one that can be made to fail: [`SimDisk`] loses
//! what was not synced, tears writes, runs out of space and flips bits, all from a seed, so that a
//! failing run can be played again.
//!
//! [`GroupDisk`] syncs the files of many logs for the price of few; [`MeteredDisk`]
//! counts.
//!
//! Nothing here knows of logs, batches or the network.

mod clock;
pub mod disk;
mod group;
mod group_choice;
mod metered;
mod real;
mod rng;
mod sim;

pub use clock::{Clock, ManualClock, SystemClock};
pub use disk::{DirEntry, Disk, DiskFile, OpenMode, Space};
pub use group::GroupDisk;
pub use metered::{DiskMeter, MeteredDisk};
pub use real::{RealDisk, sync_data};
pub use rng::Rng;
pub use sim::{DiskCounts, Fault, FaultKind, FaultOn, SimDisk};
