//! Who owns what, and what was committed: the truth that the group is held against.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The ledger of one group.
pub struct Ledger {
    partitions: i32,
    pages: Mutex<Pages>,
}

#[derive(Default)]
struct Pages {
    /// Who owns a partition now, and in which generation, as far as its owner knows.
    owners: HashMap<i32, (u64, i32)>,
    /// The largest offset whose commit was acknowledged.
    committed: HashMap<i32, i64>,
    /// The latest generation in which somebody committed.
    generations: HashMap<i32, i32>,
    commits: u64,
    fenced: u64,
}

/// What a commit is checked against, as it was when it was sent.
pub struct Sent {
    generation: i32,
    latest: i32,
}

impl Ledger {
    pub fn new(partitions: i32) -> Ledger {
        Ledger { partitions, pages: Mutex::default() }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A member was given these partitions, in this generation, and gave up all others.
    ///
    /// With `exclusive`, nobody else may own one of them now: in the consumer protocol a partition
    /// is given only once the one before has let it go.
    pub fn own(&self, member: u64, generation: i32, partitions: &BTreeSet<i32>, exclusive: bool) {
        let mut pages = self.pages();
        pages.owners.retain(|_, (owner, _)| *owner != member);
        for partition in partitions {
            if let Some((other, since)) = pages.owners.insert(*partition, (member, generation)) {
                assert!(
                    !exclusive && since < generation,
                    "partition {partition} is given to {member} in generation {generation}, and \
                     {other} has it since {since}"
                );
            }
        }
    }

    /// A member owns nothing any more, whether it said so or not.
    pub fn leave(&self, member: u64) {
        self.pages().owners.retain(|_, (owner, _)| *owner != member);
    }

    /// What of these partitions must have been committed by now, at the least.
    pub fn committed(&self, partition: i32) -> i64 {
        self.pages().committed.get(&partition).copied().unwrap_or(-1)
    }

    /// A commit is about to be sent.
    pub fn sending(&self, partition: i32, generation: i32) -> Sent {
        let latest = self.pages().generations.get(&partition).copied().unwrap_or(-1);
        Sent { generation, latest }
    }

    /// A commit was acknowledged.
    pub fn acknowledged(&self, partition: i32, offset: i64, sent: Sent) {
        let Sent { generation, latest } = sent;
        assert!(
            generation >= latest,
            "partition {partition}: a commit of generation {generation} was taken, after one of \
             generation {latest}"
        );
        let mut pages = self.pages();
        pages.commits += 1;
        let committed = pages.committed.entry(partition).or_insert(-1);
        *committed = offset.max(*committed);
        let latest = pages.generations.entry(partition).or_insert(-1);
        *latest = generation.max(*latest);
    }

    /// A commit was refused, since its generation is over.
    pub fn fenced(&self) {
        self.pages().fenced += 1;
    }

    /// Checks that every partition has an owner, all of the same group.
    pub fn check_end(&self, what: &str) {
        let pages = self.pages();
        let owned: BTreeSet<i32> = pages.owners.keys().copied().collect();
        assert_eq!(owned, (0..self.partitions).collect(), "{what}: partitions with an owner");
        assert!(pages.commits > 0 && pages.committed.len() == self.partitions as usize);
        println!(
            "{what}: {} commits acknowledged, {} refused for their generation, none lost",
            pages.commits, pages.fenced
        );
    }
}
