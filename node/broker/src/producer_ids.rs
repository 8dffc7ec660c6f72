//! Producer ids, handed out from blocks that are set aside durably.

use std::sync::Arc;

use tidegate_metadata::{Command, Outcome};
use tidegate_types::ProducerId;
use tidegate_wire::{ErrorBody, ErrorCode};
use tokio::sync::Mutex;

use crate::Broker;

/// Ids set aside at once; those left over are lost at a restart, of 2^62.
const BLOCK: u32 = 1_000;

/// The rest of the block at hand.
#[derive(Default)]
pub(crate) struct ProducerIds(Mutex<std::ops::Range<i64>>);

impl ProducerIds {
    /// An id that nobody had before.
    pub(crate) async fn take(&self, broker: &Arc<Broker>) -> Result<ProducerId, ErrorBody> {
        let mut block = self.0.lock().await;
        if block.is_empty() {
            let command = Command::AllocateProducerIds { count: BLOCK };
            let (_, outcome) = broker.submit_command(command).await?;
            let Outcome::ProducerIds { first, count } = outcome else {
                let message = "the metadata gave no producer ids";
                return Err(ErrorBody::new(ErrorCode::Internal, message));
            };
            *block = first.get()..first.get() + i64::from(count);
        }
        let id = block.start;
        block.start += 1;
        Ok(ProducerId(id))
    }
}
