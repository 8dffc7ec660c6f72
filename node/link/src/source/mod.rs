//! The end that has the records: dials, offers its partitions, sends what the other end lacks.
//!
//! One session is one connection with one mirror stream on it. Nothing but status outlives a
//! session: the next one begins where the copy's durable end is, and reads again what was under
//! way. Each partition has a window of bytes that are sent but not durable at the other end; all
//! together have one too, given out in turn, so that a busy partition does not starve the others.

mod effect;
mod partition;
mod session;
mod status;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use tidegate_types::{ByteSize, LeaderEpoch, LinkName, Offset, SiteName, TopicPartition};
use tidegate_wire::{LinkState, MirrorReply, MirrorTopic};

pub use effect::{ReadFailure, Report, Session, SourceEffect};
pub use status::{SourcePartitionStatus, SourceStatus};

use crate::backoff::Backoff;
use crate::{MAX_MIRROR_PARTITIONS, Run};
use partition::Partition;
use session::Live;

/// How a source works.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceConfig {
    /// The link, for the other end's log.
    pub link: LinkName,
    /// This site, by the name in its certificate for the link.
    pub site: SiteName,
    /// Most bytes of one partition that are sent but not durable. 4 MiB by default.
    pub partition_window: ByteSize,
    /// The same for all partitions together, reads under way included. 32 MiB by default; it is
    /// also what the link may hold in memory, but for batches that are larger than a chunk.
    pub total_window: ByteSize,
    /// Bytes read at once. 512 KiB by default.
    pub chunk: ByteSize,
    /// The first wait after a failure. 250 ms by default.
    pub backoff_first: Duration,
    /// The longest wait. 30 s by default.
    pub backoff_max: Duration,
    /// How long the other end may take to answer the offer, making topics included. 30 s.
    pub open_timeout: Duration,
    /// When a partition that failed for a passing reason is offered again. 15 s.
    pub retry_soon: Duration,
    /// When one that needs somebody to act is offered again. 5 min.
    pub retry_late: Duration,
    /// Chooses the jitter of the waits.
    pub seed: u64,
}

impl SourceConfig {
    /// The defaults for a link.
    #[must_use]
    pub fn new(link: LinkName, site: SiteName, seed: u64) -> SourceConfig {
        SourceConfig {
            link,
            site,
            partition_window: ByteSize::mib(4),
            total_window: ByteSize::mib(32),
            chunk: ByteSize::kib(512),
            backoff_first: Duration::from_millis(250),
            backoff_max: Duration::from_secs(30),
            open_timeout: Duration::from_secs(30),
            retry_soon: Duration::from_secs(15),
            retry_late: Duration::from_secs(300),
            seed,
        }
    }
}

/// Where the connection stands.
#[derive(Debug)]
enum State {
    /// Not connected; dials at this time.
    Waiting { until: Duration },
    /// The driver dials.
    Dialling { session: Session },
    /// Connected.
    Live(Live),
    /// Over for good.
    Stopped,
}

/// The source's end of one link.
///
/// The driver's loop: take every [`Source::poll_effect`], carry it out, tell what came of it with
/// `handle_*`, and call again at [`Source::poll_timeout`] at the latest. Everything told of a
/// session that is over is ignored, so that late answers do no harm.
#[derive(Debug)]
pub struct Source {
    config: SourceConfig,
    backoff: Backoff,
    state: State,
    next_session: u64,
    /// In the order in which the user named them.
    topics: Vec<MirrorTopic>,
    partitions: BTreeMap<TopicPartition, Partition>,
    /// Set when the topics changed during a session, which must then offer them anew.
    reopen: bool,
    close: Option<(Session, String)>,
    reports: VecDeque<Report>,
    seen: Seen,
}

/// What [`SourceStatus`] tells beside the partitions.
#[derive(Debug)]
struct Seen {
    state: LinkState,
    since: Duration,
    last_error: Option<String>,
    connects: u64,
    bytes_sent: u64,
}

impl Source {
    /// A link that dials at once. `topics` in order of priority, with their present offsets.
    #[must_use]
    pub fn new(config: SourceConfig, topics: Vec<MirrorTopic>, now: Duration) -> Source {
        let backoff = Backoff::new(config.backoff_first, config.backoff_max, config.seed);
        let mut source = Source {
            config,
            backoff,
            state: State::Waiting { until: now },
            next_session: 1,
            topics: Vec::new(),
            partitions: BTreeMap::new(),
            reopen: false,
            close: None,
            reports: VecDeque::new(),
            seen: Seen {
                state: LinkState::Connecting,
                since: now,
                last_error: None,
                connects: 0,
                bytes_sent: 0,
            },
        };
        source.set_topics(topics);
        source
    }

    /// The link mirrors these topics now; what was known of those that stay is kept.
    pub fn handle_topics(&mut self, topics: Vec<MirrorTopic>) {
        self.set_topics(topics);
        self.reopen = true;
    }

    fn set_topics(&mut self, topics: Vec<MirrorTopic>) {
        let mut before = std::mem::take(&mut self.partitions);
        self.topics.clear();
        for topic in topics {
            let fits = self.partitions.len() + topic.partitions.len() <= MAX_MIRROR_PARTITIONS;
            for offered in &topic.partitions {
                let at = TopicPartition { topic: topic.id, partition: offered.partition };
                let mut partition = Partition::new(topic.name.clone(), *offered);
                let mut known = before.remove(&at);
                if let Some(known) =
                    known.take_if(|known| known.offered.incarnation == offered.incarnation)
                {
                    partition.keep(known);
                } else if let State::Live(live) = &mut self.state
                    && let Some(flow) = known.and_then(|known| known.flow)
                {
                    live.forget(&flow, &self.config);
                }
                if !fits {
                    partition.exclude(format!(
                        "a link mirrors at most {MAX_MIRROR_PARTITIONS} partitions: \
                         use another link for this topic"
                    ));
                }
                self.partitions.insert(at, partition);
            }
            self.topics.push(topic);
        }
        if let State::Live(live) = &mut self.state {
            let gone = before.into_values().filter_map(|partition| partition.flow);
            gone.for_each(|flow| live.forget(&flow, &self.config));
        }
    }

    /// The partition's log moved. Offsets only rise; an older report than the last is harmless.
    pub fn handle_offsets(
        &mut self,
        at: TopicPartition,
        start: Offset,
        high_watermark: Offset,
        last_epoch: LeaderEpoch,
    ) {
        let Some(partition) = self.partitions.get_mut(&at) else { return };
        let offered = &mut partition.offered;
        offered.start = offered.start.max(start);
        if high_watermark > offered.end {
            offered.end = high_watermark;
            offered.last_epoch = offered.last_epoch.max(last_epoch);
            if let State::Live(live) = &mut self.state {
                live.wake(at, partition);
            }
        }
    }

    /// The connection asked for by [`SourceEffect::Dial`] stands and takes an open message.
    pub fn handle_connected(&mut self, session: Session, now: Duration) {
        if matches!(self.state, State::Dialling { session: dialled } if dialled == session) {
            self.reopen = false;
            self.partitions.values_mut().for_each(Partition::begin_session);
            self.state = State::Live(Live::new(session, now + self.config.open_timeout));
        }
    }

    /// The connection could not be made, or is gone.
    pub fn handle_disconnected(&mut self, session: Session, reason: &str, now: Duration) {
        if self.is_current(session) {
            self.fail(LinkState::Connecting, reason.to_owned(), now);
        }
    }

    /// The other end spoke.
    pub fn handle_reply(&mut self, session: Session, reply: MirrorReply, now: Duration) {
        let State::Live(live) = &mut self.state else { return };
        if live.session != session {
            return;
        }
        let done = match reply {
            MirrorReply::Ready(answers) => {
                live.handle_ready(answers, &mut self.partitions, &mut self.reports).map(|()| {
                    self.backoff.reset();
                    self.seen.connects += 1;
                    self.seen.last_error = None;
                    self.seen.enter(LinkState::Connected, now);
                    self.reports.push_back(Report::Connected);
                })
            }
            MirrorReply::Progress(progress) => {
                progress.into_iter().try_for_each(|p| live.handle_progress(p, &mut self.partitions))
            }
            MirrorReply::PartitionFailed { at, error } => {
                if let Some(partition) = self.partitions.get_mut(&at) {
                    live.fail_partition(
                        at,
                        partition,
                        error.message,
                        error.retriable,
                        &mut self.reports,
                    );
                }
                Ok(())
            }
            MirrorReply::Failed(error) => {
                self.close(session, error.message, LinkState::Refused, now);
                return;
            }
        };
        if let Err(violation) = done {
            self.close(session, violation, LinkState::Connecting, now);
            return;
        }
        self.plan_retry(now);
    }

    /// A read that [`SourceEffect::Read`] asked for is done: whole batches from `from` on.
    pub fn handle_read(
        &mut self,
        session: Session,
        at: TopicPartition,
        from: Offset,
        batches: Result<Bytes, ReadFailure>,
        now: Duration,
    ) {
        let State::Live(live) = &mut self.state else { return };
        let Some(partition) = self.partitions.get_mut(&at) else { return };
        if live.session != session || !live.end_read(partition, from, &self.config) {
            return;
        }
        let checked =
            batches.map_err(|failure| (failure.reason, failure.retriable)).and_then(|batches| {
                check_read(&batches, from, partition.offered.end).map(|run| (run, batches))
            });
        match checked {
            Ok((run, batches)) => live.send(at, partition, run.next, batches),
            Err((problem, retriable)) => {
                live.fail_partition(at, partition, problem, retriable, &mut self.reports);
            }
        }
        self.plan_retry(now);
    }

    /// Ends the link for good.
    pub fn stop(&mut self, now: Duration) {
        if let Some(session) = self.session() {
            self.close = Some((session, "the link was ended".to_owned()));
        }
        self.state = State::Stopped;
        self.seen.enter(LinkState::Connecting, now);
    }

    /// The next thing to do; `None` until something happens or [`Source::poll_timeout`] is due.
    pub fn poll_effect(&mut self, now: Duration) -> Option<SourceEffect> {
        if let Some(report) = self.reports.pop_front() {
            return Some(SourceEffect::Report(report));
        }
        if let Some((session, reason)) = self.close.take() {
            return Some(SourceEffect::Close { session, reason });
        }
        self.handle_time(now);
        if let Some((session, reason)) = self.close.take() {
            return Some(SourceEffect::Close { session, reason });
        }
        match &mut self.state {
            State::Waiting { until } if *until <= now => {
                let session = Session(self.next_session);
                self.next_session += 1;
                self.state = State::Dialling { session };
                Some(SourceEffect::Dial { session })
            }
            State::Live(live) => {
                let effect = live.poll_effect(&self.config, &self.topics, &mut self.partitions);
                if let Some(SourceEffect::Send { batches, .. }) = &effect {
                    self.seen.bytes_sent += batches.len() as u64;
                }
                effect
            }
            _ => None,
        }
    }

    /// When to call [`Source::poll_effect`] again though nothing happened.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        match &self.state {
            State::Waiting { until } => Some(*until),
            State::Live(live) => live.timeout(),
            State::Dialling { .. } | State::Stopped => None,
        }
    }

    /// The session that dials or is connected.
    #[must_use]
    pub fn session(&self) -> Option<Session> {
        match &self.state {
            State::Dialling { session } => Some(*session),
            State::Live(live) => Some(live.session),
            State::Waiting { .. } | State::Stopped => None,
        }
    }

    fn is_current(&self, session: Session) -> bool {
        self.session() == Some(session)
    }

    /// What time alone does: an answer that never came, partitions to be offered again.
    fn handle_time(&mut self, now: Duration) {
        let reopen = self.reopen;
        let State::Live(live) = &mut self.state else { return };
        let session = live.session;
        if live.is_overdue(now) {
            let waited = self.config.open_timeout;
            let reason = format!("the other site did not answer the offer within {waited:?}");
            self.close(session, reason, LinkState::Connecting, now);
        } else if reopen || live.is_retry_due(now) {
            // What is under way arrives first, or it would be sent twice.
            live.drain(now + self.config.open_timeout);
            if live.is_drained(now) {
                self.close = Some((session, "the topics are offered anew".to_owned()));
                self.state = State::Waiting { until: now };
            }
        }
    }

    fn plan_retry(&mut self, now: Duration) {
        if let State::Live(live) = &mut self.state {
            live.plan_retry(now, &self.config);
        }
    }

    fn close(&mut self, session: Session, reason: String, state: LinkState, now: Duration) {
        self.close = Some((session, reason.clone()));
        self.fail(state, reason, now);
    }

    /// The session is over: waits, then dials again.
    fn fail(&mut self, state: LinkState, reason: String, now: Duration) {
        let wait = self.backoff.next_wait();
        self.state = State::Waiting { until: now + wait };
        self.seen.enter(state, now);
        self.seen.last_error = Some(reason.clone());
        self.reports.push_back(Report::Disconnected { reason, wait });
    }
}

/// What the log returned must begin where it was asked to, and end below the high watermark.
fn check_read(batches: &[u8], from: Offset, end: Offset) -> Result<Run, (String, bool)> {
    let run = Run::of_trusted(batches)
        .map_err(|error| (format!("reading at offset {from} failed: {error}"), true))?;
    if run.first < from {
        let first = run.first;
        return Err((
            format!("the copy ends at offset {from}, inside the source's batch at {first}"),
            false,
        ));
    }
    if run.next > end {
        let next = run.next;
        return Err((
            format!("a batch ends at offset {next}, above the high watermark {end}"),
            true,
        ));
    }
    Ok(run)
}

#[cfg(test)]
mod tests;
