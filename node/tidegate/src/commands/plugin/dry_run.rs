//! `plugin dry-run`: what another version would make of records that are there.

use std::time::Duration;

use tidegate_types::PartitionId;
use tidegate_wire::DryRunRequest;

use super::{config_text, version};
use crate::cli::PluginDryRun;
use crate::commands::Context;
use crate::exit::Failure;
use crate::views::{DryRunView, dry_run_text};

/// A node takes a minute at most, and may be at work on another batch then.
const TIMEOUT: Duration = Duration::from_secs(120);

pub async fn run(context: &Context, args: &PluginDryRun) -> Result<(), Failure> {
    let config = args.config.as_deref().map(config_text).transpose()?;
    let client = context.connect_for(TIMEOUT).await?;
    let hash = match &args.version {
        Some(prefix) => Some(version(client, &args.plugin, prefix).await?),
        None => None,
    };
    let request = DryRunRequest {
        topic: args.topic.clone(),
        hook: args.hook,
        plugin: args.plugin.clone(),
        hash,
        config,
        partition: args.partition.map(PartitionId),
        from: args.from,
        records: args.count,
        samples: args.samples,
    };
    let report = client.dry_run(request).await?;
    context.output.print(&DryRunView::from(&report), || dry_run_text(&report))
}
