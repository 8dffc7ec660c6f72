//! What a plugin costs: on the ingest hook beside the same ingest without one, and as code beside
//! the same code native.

use std::hint::black_box;
use std::time::{Duration, Instant};

use tidegate_bench_common::sample;
use tidegate_bench_common::table::{Row, Table};
use tidegate_bench_guest::convert;
use tidegate_plugin::apply::{Applier, Origin};
use tidegate_plugin::{Columns, HostConfig, Limits, PluginHost, RunContext};
use tidegate_record::Batch;
use tidegate_types::{
    Acks, Flush, PartitionId, PluginName, PoisonPolicy, Timestamp, TopicId, TopicName,
};
use tidegate_wire::AttachRequest;

use crate::Failure;
use crate::load::{self, Load};
use crate::node::BenchNode;

/// The JSON transform.
const CONVERT: &[u8] = include_bytes!(env!("BENCH_GUEST"));

/// Records in a batch: the budget speaks of 100 and more.
const PER_BATCH: u32 = 256;

/// Measures all of it.
///
/// # Errors
/// If the node refuses the load, or a plugin fails.
pub async fn measure(table: &mut Table, rounds: usize, records: u64) -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let node = BenchNode::start(dir.path()).await?;
    let keep = node.install("identity", tidegate_test_guests::KEEP).await?;
    let json = node.install("convert", CONVERT).await?;
    let load = Load { records, per_batch: PER_BATCH, in_flight: 32, acks: Acks::All };
    let (mut plain, mut filtered, mut converted) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let topics = [
            (format!("plain-{round}"), None, &mut plain),
            (format!("filter-{round}"), Some((&keep, "\"all\"")), &mut filtered),
            (format!("json-{round}"), Some((&json, "{}")), &mut converted),
        ];
        for (name, plugin, figures) in topics {
            let topic = node.topic(&name, Flush::Os).await?;
            if let Some((plugin, config)) = plugin {
                node.attach(halting(&topic, plugin, config)).await?;
            }
            let before = cpu()?;
            let run = load::produce(&node.connection, &topic, &load).await?;
            let spent = cpu()?.saturating_sub(before);
            figures.push(spent.as_nanos() as f64 / run.records as f64);
            node.delete(&topic).await?;
        }
    }
    let ready = install_to_first_record(&node, rounds).await?;
    node.stop().await;
    let row = |what: &str, ours: Vec<f64>, budget| Row {
        what: what.to_owned(),
        unit: "CPU ns/rec",
        baseline: plain.clone(),
        ours,
        budget,
        difference: true,
    };
    table.add(row("ingest hook: identity filter, all columns", filtered, "<= +100"));
    table.add(row("ingest hook: JSON transform (serde)", converted, ""));
    table.add(Row {
        what: "component of 110 KB: install to first record".to_owned(),
        unit: "ms",
        baseline: Vec::new(),
        ours: ready,
        budget: "<= 200",
        difference: false,
    });
    on_one_thread(table, rounds)?;
    native(table, rounds)
}

/// From handing over a component that the node has never seen to the acknowledgement of a record that
/// it has run over, in milliseconds: compiled, stored, attached, made an instance of.
async fn install_to_first_record(node: &BenchNode, rounds: usize) -> Result<Vec<f64>, Failure> {
    let load = Load { records: 1, per_batch: 1, in_flight: 1, acks: Acks::All };
    let mut figures = Vec::new();
    for round in 0..rounds {
        let topic = node.topic(&format!("first-{round}"), Flush::Always).await?;
        let name = format!("first-{round}");
        // A section that nobody reads makes it another one each time.
        let round = [round as u8];
        let component = [tidegate_test_guests::HOSTILE, b"\0\x07\x05other", &round].concat();
        let started = Instant::now();
        let name = node.install(&name, component).await?;
        node.attach(halting(&topic, &name, "\"upper\"")).await?;
        load::produce(&node.connection, &topic, &load).await?;
        figures.push(started.elapsed().as_secs_f64() * 1e3);
        node.delete(&topic).await?;
    }
    Ok(figures)
}

/// The work of the hook without its threads: records read, columns gathered, the guest called,
/// its answer applied; beside reading the records alone. The rest of the hook's cost is handing
/// batches from thread to thread.
fn on_one_thread(table: &mut Table, rounds: usize) -> Result<(), Failure> {
    const BATCHES: u32 = 1_000;
    let dir = tempfile::tempdir()?;
    let host = PluginHost::new(HostConfig::new(dir.path()))?;
    let installed = host.install(tidegate_test_guests::KEEP)?;
    let mut instance = host.load(&installed.hash)?.instantiate("\"all\"", Limits::default())?;
    let bytes = sample::batch(0, PER_BATCH)?;
    let (batch, _) = Batch::parse(&bytes)?;
    let topic = TopicName::new("bench")?;
    let origin = Origin {
        topic: &topic,
        topic_id: TopicId::random(),
        partition: PartitionId(0),
        partitions: 1,
        purpose: "ingest",
        keep_offsets: false,
        derive: None,
        partitions_of: &|_| None,
    };
    let mut applier = Applier::new();
    let (mut baseline, mut ours) = (Vec::new(), Vec::new());
    let per_record =
        |took: Duration| took.as_nanos() as f64 / f64::from(BATCHES) / f64::from(PER_BATCH);
    for _ in 0..rounds {
        let started = Instant::now();
        for _ in 0..BATCHES {
            black_box(black_box(&batch).check_records(&mut Vec::new())?);
        }
        baseline.push(per_record(started.elapsed()));
        let started = Instant::now();
        for _ in 0..BATCHES {
            black_box(applier.run(black_box(&batch), &mut [&mut instance], &origin)?);
        }
        ours.push(per_record(started.elapsed()));
    }
    table.add(Row {
        what: "the same filter's work on one thread".to_owned(),
        unit: "ns/rec",
        baseline,
        ours,
        budget: "",
        difference: true,
    });
    Ok(())
}

/// The same transform in the guest, columns gathered and answers checked, beside native code.
fn native(table: &mut Table, rounds: usize) -> Result<(), Failure> {
    const BATCHES: u32 = 200;
    let dir = tempfile::tempdir()?;
    let host = PluginHost::new(HostConfig::new(dir.path()))?;
    let installed = host.install(CONVERT)?;
    let mut instance = host.load(&installed.hash)?.instantiate("{}", Limits::default())?;
    let values: Vec<String> = (0..1_000).map(sample::value).collect();
    let context = RunContext { topic: "t".into(), partition: 0, partitions: 1, seed: 0 };
    let mut columns = Columns::new();
    let (mut baseline, mut ours) = (Vec::new(), Vec::new());
    let per_record = |took: Duration| took.as_nanos() as f64 / f64::from(BATCHES) / 1e3;
    for _ in 0..rounds {
        let started = Instant::now();
        for _ in 0..BATCHES {
            for value in &values {
                black_box(convert(black_box(value.as_bytes()))?);
            }
        }
        baseline.push(per_record(started.elapsed()));
        let started = Instant::now();
        for _ in 0..BATCHES {
            columns.clear(instance.needs());
            for value in &values {
                columns.push(Timestamp(0), None, Some(value.as_bytes()), [])?;
            }
            black_box(instance.run(&mut columns, &context)?);
        }
        ours.push(per_record(started.elapsed()));
    }
    table.add(Row {
        what: "JSON transform in Rust: plugin beside native".to_owned(),
        unit: "ns/rec",
        baseline,
        ours,
        budget: "<= 1.70",
        difference: false,
    });
    Ok(())
}

/// A batch on which the plugin fails is refused: it would be no measurement.
fn halting(topic: &TopicName, plugin: &PluginName, config: &str) -> AttachRequest {
    AttachRequest {
        config: config.to_owned(),
        policy: PoisonPolicy::Halt,
        ..AttachRequest::new(topic.clone(), plugin.clone())
    }
}

/// CPU time of this process so far, client included: it is the same on both sides.
fn cpu() -> Result<Duration, Failure> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after = stat.rsplit_once(')').ok_or("/proc/self/stat has another form")?.1;
    let fields: Vec<&str> = after.split_ascii_whitespace().collect();
    let ticks: u64 = fields.get(11).ok_or("no utime")?.parse::<u64>()?
        + fields.get(12).ok_or("no stime")?.parse::<u64>()?;
    // Linux tells these in hundredths of a second on every machine that we build for.
    Ok(Duration::from_millis(ticks * 10))
}
