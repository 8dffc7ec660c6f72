//! The tidegate binary. What it does stands in the library of the same name.

use std::process::ExitCode;

fn main() -> ExitCode {
    tidegate::run()
}
