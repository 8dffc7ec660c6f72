//! A rebalance storm: two hundred members join, leave and vanish, in both group protocols.
//!
//! Every owner of a partition counts its committed offset up by one. What was acknowledged must be
//! there for the next owner; nobody may commit in a generation that is over; and once the storm is
//! over, each partition has one owner.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod classic;
mod consumer;
mod ledger;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate_kafka_proto::ErrorCode;
use tidegate_kafka_tests::{Broker, Committer, Typed};
use tidegate_tests::{Node, Rng, Seed, scaled};

use ledger::Ledger;

const TOPIC: &str = "storm";
const PARTITIONS: i32 = 24;
const MEMBERS: u64 = 200;

/// How long it blows.
const STORM: Duration = Duration::from_secs(120);

/// What all members share.
struct Storm {
    broker: Broker,
    ledger: Ledger,
    /// When members stop leaving.
    calm: Instant,
    /// When they stop altogether.
    end: Instant,
}

impl Storm {
    fn is_calm(&self) -> bool {
        Instant::now() >= self.calm
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.end
    }

    /// Takes a partition's offset and commits the next one, as its owner does. `fenced` is how one
    /// is refused who owns it no more.
    fn count_up(
        &self,
        client: &mut Typed,
        (reader, owner): (Committer<'_>, Committer<'_>),
        partition: i32,
        fenced: &[ErrorCode],
    ) {
        let at_least = self.ledger.committed(partition);
        let Ok((offset, _)) = client.committed(reader, (TOPIC, partition)) else { return };
        assert!(
            offset >= at_least,
            "partition {partition}: {at_least} was committed, {offset} is found"
        );
        let sent = self.ledger.sending(partition, owner.generation);
        match client.commit(owner, (TOPIC, partition), offset + 1, "") {
            ErrorCode::None => self.ledger.acknowledged(partition, offset + 1, sent),
            error if fenced.contains(&error) => self.ledger.fenced(),
            error if error.is_retriable() => {}
            error => panic!("commit: {error}"),
        }
    }
}

/// How a member's time in the group ends.
#[derive(Clone, Copy)]
enum Farewell {
    Leave,
    Vanish,
}

/// How long a member stays, and how it goes.
fn stay(rng: &mut Rng) -> (Duration, Farewell) {
    let farewell = if rng.below(3) == 0 { Farewell::Vanish } else { Farewell::Leave };
    (Duration::from_millis(500 + rng.below(15_000)), farewell)
}

/// Lets the storm blow with one kind of member, and checks what is left of it.
async fn blow(what: &str, member: fn(&Storm, u64, Rng)) {
    let seed = Seed::take(what);
    let mut node = Node::new("edge").with_kafka();
    node.restart().await;
    let broker = Broker { address: node.kafka() };
    Typed::open(broker).create(TOPIC, PARTITIONS, &[]);
    let storm = STORM.mul_f64(scaled(100) as f64 / 100.0);
    let begun = Instant::now();
    // Who vanished last is noticed, and what was theirs given to others, before the end.
    let quiet = Duration::from_secs(50);
    let storm = Arc::new(Storm {
        broker,
        ledger: Ledger::new(PARTITIONS),
        calm: begun + storm,
        end: begun + storm + quiet,
    });
    let members: Vec<_> = (0..MEMBERS)
        .map(|number| {
            let (storm, rng) = (storm.clone(), seed.rng(number));
            std::thread::Builder::new()
                .stack_size(512 << 10)
                .spawn(move || member(&storm, number, rng))
                .unwrap()
        })
        .collect();
    for member in members {
        member.join().expect("a member ends well");
    }
    storm.ledger.check_end(what);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_classic_protocol_survives_two_hundred_members_that_come_and_go() {
    blow("classic storm", classic::member).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_consumer_protocol_survives_two_hundred_members_that_come_and_go() {
    blow("consumer storm", consumer::member).await;
}
