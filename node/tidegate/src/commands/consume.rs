//! `consume`: records out, formatted.
//!
//! Output is gathered while records are at hand and written when none is, so that a full log runs
//! fast and a single record is seen at once. A reader that goes away (`head`) ends the command
//! quietly.

use std::io::{self, Write};

use tidegate_client::{ConsumeError, ConsumedRecord, Consumer, ConsumerConfig, Event};
use tidegate_types::PartitionId;

use super::{Context, request_exit};
use crate::cli::Consume;
use crate::exit::{Exit, Failure};
use crate::format::{Format, RecordView, write_json};
use crate::interrupt::Interrupt;
use crate::output::{Output, Progress, is_closed_pipe, stdout_failure, tell};

/// Formatted bytes that are gathered before they are written.
const GATHERED: usize = 64 * 1024;

pub async fn run(context: &Context, args: &Consume) -> Result<(), Failure> {
    if context.output == Output::Json && args.format.is_some() {
        return Err(Failure::usage("--format and --output json exclude each other"));
    }
    if args.count == Some(0) {
        return Ok(());
    }
    let client = context.connect().await?;
    let config = ConsumerConfig {
        from: args.offset,
        partitions: args.partition.iter().map(|p| (PartitionId(*p), args.offset)).collect(),
        until_end: args.exit,
        plugin: args.plugin.clone(),
        ..ConsumerConfig::default()
    };
    let mut consumer = client
        .consumer(args.topic.clone(), config)
        .await
        .map_err(|error| consume_failure(&error))?;
    // Not before: until now an interrupt may simply end it all.
    let mut interrupt = Interrupt::listen()?;
    let format = args.format.clone().unwrap_or_default();
    let mut printer = Printer {
        topic: args.topic.as_str(),
        form: (context.output == Output::Table).then_some(&format),
        buffer: Vec::with_capacity(2 * GATHERED),
        out: io::stdout(),
    };
    // A counter between records on the same terminal would only be in the way.
    let progress = (!io::IsTerminal::is_terminal(&io::stdout())).then(|| Progress::records("read"));
    let left = args.count.unwrap_or(u64::MAX);
    let result = copy(&mut consumer, &mut printer, &mut interrupt, left, progress.as_ref()).await;
    // What was read before a failure is good.
    let flushed = printer.flush();
    match result.and(flushed) {
        Err(Stop::ReaderGone) | Ok(()) => Ok(()),
        Err(Stop::Failed(failure)) => Err(failure),
    }
}

/// Why copying stopped before its end.
enum Stop {
    /// Nobody reads standard output any more.
    ReaderGone,
    Failed(Failure),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        if is_closed_pipe(&error) { Stop::ReaderGone } else { Stop::Failed(stdout_failure(&error)) }
    }
}

async fn copy<W: Write>(
    consumer: &mut Consumer,
    printer: &mut Printer<'_, W>,
    interrupt: &mut Interrupt,
    mut left: u64,
    progress: Option<&Progress>,
) -> Result<(), Stop> {
    let mut read = 0u64;
    let mut partial = None;
    loop {
        let at_hand = tokio::select! {
            biased;
            event = consumer.next_event() => Some(event),
            () = std::future::ready(()) => None,
        };
        let event = match at_hand {
            Some(event) => event,
            None => {
                printer.flush()?;
                if let Some(progress) = progress {
                    progress.set(read);
                }
                tokio::select! {
                    event = consumer.next_event() => event,
                    () = interrupt.wait() => break,
                }
            }
        };
        match event {
            Some(Ok(Event::Record(record))) => {
                printer.print(&record)?;
                read += 1;
                left -= 1;
                if left == 0 {
                    break;
                }
            }
            Some(Ok(Event::CaughtUp { .. })) => {}
            Some(Ok(Event::End)) | None => break,
            Some(Err(error)) => {
                let failure = consume_failure(&error);
                if !error.is_partial() {
                    return Err(Stop::Failed(failure));
                }
                // The other partitions go on; the command fails at its end.
                tell(&format!("warning: {failure}"));
                partial.get_or_insert(failure);
            }
        }
        if read.is_multiple_of(1024) {
            if let Some(progress) = progress {
                progress.set(read);
            }
            // A full log leaves no moment without a record at hand to notice the wish to stop.
            let stop = tokio::select! {
                biased;
                () = interrupt.wait() => true,
                () = std::future::ready(()) => false,
            };
            if stop {
                break;
            }
        }
    }
    partial.map_or(Ok(()), |failure| Err(Stop::Failed(failure)))
}

fn consume_failure(error: &ConsumeError) -> Failure {
    let exit = match error {
        ConsumeError::Refused { error } | ConsumeError::Partition { error, .. } => {
            Exit::of_code(error.code)
        }
        ConsumeError::Unreachable { source, .. } => match request_exit(source) {
            Exit::Failed => Exit::Unreachable,
            exit => exit,
        },
        ConsumeError::Damaged { .. } | ConsumeError::Protocol { .. } => Exit::Failed,
    };
    Failure::of(exit, error)
}

/// Formats records and gathers what is to be written.
struct Printer<'a, W> {
    topic: &'a str,
    /// The format; JSON where there is none.
    form: Option<&'a Format>,
    buffer: Vec<u8>,
    out: W,
}

impl<W: Write> Printer<'_, W> {
    fn print(&mut self, record: &ConsumedRecord) -> io::Result<()> {
        let view = RecordView {
            topic: self.topic,
            partition: record.partition.get(),
            offset: record.offset.get(),
            timestamp: record.timestamp.millis(),
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &record.headers,
        };
        match self.form {
            Some(format) => format.write(&view, &mut self.buffer),
            None => write_json(&view, &mut self.buffer),
        }
        if self.buffer.len() >= GATHERED { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> io::Result<()> {
        let written = self.out.write_all(&self.buffer);
        self.buffer.clear();
        written
    }

    fn flush(&mut self) -> Result<(), Stop> {
        if !self.buffer.is_empty() {
            self.write()?;
        }
        Ok(self.out.flush()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use tidegate_types::{Offset, Timestamp};
    use tidegate_wire::{ErrorBody, ErrorCode};

    fn record(value: &'static [u8]) -> ConsumedRecord {
        ConsumedRecord {
            partition: PartitionId(1),
            offset: Offset(2),
            timestamp: Timestamp(3),
            key: None,
            value: Some(Bytes::from_static(value)),
            headers: vec![],
        }
    }

    fn printer<'a, W: Write>(form: Option<&'a Format>, out: W) -> Printer<'a, W> {
        Printer { topic: "t", form, buffer: Vec::new(), out }
    }

    #[test]
    fn records_are_written_when_flushed_and_once() {
        let format = Format::default();
        let mut printer = printer(Some(&format), Vec::new());
        printer.print(&record(b"a")).unwrap();
        printer.print(&record(b"b")).unwrap();
        assert!(printer.out.is_empty());
        assert!(printer.flush().is_ok());
        assert!(printer.flush().is_ok());
        assert_eq!(printer.out, b"a\nb\n");
    }

    #[test]
    fn without_a_format_records_are_json_lines() {
        let mut printer = printer(None, Vec::new());
        printer.print(&record(b"a")).unwrap();
        assert!(printer.flush().is_ok());
        let line: serde_json::Value = serde_json::from_slice(&printer.out).unwrap();
        assert_eq!((&line["topic"], &line["value"]), (&"t".into(), &"a".into()));
    }

    #[test]
    fn a_reader_that_went_away_is_told_from_a_failure() {
        struct Failing(io::ErrorKind);
        impl Write for Failing {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(self.0.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut gone = printer(None, Failing(io::ErrorKind::BrokenPipe));
        gone.print(&record(b"a")).unwrap();
        assert!(matches!(gone.flush(), Err(Stop::ReaderGone)));
        let mut full = printer(None, Failing(io::ErrorKind::StorageFull));
        full.print(&record(b"a")).unwrap();
        assert!(matches!(full.flush(), Err(Stop::Failed(_))));
    }

    #[test]
    fn what_ends_a_consumer_has_its_exit_code() {
        let body = |code| ErrorBody::new(code, "no");
        let refused = ConsumeError::Refused { error: body(ErrorCode::UnknownTopic) };
        assert_eq!(consume_failure(&refused).exit(), Exit::NotFound);
        let partition =
            ConsumeError::Partition { partition: PartitionId(0), error: body(ErrorCode::Damaged) };
        assert_eq!(consume_failure(&partition).exit(), Exit::Failed);
    }
}
