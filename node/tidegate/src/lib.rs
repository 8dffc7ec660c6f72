//! The program: settings, command line, output, and the commands.
//!
//! [`run`] is all of it. The commands speak to a node over `tidegate-client` like any other
//! program; only `serve`, `demo` and `init` touch a node's own parts. Results go to standard
//! output and nothing else does; the exit codes stand in [`exit`].

pub mod cli;
mod commands;
mod demo;
pub mod exit;
pub mod format;
mod interrupt;
mod invitation;
pub mod lines;
pub mod output;
pub mod relay;
pub mod settings;
mod views;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;
use crate::exit::Exit;

/// Reads the command line, does what it says, and tells how that ended.
#[must_use]
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are asked for; they end well, even where nobody reads them.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            let _ = error.print();
            return exit.into();
        }
    };
    match commands::run(&cli) {
        Ok(()) => Exit::Done.into(),
        Err(failure) => {
            output::tell(&format!("error: {failure}"));
            failure.exit().into()
        }
    }
}
