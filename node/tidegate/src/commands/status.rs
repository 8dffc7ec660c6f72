//! `status`.

use std::time::{SystemTime, UNIX_EPOCH};

use tidegate_types::Timestamp;

use super::Context;
use crate::exit::Failure;
use crate::views::StatusView;

pub async fn run(context: &Context) -> Result<(), Failure> {
    let status = StatusView::from(context.connect().await?.status().await?);
    context.output.print(&status, || status.table(now()))
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
