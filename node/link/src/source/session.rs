//! One session of a source: the offer, the answers, and the bytes under way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use tidegate_types::{Offset, TopicPartition};
use tidegate_wire::{
    MirrorAnswer, MirrorBatches, MirrorPartition, MirrorProgress, MirrorTopic, MirrorVerdict,
    OpenMirror,
};

use super::partition::{Flow, Partition, Problem};
use super::{Report, Session, SourceConfig, SourceEffect};

type Partitions = BTreeMap<TopicPartition, Partition>;

/// How far the handshake is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// The offer has not gone out yet.
    Offer,
    /// The answer is awaited.
    Answer,
    /// Records flow.
    Copy,
}

/// A connection that stands.
#[derive(Debug)]
pub(super) struct Live {
    pub session: Session,
    phase: Phase,
    /// When the answer must be there.
    deadline: Duration,
    /// Partitions that may have something to read, in turn.
    turns: VecDeque<TopicPartition>,
    outbox: VecDeque<SourceEffect>,
    /// Bytes sent but not durable, and bytes that reads under way may return.
    in_flight: u64,
    retry_at: Option<Duration>,
    /// Partitions failed since the retry was planned last, for passing and for other reasons.
    failed_soon: bool,
    failed_late: bool,
    /// No more reads; the session ends when all is durable, at this time at the latest.
    draining: Option<Duration>,
}

impl Live {
    pub(super) fn new(session: Session, deadline: Duration) -> Live {
        Live {
            session,
            phase: Phase::Offer,
            deadline,
            turns: VecDeque::new(),
            outbox: VecDeque::new(),
            in_flight: 0,
            retry_at: None,
            failed_soon: false,
            failed_late: false,
            draining: None,
        }
    }

    pub(super) fn handle_ready(
        &mut self,
        answers: Vec<MirrorAnswer>,
        partitions: &mut Partitions,
        reports: &mut VecDeque<Report>,
    ) -> Result<(), String> {
        if self.phase != Phase::Answer {
            return Err("the other site answered an offer twice".to_owned());
        }
        self.phase = Phase::Copy;
        let mut answered = BTreeSet::new();
        for answer in answers {
            answered.insert(answer.at);
            let Some(partition) = partitions.get_mut(&answer.at) else { continue };
            if partition.excluded {
                continue;
            }
            match accept(answer.verdict, &partition.offered) {
                Ok(from) => {
                    partition.copied = Some(from);
                    (partition.problem, partition.reported) = (None, None);
                    partition.flow = Some(Flow::new(from));
                    self.wake(answer.at, partition);
                }
                Err((copied, text, retriable)) => {
                    partition.copied = copied.or(partition.copied);
                    self.fail_partition(answer.at, partition, text, retriable, reports);
                }
            }
        }
        for (at, partition) in partitions.iter_mut() {
            if !partition.excluded && !answered.contains(at) {
                let text = "the other site gave no answer for this partition".to_owned();
                self.fail_partition(*at, partition, text, true, reports);
            }
        }
        Ok(())
    }

    pub(super) fn handle_progress(
        &mut self,
        progress: MirrorProgress,
        partitions: &mut Partitions,
    ) -> Result<(), String> {
        if self.phase != Phase::Copy {
            return Err("the other site told progress before it answered the offer".to_owned());
        }
        let MirrorProgress { at, durable } = progress;
        let Some(partition) = partitions.get_mut(&at) else { return Ok(()) };
        let Some(flow) = &mut partition.flow else { return Ok(()) };
        if durable > flow.next {
            let (topic, number, next) = (&partition.topic, at.partition, flow.next);
            return Err(format!(
                "the other site claims offset {durable} of {topic} partition {number}, \
                 but only those below {next} were sent"
            ));
        }
        self.in_flight -= flow.settle(durable);
        partition.copied = partition.copied.max(Some(durable));
        self.wake(at, partition);
        Ok(())
    }

    /// Stops one partition; the others go on.
    pub(super) fn fail_partition(
        &mut self,
        at: TopicPartition,
        partition: &mut Partition,
        text: String,
        retriable: bool,
        reports: &mut VecDeque<Report>,
    ) {
        if let Some(flow) = partition.flow.take() {
            self.in_flight -= flow.in_flight;
            // A read under way keeps its share until it is done.
            if flow.reading {
                partition.flow = Some(Flow { sent: VecDeque::new(), in_flight: 0, ..flow });
            }
        }
        if partition.reported.as_ref() != Some(&text) {
            partition.reported = Some(text.clone());
            reports.push_back(Report::Problem {
                topic: partition.topic.clone(),
                partition: at.partition,
                problem: text.clone(),
                retriable,
            });
        }
        *if retriable { &mut self.failed_soon } else { &mut self.failed_late } = true;
        partition.problem = Some(Problem { text, retriable });
    }

    /// Gives the partition a turn if there is something to read.
    pub(super) fn wake(&mut self, at: TopicPartition, partition: &mut Partition) {
        if partition.problem.is_some() {
            return;
        }
        if let Some(flow) = &mut partition.flow
            && !flow.queued
            && !flow.reading
            && flow.next < partition.offered.end
        {
            flow.queued = true;
            self.turns.push_back(at);
        }
    }

    /// A read came back; whether it is one that was asked for and is still wanted.
    pub(super) fn end_read(
        &mut self,
        partition: &mut Partition,
        from: Offset,
        config: &SourceConfig,
    ) -> bool {
        let Some(flow) = &mut partition.flow else { return false };
        if !flow.reading || flow.next != from {
            return false;
        }
        flow.reading = false;
        self.in_flight -= config.chunk.get();
        if partition.problem.is_some() {
            partition.flow = None;
        }
        partition.flow.is_some()
    }

    /// Sends what was read.
    pub(super) fn send(
        &mut self,
        at: TopicPartition,
        partition: &mut Partition,
        next: Offset,
        batches: Bytes,
    ) {
        let Some(flow) = &mut partition.flow else { return };
        let bytes = batches.len() as u64;
        let from = std::mem::replace(&mut flow.next, next);
        flow.sent.push_back((next, bytes));
        flow.in_flight += bytes;
        self.in_flight += bytes;
        self.outbox.push_back(SourceEffect::Send {
            session: self.session,
            header: MirrorBatches { at, from, source_end: partition.offered.end },
            batches,
        });
        self.wake(at, partition);
    }

    pub(super) fn poll_effect(
        &mut self,
        config: &SourceConfig,
        topics: &[MirrorTopic],
        partitions: &mut Partitions,
    ) -> Option<SourceEffect> {
        if self.phase == Phase::Offer {
            self.phase = Phase::Answer;
            let open = offer(config, topics, partitions);
            return Some(SourceEffect::Open { session: self.session, open });
        }
        if let Some(effect) = self.outbox.pop_front() {
            return Some(effect);
        }
        self.next_read(config, partitions)
    }

    /// The next partition whose turn it is and that has room in its window.
    fn next_read(
        &mut self,
        config: &SourceConfig,
        partitions: &mut Partitions,
    ) -> Option<SourceEffect> {
        if self.draining.is_some() {
            return None;
        }
        let chunk = config.chunk.get();
        // One read is always let through, so that windows below a chunk still move.
        while self.in_flight == 0 || self.in_flight + chunk <= config.total_window.get() {
            let at = self.turns.pop_front()?;
            let Some(partition) = partitions.get_mut(&at) else { continue };
            let Some(flow) = &mut partition.flow else { continue };
            flow.queued = false;
            let full = flow.in_flight > 0 && flow.in_flight + chunk > config.partition_window.get();
            // A full window gets its next turn when progress is told.
            if full || flow.reading || partition.problem.is_some() {
                continue;
            }
            let (from, end) = (flow.next, partition.offered.end);
            if from >= end {
                continue;
            }
            flow.reading = true;
            self.in_flight += chunk;
            let session = self.session;
            return Some(SourceEffect::Read { session, at, from, end, max: config.chunk });
        }
        None
    }

    /// Decides when partitions that failed are offered again.
    pub(super) fn plan_retry(&mut self, now: Duration, config: &SourceConfig) {
        let wait = match (self.failed_soon, self.failed_late) {
            (true, _) => config.retry_soon,
            (false, true) => config.retry_late,
            (false, false) => return,
        };
        (self.failed_soon, self.failed_late) = (false, false);
        let at = now + wait;
        self.retry_at = Some(self.retry_at.map_or(at, |planned| planned.min(at)));
    }

    /// A partition is mirrored no more: what is under way of it does not count.
    pub(super) fn forget(&mut self, flow: &Flow, config: &SourceConfig) {
        self.in_flight -= flow.in_flight;
        if flow.reading {
            self.in_flight -= config.chunk.get();
        }
    }

    pub(super) fn is_overdue(&self, now: Duration) -> bool {
        self.phase != Phase::Copy && self.deadline <= now
    }

    pub(super) fn is_retry_due(&self, now: Duration) -> bool {
        self.retry_at.is_some_and(|at| at <= now)
    }

    pub(super) fn drain(&mut self, until: Duration) {
        self.draining.get_or_insert(until);
    }

    pub(super) fn is_drained(&self, now: Duration) -> bool {
        (self.in_flight == 0 && self.outbox.is_empty())
            || self.draining.is_some_and(|until| until <= now)
    }

    pub(super) fn timeout(&self) -> Option<Duration> {
        match (self.phase, self.draining) {
            (Phase::Copy, None) => self.retry_at,
            (Phase::Copy, Some(until)) => Some(until),
            _ => Some(self.deadline),
        }
    }
}

fn offer(config: &SourceConfig, topics: &[MirrorTopic], partitions: &Partitions) -> OpenMirror {
    let offered = |topic: &MirrorTopic| -> Vec<MirrorPartition> {
        let at = |p: &MirrorPartition| TopicPartition { topic: topic.id, partition: p.partition };
        let current = topic.partitions.iter().filter_map(|p| partitions.get(&at(p)));
        current.filter(|p| !p.excluded).map(|p| p.offered).collect()
    };
    let topics =
        topics.iter().map(|topic| MirrorTopic { partitions: offered(topic), ..topic.clone() });
    OpenMirror {
        link: config.link.clone(),
        site: config.site.clone(),
        topics: topics.filter(|topic| !topic.partitions.is_empty()).collect(),
    }
}

/// Where to go on from; else what is known of the copy's end, the problem, whether it may pass.
fn accept(
    verdict: MirrorVerdict,
    offered: &MirrorPartition,
) -> Result<Offset, (Option<Offset>, String, bool)> {
    let (start, end) = (offered.start, offered.end);
    match verdict {
        MirrorVerdict::Resume { from } if from > end => Err((
            Some(from),
            format!("the copy ends at offset {from}, but the source at {end}: it has lost records"),
            false,
        )),
        MirrorVerdict::Resume { from } if from < start => {
            Err((Some(from), gap(from, start), false))
        }
        MirrorVerdict::Resume { from } => Ok(from),
        MirrorVerdict::Diverged { copy_end, copy_epoch } => Err((
            Some(copy_end),
            format!(
                "the copy has records that the source has not: it ends at offset {copy_end} in \
                 epoch {copy_epoch}, the source at {end} in epoch {}",
                offered.last_epoch
            ),
            false,
        )),
        MirrorVerdict::Gap { copy_end, source_start } => {
            Err((Some(copy_end), gap(copy_end, source_start), false))
        }
        MirrorVerdict::OtherIncarnation { copied } => Err((
            None,
            format!(
                "the copy is of another life of this log ({copied}, now {}): delete the mirror \
                 at the other site to begin a new one",
                offered.incarnation
            ),
            false,
        )),
        MirrorVerdict::Refused(error) => Err((None, error.message, error.retriable)),
    }
}

fn gap(copy_end: Offset, start: Offset) -> String {
    format!(
        "the copy ends at offset {copy_end}, but the source begins at {start}: \
         the records between were deleted before they were copied"
    )
}
