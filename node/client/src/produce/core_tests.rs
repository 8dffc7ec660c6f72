//! The session against a node that deduplicates as Kafka does, over a line that breaks, with
//! refusals and lost answers; thousands of runs from seeds.

use std::collections::{HashMap, VecDeque};

use tidegate_types::{ProducerEpoch, ProducerId};

use super::*;

/// splitmix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

/// One batch of the simulation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Load {
    id: u64,
    partition: PartitionId,
    records: i32,
    /// The node refuses it for what it holds, always.
    poison: bool,
}

#[derive(Default)]
struct NodePartition {
    log: Vec<u64>,
    epoch: i16,
    next: Option<Sequence>,
    remembered: VecDeque<(Sequence, i64)>,
}

/// A node with one producer: epochs fence, sequences must follow, the last batches are remembered.
#[derive(Default)]
struct Node {
    epoch: Option<i16>,
    partitions: HashMap<PartitionId, NodePartition>,
}

impl Node {
    fn init(&mut self, previous: Option<ProducerIdentity>) -> ProducerIdentity {
        let epoch = match (self.epoch, previous) {
            (Some(epoch), Some(_)) => epoch + 1,
            _ => 0,
        };
        self.epoch = Some(epoch);
        ProducerIdentity { id: ProducerId(1), epoch: ProducerEpoch(epoch) }
    }

    fn append(&mut self, load: Load, stamp: Option<ProducerStamp>) -> Result<BatchAck, ErrorBody> {
        let refuse = |code| Err(ErrorBody::new(code, "no"));
        let at = self.partitions.entry(load.partition).or_default();
        let mut ack = BatchAck { number: 0, base_offset: None, duplicate: false };
        if load.poison {
            return refuse(ErrorCode::InvalidRecord);
        }
        if let Some(stamp) = stamp {
            if stamp.epoch.get() < at.epoch {
                return refuse(ErrorCode::ProducerFenced);
            }
            if stamp.epoch.get() > at.epoch {
                at.epoch = stamp.epoch.get();
                at.next = None;
                at.remembered.clear();
            }
            let known = at.remembered.iter().find(|(s, _)| *s == stamp.base_sequence);
            if let Some((_, base)) = known {
                ack.base_offset = Some(Offset(*base));
                ack.duplicate = true;
                return Ok(ack);
            }
            if at.next.unwrap_or(Sequence(0)) != stamp.base_sequence {
                return refuse(ErrorCode::OutOfOrderSequence);
            }
            at.next = Some(stamp.base_sequence.advance(load.records));
            at.remembered.push_back((stamp.base_sequence, at.log.len() as i64));
            if at.remembered.len() > limits::PRODUCER_BATCHES_REMEMBERED {
                at.remembered.pop_front();
            }
        }
        ack.base_offset = Some(Offset(at.log.len() as i64));
        at.log.push(load.id);
        Ok(ack)
    }
}

enum Answer {
    Acked(BatchAck),
    Refused(u64, ErrorBody),
}

/// The line between the two: batches one way, answers the other, each in order.
#[derive(Default)]
struct Line {
    batches: VecDeque<(u64, Load, Option<ProducerStamp>)>,
    answers: VecDeque<Answer>,
}

struct World {
    dice: Dice,
    core: Core<Load>,
    node: Node,
    line: Option<Line>,
    asked: Option<Question>,
    now: Instant,
    pushed: Vec<Load>,
    done: HashMap<u64, Result<Stored, Failed>>,
    trouble: bool,
    poison: bool,
}

enum Question {
    Identity(Option<ProducerIdentity>),
    Session,
}

impl World {
    fn new(seed: u64, idempotent: bool) -> World {
        let mut dice = Dice(seed);
        let config = CoreConfig {
            idempotent,
            max_in_flight: 1 + dice.roll(20) as usize,
            delivery_timeout: Duration::from_secs([2, 30, 3_600][dice.roll(3) as usize]),
            seed,
        };
        World {
            core: Core::new(config),
            node: Node::default(),
            line: None,
            asked: None,
            now: Instant::now(),
            pushed: Vec::new(),
            done: HashMap::new(),
            trouble: true,
            poison: dice.roll(2) == 0,
            dice,
        }
    }

    fn pump(&mut self) {
        while let Some(effect) = self.core.poll_effect(self.now) {
            match effect {
                Effect::InitProducer { previous } => {
                    assert!(self.asked.is_none() && self.line.is_none());
                    self.asked = Some(Question::Identity(previous));
                }
                Effect::Open { .. } => {
                    assert!(self.asked.is_none() && self.line.is_none());
                    self.asked = Some(Question::Session);
                }
                Effect::Close => assert!(self.line.take().is_some()),
                Effect::Send { number, partition, stamp } => {
                    let load = *self.core.batch_mut(number).unwrap();
                    assert_eq!(load.partition, partition);
                    let line = self.line.as_mut().unwrap();
                    line.batches.push_back((number, load, stamp));
                }
                Effect::Done { batch, outcome } => {
                    assert!(self.done.insert(batch.id, outcome).is_none(), "settled twice");
                }
            }
        }
    }

    fn push(&mut self) {
        let load = Load {
            id: self.pushed.len() as u64,
            partition: PartitionId(self.dice.roll(3) as u32),
            records: 1 + self.dice.roll(9) as i32,
            poison: self.poison && self.trouble && self.dice.roll(12) == 0,
        };
        self.pushed.push(load);
        self.core.push(self.now, load.partition, load, load.records);
    }

    /// One batch reaches the node.
    fn deliver(&mut self) {
        let Some(line) = &mut self.line else { return };
        let Some((number, load, stamp)) = line.batches.pop_front() else { return };
        let trouble = self.trouble && self.dice.roll(10) == 0;
        let before = trouble && self.dice.roll(2) == 0;
        let busy = Answer::Refused(number, ErrorBody::retriable(ErrorCode::Overloaded, "busy"));
        let answer = if before {
            busy
        } else {
            match self.node.append(load, stamp) {
                Ok(_) if stamp.is_some() && trouble => busy,
                Ok(ack) => Answer::Acked(BatchAck { number, ..ack }),
                Err(error) => Answer::Refused(number, error),
            }
        };
        line.answers.push_back(answer);
    }

    /// One answer reaches the session.
    fn answer(&mut self) {
        let Some(answer) = self.line.as_mut().and_then(|line| line.answers.pop_front()) else {
            return;
        };
        match answer {
            Answer::Acked(ack) => self.core.handle_acked(&ack),
            Answer::Refused(number, error) => self.core.handle_refused(self.now, number, error),
        }
    }

    fn reply(&mut self) {
        let Some(question) = self.asked.take() else { return };
        let lost = self.trouble && self.dice.roll(4) == 0;
        match question {
            Question::Identity(previous) => {
                // The answer may be lost after the node has acted on it.
                let identity = (!lost || self.dice.roll(2) == 0).then(|| self.node.init(previous));
                match identity {
                    Some(identity) if !lost => self.core.handle_identity(identity),
                    _ => self.core.handle_no_session(self.now, None),
                }
            }
            Question::Session if lost => self.core.handle_no_session(self.now, None),
            Question::Session => {
                self.line = Some(Line::default());
                self.core.handle_opened();
            }
        }
    }

    fn lose(&mut self) {
        if let Some(mut line) = self.line.take() {
            // Some of what was under way still arrives; no answer does.
            for _ in 0..self.dice.roll(line.batches.len() as u64 + 1) {
                if let Some((_, load, stamp)) = line.batches.pop_front() {
                    let _ = self.node.append(load, stamp);
                }
            }
            self.core.handle_no_session(self.now, None);
        }
    }

    fn pass_time(&mut self, longest_ms: u64) {
        self.now += Duration::from_millis(self.dice.roll(longest_ms));
        self.core.handle_timeout(self.now);
    }

    fn step(&mut self) {
        match self.dice.roll(100) {
            0..25 => self.push(),
            25..50 => self.deliver(),
            50..75 => self.answer(),
            75..85 => self.reply(),
            85..97 => self.pass_time(120),
            _ if self.trouble => self.lose(),
            _ => {}
        }
        self.pump();
    }

    /// Without trouble everything must come to an end.
    fn finish(&mut self) {
        self.trouble = false;
        for _ in 0..200_000 {
            if self.done.len() == self.pushed.len() {
                return;
            }
            self.reply();
            self.deliver();
            self.answer();
            self.pass_time(50);
            self.pump();
        }
        panic!("{} of {} batches settled: {:?}", self.done.len(), self.pushed.len(), self.core);
    }

    fn check(&self, exactly_once: bool) {
        let mut stored: HashMap<u64, usize> = HashMap::new();
        for at in self.node.partitions.values() {
            at.log.iter().for_each(|id| *stored.entry(*id).or_default() += 1);
        }
        for load in &self.pushed {
            let times = stored.get(&load.id).copied().unwrap_or(0);
            match &self.done[&load.id] {
                Ok(Stored { base_offset }) => {
                    assert!(times == 1 || (!exactly_once && times > 1), "{load:?}: {times} times");
                    let log = &self.node.partitions[&load.partition].log;
                    let at = base_offset.unwrap().get() as usize;
                    assert_eq!(log[at], load.id, "acknowledged at the wrong offset");
                }
                Err(Failed::Refused(error)) => {
                    assert!(load.poison, "{load:?} refused: {error}");
                    assert_eq!(times, 0, "{load:?} was refused and stored");
                }
                Err(Failed::TimedOut { sent }) => {
                    let most = usize::from(*sent);
                    assert!(times <= most || (!exactly_once && *sent), "{load:?}: {times} times");
                }
            }
        }
        if exactly_once {
            for at in self.node.partitions.values() {
                assert!(at.log.is_sorted(), "order was lost: {:?}", at.log);
            }
        }
    }
}

fn run(seeds: std::ops::Range<u64>, idempotent: bool) -> Vec<World> {
    seeds
        .map(|seed| {
            let outcome = std::panic::catch_unwind(|| {
                let mut world = World::new(seed, idempotent);
                for _ in 0..600 {
                    world.step();
                }
                world.finish();
                world.check(idempotent);
                world
            });
            outcome.unwrap_or_else(|_| panic!("failed with seed {seed}, idempotent {idempotent}"))
        })
        .collect()
}

#[test]
fn every_batch_is_stored_exactly_once_and_in_order_whatever_happens() {
    let worlds = run(0..1_000, true);
    // The runs must have met what they are for.
    let epochs = worlds.iter().filter(|w| w.node.epoch.is_some_and(|e| e > 0)).count();
    let refused =
        |world: &&World| world.done.values().any(|o| matches!(o, Err(Failed::Refused(_))));
    let late =
        |world: &&World| world.done.values().any(|o| matches!(o, Err(Failed::TimedOut { .. })));
    assert!(epochs > 150, "{epochs}");
    assert!(worlds.iter().filter(refused).count() > 150);
    assert!(worlds.iter().filter(late).count() > 60);
}

#[test]
fn without_an_identity_every_batch_is_stored_at_least_once() {
    run(0..300, false);
}

fn stamp_of(effect: Option<Effect<Load>>) -> (u64, ProducerStamp) {
    match effect {
        Some(Effect::Send { number, stamp: Some(stamp), .. }) => (number, stamp),
        other => panic!("{other:?}"),
    }
}

fn load(id: u64) -> Load {
    Load { id, partition: PartitionId(0), records: 10, poison: false }
}

fn opened(epoch: i16) -> (Core<Load>, Instant) {
    let config = CoreConfig {
        idempotent: true,
        max_in_flight: 100,
        delivery_timeout: Duration::from_secs(10),
        seed: 1,
    };
    let identity = ProducerIdentity { id: ProducerId(1), epoch: ProducerEpoch(epoch) };
    (Core::with_session(config, Some(identity)), Instant::now())
}

#[test]
fn a_partition_has_no_more_in_flight_than_a_node_remembers() {
    let (mut core, now) = opened(0);
    for id in 0..20 {
        core.push(now, PartitionId(0), load(id), 10);
    }
    let mut sent = Vec::new();
    while let Some(effect) = core.poll_effect(now) {
        sent.push(stamp_of(Some(effect)).1.base_sequence.get());
    }
    assert_eq!(sent, [0, 10, 20, 30, 40]);
    core.handle_acked(&BatchAck { number: 0, base_offset: Some(Offset(0)), duplicate: false });
    assert!(matches!(core.poll_effect(now), Some(Effect::Done { .. })));
    assert_eq!(stamp_of(core.poll_effect(now)).1.base_sequence, Sequence(50));
}

#[test]
fn a_lost_session_sends_the_same_again() {
    let (mut core, now) = opened(3);
    core.push(now, PartitionId(0), load(0), 10);
    core.push(now, PartitionId(0), load(1), 10);
    let first = stamp_of(core.poll_effect(now));
    let second = stamp_of(core.poll_effect(now));
    core.handle_no_session(now, None);
    assert!(core.poll_effect(now).is_none(), "it must wait before it tries again");
    let later = core.next_timeout().unwrap();
    core.handle_timeout(later);
    assert!(matches!(core.poll_effect(later), Some(Effect::Open { producer: Some(_) })));
    core.handle_opened();
    assert_eq!(stamp_of(core.poll_effect(later)), first);
    assert_eq!(stamp_of(core.poll_effect(later)), second);
}

#[test]
fn a_refused_batch_fails_alone_and_the_rest_goes_on_under_the_next_epoch() {
    let (mut core, now) = opened(0);
    for id in 0..3 {
        core.push(now, PartitionId(0), load(id), 10);
    }
    let numbers: Vec<_> = (0..3).map(|_| stamp_of(core.poll_effect(now)).0).collect();
    let refuse = |code| ErrorBody::new(code, "no");
    core.handle_refused(now, numbers[0], refuse(ErrorCode::RejectedByPlugin));
    assert!(matches!(
        core.poll_effect(now),
        Some(Effect::Done { batch: Load { id: 0, .. }, outcome: Err(Failed::Refused(_)) })
    ));
    // What is new waits until the fate of the two that follow is known.
    core.push(now, PartitionId(1), load(3), 10);
    assert!(core.poll_effect(now).is_none());
    core.handle_refused(now, numbers[1], refuse(ErrorCode::OutOfOrderSequence));
    assert!(core.poll_effect(now).is_none());
    core.handle_refused(now, numbers[2], refuse(ErrorCode::OutOfOrderSequence));
    assert!(matches!(core.poll_effect(now), Some(Effect::Close)));
    let Some(Effect::InitProducer { previous: Some(previous) }) = core.poll_effect(now) else {
        panic!("no new epoch");
    };
    let next = ProducerIdentity { epoch: ProducerEpoch(1), ..previous };
    core.handle_identity(next);
    assert!(
        matches!(core.poll_effect(now), Some(Effect::Open { producer }) if producer == Some(next))
    );
    core.handle_opened();
    let stamps: Vec<_> = (0..3).map(|_| stamp_of(core.poll_effect(now)).1).collect();
    assert!(stamps.iter().all(|stamp| stamp.epoch == ProducerEpoch(1)));
    let mut sequences: Vec<_> = stamps.iter().map(|s| s.base_sequence.get()).collect();
    sequences.sort_unstable();
    assert_eq!(sequences, [0, 0, 10]);
}

#[test]
fn a_session_that_is_refused_for_good_fails_what_waits() {
    let (mut core, now) = opened(0);
    core.push(now, PartitionId(0), load(0), 10);
    stamp_of(core.poll_effect(now));
    core.push(now, PartitionId(1), load(1), 10);
    core.handle_no_session(now, Some(&ErrorBody::new(ErrorCode::UnknownTopic, "gone")));
    for _ in 0..2 {
        let Some(Effect::Done { outcome, .. }) = core.poll_effect(now) else { panic!() };
        assert!(matches!(outcome, Err(Failed::Refused(e)) if e.code == ErrorCode::UnknownTopic));
    }
    assert!(core.poll_effect(now).is_none());
    assert_eq!(
        core.next_timeout().and_then(|at| at.checked_duration_since(now + SWEEP)),
        Some(Duration::ZERO)
    );
}

#[test]
fn time_runs_out_for_what_cannot_be_delivered() {
    let (mut core, now) = opened(0);
    core.handle_no_session(now, None);
    core.push(now, PartitionId(0), load(0), 10);
    let mut at = now;
    let failed = loop {
        at = core.next_timeout().unwrap().max(at + Duration::from_millis(1));
        assert!(at < now + Duration::from_secs(12));
        core.handle_timeout(at);
        match core.poll_effect(at) {
            Some(Effect::Open { .. }) => core.handle_no_session(at, None),
            Some(Effect::Done { outcome, .. }) => break outcome,
            _ => {}
        }
    };
    assert!(at >= now + Duration::from_secs(10));
    assert_eq!(failed, Err(Failed::TimedOut { sent: false }));
}
