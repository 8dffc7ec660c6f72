//! `bench`: loads a broker and tells what it did.

use tidegate_bench::{
    BatchSize, BenchError, End, ErrorKind, Fetch, Latency, Load, Produce, Records, Report, Stop,
    Target,
};

use super::Context;
use crate::cli::{BenchCommand, BenchLoad};
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::output::{fields, note, table};

/// Whom to load where nobody is named.
const KAFKA: &str = "127.0.0.1:9092";

pub async fn run(context: &Context, command: &BenchCommand) -> Result<(), Failure> {
    let stop = Stop::new();
    let mut interrupt = Interrupt::listen()?;
    let running = run_one(context, command, &stop);
    tokio::pin!(running);
    let report = tokio::select! {
        report = &mut running => report,
        () = interrupt.wait() => {
            note("stopping; interrupt again to stop at once");
            stop.stop();
            tokio::select! {
                report = running => report,
                () = interrupt.wait() => return Err(Failure::new(Exit::Failed, "interrupted")),
            }
        }
    };
    let report = report.map_err(|error| Failure::of(exit(&error), &error))?;
    context.output.print(&report, || text(&report))
}

async fn run_one(
    context: &Context,
    command: &BenchCommand,
    stop: &Stop,
) -> Result<Report, BenchError> {
    match command {
        BenchCommand::Produce(args) => {
            let load = load(context, &args.load, args.in_flight);
            let records = Records {
                record_size: args.record_size,
                batch_size: BatchSize::Bytes(args.batch_size),
                compression: args.compression,
            };
            let (acks, rate) = (args.acks, args.rate);
            Produce { load, records, acks, rate }.run(stop).await
        }
        BenchCommand::Fetch(args) => {
            let load = load(context, &args.load, args.in_flight);
            let records = Records {
                record_size: args.record_size,
                batch_size: BatchSize::Bytes(args.batch_size),
                ..Records::default()
            };
            let (max_bytes, fill) = (args.max_bytes, args.fill);
            Fetch { load, max_bytes, records, fill }.run(stop).await
        }
        BenchCommand::Latency(args) => {
            let latency = Latency {
                load: load(context, &args.load, args.in_flight),
                record_size: args.record_size,
                records: args.records,
                compression: args.compression,
                acks: args.acks,
                rate: args.rate,
            };
            latency.run(stop).await
        }
    }
}

fn load(context: &Context, args: &BenchLoad, in_flight: u32) -> Load {
    let target = match &args.native {
        Some(address) => {
            let tls = context.settings.client.tls.clone();
            Target::Native { address: address.clone(), tls }
        }
        None => Target::Kafka { address: args.kafka.clone().unwrap_or_else(|| KAFKA.to_owned()) },
    };
    let default = Load::new(target);
    let end = match (args.duration, args.count, args.bytes) {
        (Some(time), ..) => End::Time(time),
        (_, Some(records), _) => End::Records(records),
        (_, _, Some(bytes)) => End::Bytes(bytes),
        _ => default.end,
    };
    Load {
        topic: args.topic.clone(),
        topic_settings: args.config.clone(),
        partitions: args.partitions,
        connections: args.connections,
        in_flight,
        end,
        warmup: args.warmup,
        ..default
    }
}

fn exit(error: &BenchError) -> Exit {
    match error.kind() {
        ErrorKind::Unreachable => Exit::Unreachable,
        ErrorKind::NotFound => Exit::NotFound,
        ErrorKind::Invalid => Exit::Usage,
        ErrorKind::Refused | ErrorKind::Failed => Exit::Failed,
    }
}

fn text(report: &Report) -> String {
    let rows = report.rows();
    let rows: Vec<_> = rows.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    let mut text = fields(&rows);
    let histogram = report.histogram_rows();
    if !histogram.is_empty() {
        let rows = histogram.into_iter().map(|(up_to, count, share)| [up_to, count, share]);
        text.push('\n');
        text.push_str(&table(["up to", "requests", "share"], &[0, 1, 2], rows));
    }
    text
}
