//! Two sites and the line between them.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use tidegate_link::{
    LocalCopy, ReadFailure, Report, Session, Sink, SinkConfig, SinkEffect, Source, SourceConfig,
    SourceEffect,
};
use tidegate_types::{
    ByteSize, Incarnation, LeaderEpoch, LinkName, Offset, PartitionId, SiteName, TopicConfig,
    TopicId, TopicName, TopicPartition,
};
use tidegate_wire::{MirrorPartition, MirrorTopic};
use uuid::Uuid;

use crate::line::{Event, Schedule, ToSink};
use crate::log::Log;
use crate::rng::Rng;

/// A mistake planted in the drivers, which the checks must find.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    ProgressBeforeDurable,
    ResumeBeforeDurable,
    SkipAfterReconnect,
    LoseOneMessage,
    DeafSource,
}

/// What happened, to show that enough did.
#[derive(Default, Debug)]
pub struct Tally {
    sessions: u64,
    cuts: u64,
    source_crashes: u64,
    sink_crashes: u64,
    damaged: u64,
    copied: u64,
    gaps: u64,
    stopped_partitions: u64,
    unsettled: u64,
}

impl Tally {
    pub fn counts(&self) -> [(&'static str, u64); 9] {
        [
            ("sessions", self.sessions),
            ("cut lines", self.cuts),
            ("source crashes", self.source_crashes),
            ("sink crashes", self.sink_crashes),
            ("damaged messages", self.damaged),
            ("copied batches", self.copied),
            ("gaps", self.gaps),
            ("failed partitions", self.stopped_partitions),
            ("copies that were not durable yet", self.unsettled),
        ]
    }
}

/// Faults happen until then.
const CALM: Duration = Duration::from_secs(20);
/// By then everything must be copied.
const END: Duration = Duration::from_secs(140);

pub struct World {
    rng: Rng,
    fault: Option<Fault>,
    now: Duration,
    schedule: Schedule,
    topic: TopicId,
    config: SourceConfig,
    backlog: ByteSize,
    trims: bool,
    source_logs: Vec<Log>,
    sink_logs: Vec<Log>,
    source: Option<Source>,
    sink: Option<(Session, Sink)>,
    sink_up: bool,
    /// The line that stands, and when the last message on it arrives, each way.
    line: Option<Session>,
    arrives: [Duration; 2],
    inbox: VecDeque<ToSink>,
    tally: Tally,
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

impl World {
    pub fn new(seed: u64, fault: Option<Fault>) -> World {
        let mut rng = Rng::new(seed);
        let topic = TopicId(Uuid::from_u128(u128::from(seed) + 1));
        let mut config = SourceConfig::new(
            LinkName::new("hub").unwrap(),
            SiteName::new("edge").unwrap(),
            rng.next(),
        );
        config.chunk = ByteSize::bytes(rng.between(50, 600));
        config.partition_window = ByteSize::bytes(rng.between(50, 2_000));
        config.total_window = ByteSize::bytes(rng.between(50, 4_000));
        config.backoff_first = ms(50);
        config.backoff_max = ms(1_000);
        config.open_timeout = ms(3_000);
        config.retry_soon = ms(500);
        config.retry_late = ms(4_000);
        let partitions = rng.between(1, 4) as usize;
        let log = |n| Log::new(Incarnation(100 + n as u64));
        World {
            backlog: ByteSize::bytes(rng.between(100, 2_000)),
            trims: rng.chance(30),
            rng,
            fault,
            now: Duration::ZERO,
            schedule: Schedule::default(),
            topic,
            config,
            source_logs: (0..partitions).map(log).collect(),
            sink_logs: (0..partitions).map(log).collect(),
            source: None,
            sink: None,
            sink_up: true,
            line: None,
            arrives: [Duration::ZERO; 2],
            inbox: VecDeque::new(),
            tally: Tally::default(),
        }
    }

    pub fn run(mut self) -> Result<Tally, String> {
        self.plan();
        self.start_source();
        self.drive_source()?;
        while let Some((at, event)) = self.schedule.next() {
            if at > END {
                break;
            }
            self.now = at;
            self.step(event)?;
            self.drive_source()?;
            self.drive_sink()?;
            self.check_belief()?;
        }
        self.check_end()?;
        Ok(self.tally)
    }

    /// Chooses beforehand when records come and when things break.
    fn plan(&mut self) {
        let calm = CALM.as_millis() as u64;
        for n in 0..self.source_logs.len() {
            for _ in 0..self.rng.between(0, 25) {
                let at = ms(self.rng.between(0, calm));
                self.schedule.put(at, Event::Produce(n));
            }
            if self.trims {
                let at = ms(self.rng.between(0, calm));
                self.schedule.put(at, Event::Trim(n));
            }
        }
        for _ in 0..self.rng.between(0, 8) {
            let at = ms(self.rng.between(0, calm));
            let event = match self.rng.between(0, 3) {
                0 => Event::CrashSource,
                1 => Event::CrashSink,
                _ => Event::Cut,
            };
            self.schedule.put(at, event);
        }
    }

    fn at(&self, n: usize) -> TopicPartition {
        TopicPartition { topic: self.topic, partition: PartitionId(n as u32) }
    }

    fn later(&mut self, low: u64, high: u64, event: Event) {
        let at = self.now + ms(self.rng.between(low, high));
        self.schedule.put(at, event);
    }

    fn step(&mut self, event: Event) -> Result<(), String> {
        let now = self.now;
        match event {
            Event::Timer => {}
            Event::Produce(n) => {
                if self.source.is_some() {
                    self.source_logs[n].produce(&mut self.rng);
                    self.later(0, 200, Event::SyncSource(n));
                } else {
                    self.later(100, 500, Event::Produce(n));
                }
            }
            Event::SyncSource(n) => {
                let at = self.at(n);
                let log = &mut self.source_logs[n];
                log.synced = log.batches.len();
                if let Some(source) = &mut self.source
                    && self.fault != Some(Fault::DeafSource)
                {
                    source.handle_offsets(at, log.start(), log.durable(), log.durable_epoch());
                }
            }
            Event::Trim(n) => {
                let at = self.at(n);
                let log = &mut self.source_logs[n];
                let last = log.synced.saturating_sub(1);
                log.first = self.rng.between(log.first as u64, last.max(log.first) as u64) as usize;
                if let Some(source) = &mut self.source {
                    source.handle_offsets(at, log.start(), log.durable(), log.durable_epoch());
                }
            }
            Event::Dialled(session) => self.dialled(session),
            Event::ToSink(session, message) => {
                if let ToSink::Open(_) = &message
                    && self.line == Some(session)
                    && self.sink_up
                {
                    let config = SinkConfig {
                        site: SiteName::new("hub").unwrap(),
                        peer: SiteName::new("edge").unwrap(),
                        backlog: self.backlog,
                    };
                    self.inbox.clear();
                    self.sink = Some((session, Sink::new(config)));
                }
                if self.sink.as_ref().is_some_and(|(current, _)| *current == session) {
                    self.inbox.push_back(message);
                }
            }
            Event::ToSource(session, reply) => {
                if let Some(source) = &mut self.source {
                    source.handle_reply(session, reply, now);
                }
            }
            Event::SourceGone(session) => {
                if let Some(source) = &mut self.source {
                    source.handle_disconnected(session, "the line was cut", now);
                }
            }
            Event::SinkGone(session) => {
                if self.sink.as_ref().is_some_and(|(current, _)| *current == session) {
                    self.sink = None;
                }
            }
            Event::Read { session, at, from, end, max } => {
                let read = self.read(session, at, from, end, max);
                if let Some(source) = &mut self.source {
                    source.handle_read(session, at, from, read, now);
                }
            }
            Event::Prepared(session, topic) => self.prepared(session, topic),
            Event::SyncSink(n) => {
                let at = self.at(n);
                let log = &mut self.sink_logs[n];
                log.synced = log.batches.len();
                if let Some((_, sink)) = &mut self.sink {
                    sink.handle_appended(at, log.durable());
                }
            }
            Event::Cut => self.cut(),
            Event::CrashSource => self.crash_source(),
            Event::CrashSink => self.crash_sink(),
            Event::SourceBack => self.start_source(),
            Event::SinkBack => self.sink_up = true,
        }
        Ok(())
    }

    fn dialled(&mut self, session: Session) {
        let Some(source) = &mut self.source else { return };
        if source.session() != Some(session) {
            return;
        }
        if self.sink_up && (self.now > CALM || !self.rng.chance(20)) {
            self.tally.sessions += 1;
            self.line = Some(session);
            self.arrives = [self.now; 2];
            source.handle_connected(session, self.now);
        } else {
            source.handle_disconnected(session, "nobody answered", self.now);
        }
    }

    /// What is on the line is lost, all of it or what comes after some point; each end notices
    /// when it does.
    fn cut(&mut self) {
        let Some(session) = self.line.take() else { return };
        self.tally.cuts += 1;
        if self.rng.chance(50) {
            self.schedule.retain(|event| {
                !matches!(event, Event::ToSink(s, _) | Event::ToSource(s, _) if *s == session)
            });
        }
        let (source, sink) = (Event::SourceGone(session), Event::SinkGone(session));
        self.later(0, 2_000, source);
        self.later(0, 2_000, sink);
    }

    fn crash_source(&mut self) {
        if self.source.take().is_none() {
            return;
        }
        self.tally.source_crashes += 1;
        self.cut();
        self.schedule.retain(|event| {
            !matches!(event, Event::Read { .. } | Event::SyncSource(_) | Event::Timer)
        });
        for log in &mut self.source_logs {
            let luck = self.rng.between(0, 2) as usize;
            log.crash(luck);
            log.epoch = LeaderEpoch(log.epoch.0 + 1);
        }
        self.later(10, 2_000, Event::SourceBack);
    }

    fn crash_sink(&mut self) {
        if !self.sink_up {
            return;
        }
        self.tally.sink_crashes += 1;
        self.sink_up = false;
        self.sink = None;
        self.cut();
        self.schedule.retain(|event| !matches!(event, Event::SyncSink(_) | Event::Prepared(..)));
        for log in &mut self.sink_logs {
            let luck = self.rng.between(0, 2) as usize;
            log.crash(luck);
        }
        self.later(10, 2_000, Event::SinkBack);
    }

    /// Sessions count from 1 again, so that nothing of the former life may still be under way.
    fn start_source(&mut self) {
        let topic = MirrorTopic {
            name: TopicName::new("readings").unwrap(),
            id: self.topic,
            config: TopicConfig {
                partitions: self.source_logs.len() as u32,
                ..TopicConfig::default()
            },
            partitions: self
                .source_logs
                .iter()
                .enumerate()
                .map(|(n, log)| offered(n, log))
                .collect(),
        };
        self.schedule.retain(|event| {
            !matches!(
                event,
                Event::Dialled(_)
                    | Event::ToSource(..)
                    | Event::SourceGone(_)
                    | Event::ToSink(..)
                    | Event::SinkGone(_)
                    | Event::Prepared(..)
            )
        });
        self.sink = None;
        self.source = Some(Source::new(self.config.clone(), vec![topic], self.now));
    }

    fn read(
        &mut self,
        session: Session,
        at: TopicPartition,
        from: Offset,
        end: Offset,
        max: ByteSize,
    ) -> Result<Bytes, ReadFailure> {
        let log = &self.source_logs[at.partition.0 as usize];
        let mut from = from;
        if self.fault == Some(Fault::SkipAfterReconnect) && session.0 > 1 && from > Offset::ZERO {
            let after = log.batches.iter().find(|batch| batch.base >= from && batch.next < end);
            from = after.map_or(from, |batch| batch.next);
        }
        log.read(from, end, max.get()).ok_or_else(|| ReadFailure {
            reason: format!("offset {from} was deleted"),
            retriable: true,
        })
    }

    fn prepared(&mut self, session: Session, topic: TopicId) {
        let Some((current, sink)) = &mut self.sink else { return };
        if *current != session {
            return;
        }
        if self.sink_logs.iter().any(|log| log.durable() < log.end()) {
            self.tally.unsettled += 1;
        }
        let copies = self.sink_logs.iter().enumerate().map(|(n, log)| {
            let durable = match self.fault {
                Some(Fault::ResumeBeforeDurable) => log.end(),
                _ => log.durable(),
            };
            let last_epoch = log.last_epoch();
            let copy =
                LocalCopy { incarnation: log.incarnation, durable, end: log.end(), last_epoch };
            (PartitionId(n as u32), copy)
        });
        sink.handle_prepared(topic, Ok(copies.collect()));
    }

    fn drive_source(&mut self) -> Result<(), String> {
        for turn in 0.. {
            if turn > 10_000 {
                return Err("the source never rests".to_owned());
            }
            let Some(source) = &mut self.source else { return Ok(()) };
            let Some(effect) = source.poll_effect(self.now) else { break };
            match effect {
                SourceEffect::Dial { session } => self.later(1, 100, Event::Dialled(session)),
                SourceEffect::Open { session, open } => self.send(session, ToSink::Open(open)),
                SourceEffect::Send { session, header, batches } => {
                    self.send(session, ToSink::Batches(header, batches));
                }
                SourceEffect::Read { session, at, from, end, max } => {
                    self.later(0, 50, Event::Read { session, at, from, end, max });
                }
                SourceEffect::Close { session, .. } => {
                    if self.line == Some(session) {
                        self.line = None;
                        self.later(0, 100, Event::SinkGone(session));
                    }
                }
                SourceEffect::Report(Report::Problem { .. }) => self.tally.stopped_partitions += 1,
                SourceEffect::Report(_) => {}
            }
        }
        if let Some(due) = self.source.as_ref().and_then(Source::poll_timeout) {
            if due <= self.now {
                return Err(format!("the source asks to be polled at {due:?} in the past"));
            }
            self.schedule.retain(|event| !matches!(event, Event::Timer));
            self.schedule.put(due, Event::Timer);
        }
        Ok(())
    }

    fn send(&mut self, session: Session, mut message: ToSink) {
        if self.line != Some(session) {
            return;
        }
        if let ToSink::Batches(_, batches) = &mut message {
            if self.fault == Some(Fault::LoseOneMessage) && self.rng.chance(10) {
                return;
            }
            if self.now < CALM && self.rng.chance(2) {
                self.tally.damaged += 1;
                let mut damaged = batches.to_vec();
                let byte = self.rng.next() as usize % damaged.len();
                damaged[byte] ^= 1 << self.rng.between(0, 7);
                // Base offset and epoch lie outside the CRC: transport security guards those.
                if byte % damaged.len() >= 17 && tidegate_link::Run::verify(&damaged).is_err() {
                    *batches = damaged.into();
                }
            }
        }
        self.arrives[0] = self.arrives[0].max(self.now + ms(self.rng.between(1, 80)));
        self.schedule.put(self.arrives[0], Event::ToSink(session, message));
    }

    fn drive_sink(&mut self) -> Result<(), String> {
        loop {
            let Some((session, sink)) = &mut self.sink else { return Ok(()) };
            let session = *session;
            match sink.poll_effect() {
                Some(SinkEffect::Prepare { topic, name }) => {
                    if name.as_str() != "edge/readings" {
                        return Err(format!("the mirror would be named {name}"));
                    }
                    self.later(0, 100, Event::Prepared(session, topic.id));
                }
                Some(SinkEffect::Append { at, batches, run }) => {
                    let n = at.partition.0 as usize;
                    self.append(n, &batches)?;
                    if self.sink_logs[n].end() != run.next {
                        return Err(format!("the run was said to end at {}", run.next));
                    }
                    // A disk hangs at times, for longer than it takes to connect again.
                    let slowest = if self.rng.chance(20) { 4_000 } else { 300 };
                    self.later(0, slowest, Event::SyncSink(n));
                    if self.fault == Some(Fault::ProgressBeforeDurable)
                        && let Some((_, sink)) = &mut self.sink
                    {
                        sink.handle_appended(at, run.next);
                    }
                }
                Some(SinkEffect::Reply(reply)) => {
                    if self.line == Some(session) {
                        let delay = ms(self.rng.between(1, 80));
                        self.arrives[1] = self.arrives[1].max(self.now + delay);
                        self.schedule.put(self.arrives[1], Event::ToSource(session, reply));
                    }
                }
                Some(SinkEffect::Close) => return Err("the sink gave up the stream".to_owned()),
                None if sink.wants_input() => match self.inbox.pop_front() {
                    Some(ToSink::Open(open)) => sink.handle_open(open),
                    Some(ToSink::Batches(header, batches)) => sink.handle_batches(header, batches),
                    None => return Ok(()),
                },
                None => return Ok(()),
            }
        }
    }

    /// Every batch of the copy is the source's next one, which is durable there.
    fn append(&mut self, n: usize, batches: &Bytes) -> Result<(), String> {
        let (source, copy) = (&self.source_logs[n], &mut self.sink_logs[n]);
        let mut rest = batches.clone();
        while !rest.is_empty() {
            let place = match copy.batches.last() {
                Some(last) => source.batches.partition_point(|batch| batch.next <= last.next),
                // A copy begins with the source's first batch, or one that was the first then.
                None => {
                    let begun = source.batches.iter().position(|b| rest.starts_with(&b.bytes));
                    begun.filter(|place| *place <= source.first).unwrap_or(source.first)
                }
            };
            let expected = source.batches[..source.synced]
                .get(place)
                .ok_or_else(|| format!("partition {n} of the copy runs past its source"))?;
            if !rest.starts_with(&expected.bytes) {
                return Err(format!(
                    "partition {n}: after {:?} comes not the source's batch at {}",
                    copy.batches.last().map(|batch| batch.next),
                    expected.base
                ));
            }
            copy.batches.push(expected.clone());
            rest = rest.slice(expected.bytes.len()..);
            self.tally.copied += 1;
        }
        Ok(())
    }

    /// The source never believes more than what lasts.
    fn check_belief(&self) -> Result<(), String> {
        let Some(source) = &self.source else { return Ok(()) };
        for partition in source.status().partitions {
            let n = partition.partition.0 as usize;
            let copy = &self.sink_logs[n];
            // A copy without records is told to begin at the source's first one.
            let begin = copy.batches.first().map_or(Offset(i64::MAX), |batch| batch.base);
            let durable = copy.durable().max(begin);
            if let Some(copied) = partition.copied
                && copied > durable
            {
                return Err(format!(
                    "partition {n}: the source believes {copied} durable, but {durable} is"
                ));
            }
        }
        Ok(())
    }

    fn check_end(&mut self) -> Result<(), String> {
        let Some(source) = &self.source else { return Err("the source is down".to_owned()) };
        for (n, partition) in source.status().partitions.into_iter().enumerate() {
            let (log, copy) = (&self.source_logs[n], &self.sink_logs[n]);
            let lost = !copy.batches.is_empty() && copy.end() < log.start();
            if lost && partition.problem.as_ref().is_some_and(|p| p.contains("deleted")) {
                self.tally.gaps += 1;
            } else if let Some(problem) = partition.problem {
                return Err(format!("partition {n} ends with a problem: {problem}"));
            } else if log.batches.len() > log.first && copy.durable() != log.durable() {
                return Err(format!(
                    "partition {n}: the source ends at {}, the copy at {}",
                    log.durable(),
                    copy.durable()
                ));
            } else if !copy.batches.is_empty() && partition.copied != Some(copy.durable()) {
                return Err(format!("partition {n}: the source was told {:?}", partition.copied));
            }
        }
        Ok(())
    }
}

fn offered(n: usize, log: &Log) -> MirrorPartition {
    MirrorPartition {
        partition: PartitionId(n as u32),
        incarnation: log.incarnation,
        start: log.start(),
        end: log.durable(),
        last_epoch: log.durable_epoch(),
    }
}
