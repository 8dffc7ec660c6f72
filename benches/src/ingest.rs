//! Ingest over QUIC, durable and not, beside the toy.

use tidegate_bench_common::table::{Row, Table};
use tidegate_types::{Acks, Flush, TopicName};

use crate::Failure;
use crate::load::{self, Load};
use crate::node::BenchNode;
use crate::toy::Toy;

/// Batches of 320 records of some 200 bytes are 64 KB or a little more.
const PER_BATCH: u32 = 256;

/// Measures both.
///
/// # Errors
/// If either side refuses the load.
pub async fn measure(table: &mut Table, rounds: usize, records: u64) -> Result<(), Failure> {
    for durable in [true, false] {
        let dir = tempfile::tempdir()?;
        let toy = Toy::start(dir.path(), durable).await?;
        let toy_connection = load::connect(&toy.address, &toy.tls).await?;
        let node_dir = tempfile::tempdir()?;
        let node = BenchNode::start(node_dir.path()).await?;
        let flush = if durable { Flush::Always } else { Flush::Os };
        let load = Load { records, per_batch: PER_BATCH, in_flight: 32, acks: Acks::All };
        let (mut baseline, mut ours) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            let any = TopicName::new("toy")?;
            baseline.push(load::produce(&toy_connection, &any, &load).await?.rate() / 1e3);
            let topic = node.topic(&format!("ingest-{round}"), flush).await?;
            ours.push(load::produce(&node.connection, &topic, &load).await?.rate() / 1e3);
            node.delete(&topic).await?;
        }
        let what =
            if durable { "ingest over QUIC, durable" } else { "ingest over QUIC, page cache" };
        table.add(Row {
            what: what.to_owned(),
            unit: "k rec/s",
            baseline,
            ours,
            budget: if durable { ">= 0.70" } else { "" },
            difference: false,
        });
        node.stop().await;
    }
    Ok(())
}
