//! Producers, and the mirror: everything that appends.

use std::collections::{BTreeSet, VecDeque};
use std::sync::mpsc;

use tidegate_env::Clock;
use tidegate_types::{ByteSize, Flush, ProducerStamp, Sequence};

use super::batches::{self, Wanted};
use super::model::{BatchId, Fate};
use super::world::World;
use crate::{AppendError, AppendMode, AppendRequest, Appended, LogHandle, When};

type Answer = mpsc::Receiver<Result<Appended, AppendError>>;

/// A request on its way.
struct Request {
    /// Which producer's; `None` without one.
    producer: Option<usize>,
    batches: Vec<BatchId>,
    ack: When,
    /// Which of them were in the log when it was sent.
    known: Vec<bool>,
    /// Some of it was on its way already, from a request that nobody waits for.
    uncertain: bool,
    answer: Answer,
}

fn queue(log: &LogHandle, request: AppendRequest) -> Answer {
    let (sender, receiver) = mpsc::channel();
    log.append(request, Box::new(move |result| drop(sender.send(result))));
    receiver
}

impl World {
    /// A producer makes one more batch.
    pub(super) fn produce(&mut self, n: usize) {
        if self.logs[n].mirror_of.is_some() {
            return;
        }
        let which = self.rng.below(self.logs[n].producers.len() as u64) as usize;
        if self.logs[n].producers[which].unacked.len() >= 5 {
            return;
        }
        if self.logs[n].producers[which].is_transactional() && self.rng.chance(40) {
            self.logs[n].producers[which].in_transaction = true;
        }
        let producer = &self.logs[n].producers[which];
        let (stamp, transactional) = (producer.next_stamp(), producer.in_transaction);
        let id = self.make(n, Some(stamp), transactional);
        let records = self.logs[n].sent[id].records;
        let producer = &mut self.logs[n].producers[which];
        producer.next_sequence = Sequence(producer.next_sequence).advance(records).get();
        producer.unacked.push_back(id);
    }

    /// Everything that producers have not had acknowledged, in order; then the writer runs.
    pub(super) fn send(&mut self, n: usize) {
        if self.logs[n].mirror_of.is_some() {
            return self.copy(n);
        }
        let Some(log) = self.log(n) else { return };
        let mut requests = Vec::new();
        for which in 0..self.logs[n].producers.len() {
            let producer = &self.logs[n].producers[which];
            let sent = &self.logs[n].sent;
            let ack = producer.ack;
            let mut ids: VecDeque<BatchId> = producer.unacked.clone();
            // A retry whose ack got lost: the last few that were acknowledged, again.
            if ack == When::Durable && ids.is_empty() && !producer.acked.is_empty() {
                let back = self.rng.between(1, producer.acked.len().min(5) as u64) as usize;
                let last = producer.acked[producer.acked.len() - back..].iter().copied();
                ids = last.filter(|id| !sent[*id].left).collect();
            }
            while !ids.is_empty() {
                let together = self.rng.between(1, 3).min(ids.len() as u64) as usize;
                let group: Vec<BatchId> = ids.drain(..together).collect();
                requests.push(self.request(n, &log, Some(which), group, ack));
                if self.rng.chance(20) {
                    self.run_writer();
                }
            }
        }
        if self.rng.chance(25)
            && let Some(id) = self.end_transaction(n)
        {
            requests.push(self.request(n, &log, None, vec![id], When::Durable));
        }
        if self.rng.chance(50) {
            let id = self.make(n, None, false);
            let ack = if self.rng.chance(50) { When::Durable } else { When::Written };
            requests.push(self.request(n, &log, None, vec![id], ack));
        }
        if !self.finishing && self.rng.chance(5) {
            // Nobody waits for these answers: they are written with whatever comes next.
            return;
        }
        self.run_writer();
        self.catch_up(n);
        self.take_answers(n, requests);
    }

    /// A marker for the transaction that is open. It may come before batches that are still on
    /// their way, or be lost: then they belong to the next one.
    fn end_transaction(&mut self, n: usize) -> Option<BatchId> {
        let producer = self.logs[n].producers.iter_mut().find(|p| p.in_transaction)?;
        producer.in_transaction = false;
        let stamp = ProducerStamp { base_sequence: Sequence(-1), ..producer.next_stamp() };
        let commits = self.rng.chance(60);
        let wanted = Wanted {
            id: self.next_id,
            stamp: Some(stamp),
            now: self.clock.wall(),
            big: false,
            transactional: true,
        };
        self.next_id += 1;
        Some(self.logs[n].add(batches::marker(&wanted, commits)))
    }

    pub(super) fn run_writer(&mut self) {
        if let Some((_, step)) = &mut self.store {
            step.run();
        }
    }

    fn request(
        &mut self,
        n: usize,
        log: &LogHandle,
        producer: Option<usize>,
        batches: Vec<BatchId>,
        ack: When,
    ) -> Request {
        let model = &mut self.logs[n];
        let known = batches.iter().map(|id| model.sent[*id].at.is_some()).collect();
        let mut bytes = Vec::new();
        let mut uncertain = false;
        for id in &batches {
            let sent = &mut model.sent[*id];
            uncertain |= sent.fate == Fate::Unknown;
            bytes.extend_from_slice(&sent.bytes);
            if sent.at.is_none() {
                sent.fate = Fate::Unknown;
            }
        }
        let mode = AppendMode::Assign { leader_epoch: model.epoch };
        let answer = queue(log, AppendRequest { batches: bytes.into(), mode, ack });
        Request { producer, batches, ack, known, uncertain, answer }
    }

    fn take_answers(&mut self, n: usize, requests: Vec<Request>) {
        // What a producer sent in its former epoch is no longer its concern.
        let mut started_over = BTreeSet::new();
        for request in requests {
            let answer = request.answer.try_recv().expect("an append was not answered");
            let which = request.producer.filter(|which| !started_over.contains(which));
            match answer {
                Ok(appended) => self.acknowledged(n, which, &request, appended),
                Err(AppendError::OutOfOrderSequence { .. }) => {
                    self.refused(n, &request, Fate::Unsent);
                    let Some(which) = which else { continue };
                    started_over.insert(which);
                    let model = &mut self.logs[n];
                    let lossy = model.producers[which].ack == When::Written
                        || model.lossy
                        || model.hurt
                        || model.forgot;
                    assert!(lossy, "log {n}: a durable producer met a gap");
                    // What it was promised only as written is gone: it starts over.
                    model.producers[which].start_over();
                }
                Err(error) if error.is_retriable() => self.refused(n, &request, Fate::Refused),
                Err(error) => assert!(error.may_be_written(), "log {n}: {error}"),
            }
        }
    }

    fn refused(&mut self, n: usize, request: &Request, fate: Fate) {
        for (id, known) in request.batches.iter().zip(&request.known) {
            let sent = &mut self.logs[n].sent[*id];
            let there = sent.at.is_some() && !known && !request.uncertain;
            assert!(!there, "log {n}: a refused batch is there");
            if sent.at.is_none() {
                sent.fate = fate;
            }
        }
    }

    fn acknowledged(
        &mut self,
        n: usize,
        which: Option<usize>,
        request: &Request,
        appended: Appended,
    ) {
        let powered = self.disk.has_power();
        let model = &mut self.logs[n];
        let claimed = model.claimed;
        for (place, id) in request.batches.iter().enumerate() {
            let sent = &mut model.sent[*id];
            sent.fate = Fate::Accepted;
            if sent.at.is_none() && (model.hurt || !powered) {
                // What was acknowledged just before the power failed is looked for at the start.
                let durable = request.ack == When::Durable && model.config.flush == Flush::Always;
                sent.promised |= durable && !model.hurt;
                continue;
            }
            let at = sent.at.unwrap_or_else(|| panic!("log {n}: batch {id} is acked, not there"));
            let next = at.advance(i64::from(sent.records));
            if place == 0 && appended.base_offset != Appended::UNKNOWN && !model.forgot {
                assert_eq!(appended.base_offset, at, "log {n}: acked at another offset");
            }
            if place + 1 == request.batches.len()
                && appended.next_offset != Appended::UNKNOWN
                && !model.forgot
            {
                assert_eq!(appended.next_offset, next, "log {n}: acked up to another offset");
            }
            let new = !request.known[place] && !request.uncertain;
            assert!(!appended.duplicate || !new, "log {n}: called a duplicate");
            let all_known = request.known.iter().all(|known| *known);
            assert!(appended.duplicate || !all_known || model.hurt, "log {n}: appended twice");
            if request.ack == When::Durable {
                assert!(next <= claimed, "log {n}: acked as durable up to {next} of {claimed}");
            }
        }
        let Some(which) = which else { return };
        let producer = &mut model.producers[which];
        for id in &request.batches {
            producer.unacked.retain(|unacked| unacked != id);
            if !producer.acked.contains(id) {
                producer.acked.push(*id);
            }
        }
    }

    /// The mirror takes over what its source has beyond its own end.
    pub(super) fn copy(&mut self, n: usize) {
        let Some(of) = self.logs[n].mirror_of else { return };
        let (Some(source), Some(mirror)) = (self.log(of), self.log(n)) else { return };
        let (from, to) = (self.logs[n].end.max(self.logs[of].start), self.logs[of].durable);
        if self.logs[n].hurt || self.logs[of].hurt || from >= to {
            return;
        }
        let Some(Ok(chunk)) = self.read(&source, from, to, ByteSize::kib(8)) else { return };
        if chunk.is_empty() {
            return;
        }
        for batch in tidegate_record::Batches::new(&chunk.batches) {
            let batch = batch.unwrap();
            let base = batch.header().base_offset;
            let bytes = chunk.batches.slice_ref(batch.bytes());
            self.logs[n].offered.entry(base).or_default().push(bytes);
        }
        let request =
            AppendRequest { batches: chunk.batches, mode: AppendMode::Keep, ack: When::Durable };
        let answer = queue(&mirror, request);
        self.run_writer();
        self.catch_up(n);
        match answer.try_recv().expect("the mirror was not answered") {
            Ok(appended) => {
                assert_eq!(appended.next_offset, chunk.next_offset);
                assert!(chunk.next_offset <= self.logs[n].claimed, "the mirror is not durable");
            }
            Err(error) => {
                assert!(error.may_be_written() || error.is_retriable(), "mirror: {error}");
            }
        }
    }
}
