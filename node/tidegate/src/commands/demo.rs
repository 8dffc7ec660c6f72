//! `demo`: see [`crate::demo`].

use super::Context;
use crate::cli;
use crate::demo;
use crate::exit::Failure;

pub async fn run(context: &Context, args: &cli::Demo) -> Result<(), Failure> {
    demo::run(context.output, args).await
}
