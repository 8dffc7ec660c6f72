//! The end that keeps the copy: one machine per mirror stream.
//!
//! It checks the offer, has the topics prepared, answers for each partition, and then takes runs
//! of batches only where each begins at or after the end of the one before it. Progress is told
//! of what the driver said is durable, never of what was merely given to it.

mod verdict;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use tidegate_types::{
    ByteSize, LeaderEpoch, Offset, SiteName, TopicId, TopicName, TopicPartition, limits,
};
use tidegate_wire::{
    ErrorBody, ErrorCode, MirrorAnswer, MirrorBatches, MirrorPartition, MirrorProgress,
    MirrorReply, MirrorTopic, MirrorVerdict, OpenMirror,
};

pub use verdict::{LocalCopy, verdict};

use crate::{MAX_MIRROR_PARTITIONS, MAX_REASON, Run};

/// How a sink works.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SinkConfig {
    /// This site.
    pub site: SiteName,
    /// The site in the caller's certificate.
    pub peer: SiteName,
    /// Bytes given to the log and not durable yet above which no more should be read from the
    /// stream, see [`Sink::wants_input`].
    pub backlog: ByteSize,
}

/// Something to do, in the order given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SinkEffect {
    /// Make sure that the mirror exists and its logs are open, that no earlier stream writes to
    /// it any more, and that its source is this one; then [`Sink::handle_prepared`].
    Prepare {
        /// The topic as the source has it; a log that is new takes its incarnation from here.
        topic: MirrorTopic,
        /// Its name at this site.
        name: TopicName,
    },
    /// Append these batches as they are, offsets and epochs included; then
    /// [`Sink::handle_appended`] as they become durable, or [`Sink::handle_append_failed`].
    /// The CRCs were verified.
    Append {
        /// The partition.
        at: TopicPartition,
        /// Whole batches.
        batches: Bytes,
        /// What they cover.
        run: Run,
    },
    /// Tell the source.
    Reply(MirrorReply),
    /// Close the stream after the last reply. Nothing more comes.
    Close,
}

#[derive(Debug)]
enum Partition {
    /// The driver opens its log.
    Preparing { offered: MirrorPartition },
    /// Its log has records that are not durable yet.
    Settling { offered: MirrorPartition, copy: LocalCopy },
    /// It was answered that this one is not copied, or it failed.
    Closed,
    /// Records flow.
    Copying(Copying),
}

#[derive(Debug)]
struct Copying {
    /// Where the next run must begin, or later.
    next: Offset,
    last_epoch: LeaderEpoch,
    durable: Offset,
    /// Ends and sizes of runs given to the log, oldest first.
    appending: VecDeque<(Offset, u64)>,
}

/// The destination's end of one mirror stream.
#[derive(Debug)]
pub struct Sink {
    config: SinkConfig,
    opened: bool,
    closed: bool,
    partitions: BTreeMap<TopicPartition, Partition>,
    /// Answers not sent yet: all go out together.
    answers: Vec<MirrorAnswer>,
    undecided: usize,
    ready: bool,
    appending: u64,
    progressed: BTreeSet<TopicPartition>,
    effects: VecDeque<SinkEffect>,
}

impl Sink {
    /// A stream on which nothing was said yet.
    #[must_use]
    pub fn new(config: SinkConfig) -> Sink {
        Sink {
            config,
            opened: false,
            closed: false,
            partitions: BTreeMap::new(),
            answers: Vec::new(),
            undecided: 0,
            ready: false,
            appending: 0,
            progressed: BTreeSet::new(),
            effects: VecDeque::new(),
        }
    }

    /// The first message of the stream.
    pub fn handle_open(&mut self, open: OpenMirror) {
        if self.closed {
            return;
        }
        if let Err(error) = self.check_open(&open) {
            self.fail(error);
            return;
        }
        self.opened = true;
        for topic in open.topics {
            match self.admit(&topic) {
                Ok(name) => {
                    for offered in &topic.partitions {
                        let at = TopicPartition { topic: topic.id, partition: offered.partition };
                        self.partitions.insert(at, Partition::Preparing { offered: *offered });
                        self.undecided += 1;
                    }
                    self.effects.push_back(SinkEffect::Prepare { topic, name });
                }
                Err(error) => {
                    for offered in &topic.partitions {
                        let at = TopicPartition { topic: topic.id, partition: offered.partition };
                        self.partitions.insert(at, Partition::Closed);
                        self.answer(at, MirrorVerdict::Refused(error.clone()));
                    }
                }
            }
        }
        self.finish_answers();
    }

    /// A topic is ready, with each of its partitions' copies; or it cannot be had.
    pub fn handle_prepared(
        &mut self,
        topic: TopicId,
        copies: Result<Vec<(tidegate_types::PartitionId, LocalCopy)>, ErrorBody>,
    ) {
        let copies = match copies {
            Ok(copies) => Ok(copies.into_iter().collect::<BTreeMap<_, _>>()),
            Err(error) => Err(shorten(error)),
        };
        let of_topic: Vec<TopicPartition> =
            self.partitions.keys().filter(|at| at.topic == topic).copied().collect();
        for at in of_topic {
            let Some(Partition::Preparing { offered }) = self.partitions.get(&at) else { continue };
            let offered = *offered;
            match &copies {
                Ok(copies) => match copies.get(&at.partition) {
                    Some(copy) => self.settle(at, offered, *copy),
                    None => {
                        let message = format!("the mirror has no partition {}", at.partition);
                        let error = ErrorBody::new(ErrorCode::UnknownPartition, message);
                        self.decide(at, MirrorVerdict::Refused(error), None);
                    }
                },
                Err(error) => self.decide(at, MirrorVerdict::Refused(error.clone()), None),
            }
        }
        self.finish_answers();
    }

    /// A run of batches came in.
    pub fn handle_batches(&mut self, header: MirrorBatches, batches: Bytes) {
        if self.closed {
            return;
        }
        if !self.ready {
            self.fail(ErrorBody::new(
                ErrorCode::BadFrame,
                "batches came before the offer was answered",
            ));
            return;
        }
        let at = header.at;
        match self.partitions.get_mut(&at) {
            None => self.fail(ErrorBody::new(
                ErrorCode::UnknownPartition,
                format!("batches came for partition {at}, which was not offered"),
            )),
            Some(Partition::Copying(copying)) => match check_run(copying, &header, &batches) {
                Ok(run) => {
                    let bytes = batches.len() as u64;
                    copying.next = run.next;
                    copying.last_epoch = run.last_epoch;
                    copying.appending.push_back((run.next, bytes));
                    self.appending += bytes;
                    self.effects.push_back(SinkEffect::Append { at, batches, run });
                }
                Err(error) => self.fail_partition(at, error),
            },
            // The source may not know yet that the partition failed.
            Some(_) => {}
        }
    }

    /// Everything below `durable` is fsynced in this partition's log.
    pub fn handle_appended(&mut self, at: TopicPartition, durable: Offset) {
        match self.partitions.get_mut(&at) {
            Some(Partition::Copying(copying)) => {
                // What other sessions made durable is no progress of this one's.
                let durable = durable.min(copying.next);
                if durable > copying.durable {
                    copying.durable = durable;
                    while let Some((end, bytes)) = copying.appending.front()
                        && *end <= durable
                    {
                        self.appending -= bytes;
                        copying.appending.pop_front();
                    }
                    self.progressed.insert(at);
                }
            }
            Some(Partition::Settling { offered, copy }) => {
                let copy = LocalCopy { durable: copy.durable.max(durable), ..*copy };
                let offered = *offered;
                self.settle(at, offered, copy);
                self.finish_answers();
            }
            _ => {}
        }
    }

    /// A run was not appended; nothing of this partition is taken any more.
    pub fn handle_append_failed(&mut self, at: TopicPartition, error: ErrorBody) {
        match self.partitions.get(&at) {
            Some(Partition::Copying(_)) => self.fail_partition(at, error),
            Some(Partition::Settling { .. }) => {
                self.decide(at, MirrorVerdict::Refused(shorten(error)), None);
                self.finish_answers();
            }
            _ => {}
        }
    }

    /// Whether the next message should be read from the stream now.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        !self.closed && self.appending < self.config.backlog.get()
    }

    /// The next thing to do. Progress of many appends comes out as one reply, so that a driver
    /// that tells what happened before it polls sends few of them.
    pub fn poll_effect(&mut self) -> Option<SinkEffect> {
        if let Some(effect) = self.effects.pop_front() {
            return Some(effect);
        }
        if self.closed || !self.ready || self.progressed.is_empty() {
            return None;
        }
        let progressed = std::mem::take(&mut self.progressed);
        let progress = progressed.into_iter().filter_map(|at| match self.partitions.get(&at) {
            Some(Partition::Copying(copying)) => {
                Some(MirrorProgress { at, durable: copying.durable })
            }
            _ => None,
        });
        let progress: Vec<_> = progress.collect();
        (!progress.is_empty()).then_some(SinkEffect::Reply(MirrorReply::Progress(progress)))
    }

    /// What must hold of the offer as a whole.
    fn check_open(&self, open: &OpenMirror) -> Result<(), ErrorBody> {
        let invalid = |message: String| Err(ErrorBody::new(ErrorCode::InvalidRequest, message));
        if self.opened {
            return Err(ErrorBody::new(ErrorCode::BadFrame, "the stream was opened twice"));
        }
        if open.site != self.config.peer {
            let (site, peer) = (&open.site, &self.config.peer);
            return Err(ErrorBody::new(
                ErrorCode::NotAuthorized,
                format!("the certificate is for site {peer}, not for {site}"),
            ));
        }
        if open.site == self.config.site {
            return invalid(format!("a link cannot lead from site {} to itself", open.site));
        }
        let count: usize = open.topics.iter().map(|topic| topic.partitions.len()).sum();
        if count > MAX_MIRROR_PARTITIONS {
            return invalid(format!(
                "the link offers {count} partitions, at most {MAX_MIRROR_PARTITIONS} are taken"
            ));
        }
        let (mut ids, mut names) = (BTreeSet::new(), BTreeSet::new());
        for topic in &open.topics {
            if !ids.insert(topic.id) || !names.insert(&topic.name) {
                return invalid(format!("topic {} is offered twice", topic.name));
            }
            let mut seen = BTreeSet::new();
            for p in &topic.partitions {
                let number = p.partition;
                if number.0 >= topic.config.partitions || !seen.insert(number) {
                    return invalid(format!(
                        "partition {number} of {} is out of place",
                        topic.name
                    ));
                }
                if p.start < Offset::ZERO || p.end < p.start {
                    let (start, end) = (p.start, p.end);
                    return invalid(format!(
                        "partition {number} of {} cannot reach from offset {start} to {end}",
                        topic.name
                    ));
                }
            }
        }
        Ok(())
    }

    /// What must hold of one topic; its name at this site.
    fn admit(&self, topic: &MirrorTopic) -> Result<TopicName, ErrorBody> {
        let refuse =
            |message: String| Err(shorten(ErrorBody::new(ErrorCode::InvalidRequest, message)));
        if let Some(site) = topic.name.site() {
            return refuse(format!(
                "a mirror is not mirrored again: copy it from its own site, {site}"
            ));
        }
        if !(1..=limits::MAX_PARTITIONS_PER_TOPIC).contains(&topic.config.partitions) {
            return refuse(format!("a topic cannot have {} partitions", topic.config.partitions));
        }
        topic
            .name
            .mirrored_from(&self.config.peer)
            .or_else(|error| refuse(format!("the mirror cannot be named: {error}")))
    }

    /// Answers for a copy once all of it is durable: the source will not send those again.
    fn settle(&mut self, at: TopicPartition, offered: MirrorPartition, copy: LocalCopy) {
        if copy.durable < copy.end {
            self.partitions.insert(at, Partition::Settling { offered, copy });
            return;
        }
        self.decide(at, verdict(&offered, &copy), Some(copy.last_epoch));
    }

    fn decide(
        &mut self,
        at: TopicPartition,
        verdict: MirrorVerdict,
        last_epoch: Option<LeaderEpoch>,
    ) {
        self.undecided -= 1;
        let partition = match verdict {
            MirrorVerdict::Resume { from } => Partition::Copying(Copying {
                next: from,
                last_epoch: last_epoch.unwrap_or(LeaderEpoch::NONE),
                durable: from,
                appending: VecDeque::new(),
            }),
            _ => Partition::Closed,
        };
        self.partitions.insert(at, partition);
        self.answer(at, verdict);
    }

    fn answer(&mut self, at: TopicPartition, verdict: MirrorVerdict) {
        self.answers.push(MirrorAnswer { at, verdict });
    }

    fn finish_answers(&mut self) {
        if self.opened && !self.ready && self.undecided == 0 {
            self.ready = true;
            let answers = std::mem::take(&mut self.answers);
            self.effects.push_back(SinkEffect::Reply(MirrorReply::Ready(answers)));
        }
    }

    fn fail_partition(&mut self, at: TopicPartition, error: ErrorBody) {
        let error = shorten(error);
        if let Some(Partition::Copying(copying)) = self.partitions.insert(at, Partition::Closed) {
            self.appending -= copying.appending.iter().map(|(_, bytes)| bytes).sum::<u64>();
        }
        self.effects.push_back(SinkEffect::Reply(MirrorReply::PartitionFailed { at, error }));
    }

    fn fail(&mut self, error: ErrorBody) {
        self.closed = true;
        self.effects.push_back(SinkEffect::Reply(MirrorReply::Failed(shorten(error))));
        self.effects.push_back(SinkEffect::Close);
    }
}

/// A run continues the copy, lies below the source's high watermark, and is undamaged.
fn check_run(copying: &Copying, header: &MirrorBatches, batches: &[u8]) -> Result<Run, ErrorBody> {
    let invalid = |message| ErrorBody::new(ErrorCode::InvalidRecord, message);
    // A batch that was damaged on the way is whole at the source still.
    let run = Run::verify(batches)
        .map_err(|error| ErrorBody::retriable(ErrorCode::InvalidRecord, error.to_string()))?;
    if header.from != copying.next {
        let (from, next) = (header.from, copying.next);
        let message = format!("a run from offset {from} came, but {next} comes next");
        return Err(ErrorBody::retriable(ErrorCode::InvalidRecord, message));
    }
    if run.first < copying.next {
        let (first, next) = (run.first, copying.next);
        return Err(invalid(format!("a run begins at offset {first}, but {next} comes next")));
    }
    if run.next > header.source_end {
        let (next, end) = (run.next, header.source_end);
        return Err(invalid(format!("a run ends at offset {next}, above the source's end {end}")));
    }
    if run.first_epoch < copying.last_epoch {
        let (epoch, last) = (run.first_epoch, copying.last_epoch);
        return Err(invalid(format!("a run begins in epoch {epoch}, after records of {last}")));
    }
    Ok(run)
}

/// Cuts a message so that all answers fit one frame.
fn shorten(mut error: ErrorBody) -> ErrorBody {
    if error.message.len() > MAX_REASON {
        let cut = (0..=MAX_REASON - 3).rev().find(|n| error.message.is_char_boundary(*n));
        error.message.truncate(cut.unwrap_or(0));
        error.message.push_str("...");
    }
    error
}

#[cfg(test)]
mod tests;
