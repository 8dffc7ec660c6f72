//! Shape of `log`.

use clap::{Args, Subcommand};

/// What to do with the logs of a node that is stopped.
#[derive(Subcommand, Debug)]
pub enum LogCommand {
    /// Read every log from end to end and tell what is wrong; exits with 1 if records were lost
    Check(LogCheck),
}

/// Options of `log check`.
#[derive(Args, Debug)]
pub struct LogCheck {
    /// Repair what can be: cut torn tails, take damaged bytes out (a copy stays beside), record the
    /// offsets lost, and write the index anew
    #[arg(long)]
    pub repair: bool,
    /// Unpack every batch and read every record too
    #[arg(long)]
    pub deep: bool,
}
