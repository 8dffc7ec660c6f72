//! The harness of the end-to-end tests: real processes, real files, a line that can be cut.
//!
//! - [`Node`] is one running node: started, killed, frozen and started again.
//! - [`Cli`] runs the program's other commands as a user would.
//! - [`Load`] produces numbered records through the public client; [`check_log`] compares what was
//!   acknowledged with what is stored.
//! - [`files`] reads a log's files without any of the code under test except the record format.
//! - [`FileSystem`] is an ext4 of a test's own: small, and with a power switch.
//! - [`link`] joins two nodes and waits for the copy.
//!
//! Everything random comes from a [`Seed`], which is printed; `TIDEGATE_SEED` repeats a run and
//! `TIDEGATE_SCALE` makes it longer or shorter. The program is built once per test process;
//! `TIDEGATE_BIN` names another one. Waiting is always for an event with a deadline, and a deadline
//! that passes says what was waited for. Nothing here asserts on its own except for that.

mod binary;
mod cli;
pub mod files;
mod filesystem;
pub mod link;
mod load;
mod node;
mod seed;
mod wait;

pub use binary::program;
pub use cli::{Cli, Ran};
pub use filesystem::{Ballast, FileSystem};
pub use load::{
    Acked, Load, Numbered, check_compacted_log, check_cut_log, check_log, check_same,
    check_unsynced_log, consume,
};
pub use node::{Node, free_port};
pub use seed::{Rng, Seed, scaled};
pub use wait::{PATIENCE, eventually};
