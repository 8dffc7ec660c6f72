//! Fetch over QUIC from the page cache, beside the toy that sends its file.

use tidegate_bench_common::table::{Row, Table};
use tidegate_types::{Acks, Flush, TopicName};

use crate::Failure;
use crate::load::{self, Load};
use crate::node::BenchNode;
use crate::toy::Toy;

/// Measures both.
///
/// # Errors
/// If either side refuses.
pub async fn measure(table: &mut Table, rounds: usize, records: u64) -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let toy = Toy::start(dir.path(), false).await?;
    let toy_connection = load::connect(&toy.address, &toy.tls).await?;
    let node_dir = tempfile::tempdir()?;
    let node = BenchNode::start(node_dir.path()).await?;
    let topic = node.topic("fetch", Flush::Os).await?;
    let load = Load { records, per_batch: 256, in_flight: 32, acks: Acks::All };
    let sent = load::produce(&node.connection, &topic, &load).await?;
    let any = TopicName::new("toy")?;
    load::produce(&toy_connection, &any, &load).await?;

    let rate = |run: load::Run| run.bytes as f64 / 1e6 / run.took.as_secs_f64();
    let (mut baseline, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        baseline.push(rate(load::fetch(&toy_connection, &any).await?));
        let run = load::fetch(&node.connection, &topic).await?;
        if run.bytes != sent.bytes {
            return Err(format!("{} bytes sent, {} fetched", sent.bytes, run.bytes).into());
        }
        ours.push(rate(run));
    }
    table.add(Row {
        what: "fetch over QUIC, from the page cache".to_owned(),
        unit: "MB/s",
        baseline,
        ours,
        budget: ">= 0.50",
        difference: false,
    });
    node.stop().await;
    Ok(())
}
