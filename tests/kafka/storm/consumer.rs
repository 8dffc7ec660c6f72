//! Members of KIP-848: the node divides the partitions, and each is told what it may have.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tidegate_kafka_proto::ErrorCode;
use tidegate_kafka_proto::messages::ConsumerGroupHeartbeatRequest;
use tidegate_kafka_proto::messages::consumer_group_heartbeat_request::TopicPartitions;
use tidegate_kafka_tests::{Committer, Typed, name};
use tidegate_tests::Rng;

use crate::{Farewell, Storm, TOPIC, stay};

const GROUP: &str = "consumer";

/// The epoch with which a member leaves.
const LEAVE: i32 = -1;

/// How a commit is refused whose epoch is over.
const FENCED: [ErrorCode; 2] = [ErrorCode::StaleMemberEpoch, ErrorCode::UnknownMemberId];

/// One member after the other, until the storm is over.
pub fn member(storm: &Storm, number: u64, mut rng: Rng) {
    let mut life: u32 = 0;
    while !storm.is_over() {
        let Some(client) = Typed::try_open(storm.broker) else { continue };
        if storm.is_calm() && number >= 20 {
            return;
        }
        let (time, farewell) = stay(&mut rng);
        let until = Instant::now() + time;
        life += 1;
        let mut member = Member {
            storm,
            number,
            client,
            id: format!("member-{number}-{life}"),
            epoch: 0,
            topic: None,
            owned: BTreeSet::new(),
            changed: true,
        };
        member.live(until);
        if storm.is_over() {
            return;
        }
        storm.ledger.leave(number);
        // Those who vanish are noticed after 45 s: they do so only while others can still take over.
        let late = Instant::now() + Duration::from_secs(10) > storm.calm;
        if matches!(farewell, Farewell::Leave) || late || !life.is_multiple_of(4) {
            member.leave();
        }
    }
}

struct Member<'s> {
    storm: &'s Storm,
    number: u64,
    client: Typed,
    id: String,
    epoch: i32,
    topic: Option<uuid::Uuid>,
    owned: BTreeSet<i32>,
    /// Whether what it owns is to be told.
    changed: bool,
}

impl Member<'_> {
    fn live(&mut self, until: Instant) {
        loop {
            let stays = self.storm.is_calm() && self.number < 20;
            if self.storm.is_over() || (Instant::now() >= until && !stays) {
                return;
            }
            if !self.heartbeat() {
                return;
            }
            for partition in self.owned.clone() {
                self.count_up(partition);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Tells that it is there, and takes what it is given; false once it is out of the group.
    fn heartbeat(&mut self) -> bool {
        let owned = match self.topic {
            Some(topic) if !self.owned.is_empty() => {
                let partitions = self.owned.iter().copied().collect();
                vec![TopicPartitions::default().with_topic_id(topic).with_partitions(partitions)]
            }
            _ => Vec::new(),
        };
        let joining = self.epoch == 0;
        let mut request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(name(GROUP).into())
            .with_member_id(name(&self.id))
            .with_member_epoch(self.epoch)
            .with_rebalance_timeout_ms(if joining { 10_000 } else { -1 });
        if joining {
            request = request.with_subscribed_topic_names(Some(vec![name(TOPIC).into()]));
        }
        if joining || self.changed {
            request = request.with_topic_partitions(Some(owned));
        }
        let answer = self.client.ask(1, &request);
        match ErrorCode::from_code(answer.error_code) {
            Some(ErrorCode::None) => {}
            Some(ErrorCode::FencedMemberEpoch | ErrorCode::UnknownMemberId) => return false,
            Some(error) if error.is_retriable() => return true,
            error => panic!("heartbeat: {error:?} {:?}", answer.error_message),
        }
        self.epoch = answer.member_epoch;
        self.changed = false;
        if let Some(assignment) = answer.assignment {
            let given: BTreeSet<i32> = assignment
                .topic_partitions
                .iter()
                .flat_map(|topic| topic.partitions.iter().copied())
                .collect();
            self.topic =
                assignment.topic_partitions.first().map(|topic| topic.topic_id).or(self.topic);
            self.changed = given != self.owned;
            self.owned = given;
        }
        self.storm.ledger.own(self.number, self.epoch, &self.owned, true);
        true
    }

    fn count_up(&mut self, partition: i32) {
        let owner = Committer { group: GROUP, member: &self.id, generation: self.epoch };
        self.storm.count_up(&mut self.client, (owner, owner), partition, &FENCED);
    }

    fn leave(&mut self) {
        let request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(name(GROUP).into())
            .with_member_id(name(&self.id))
            .with_member_epoch(LEAVE)
            .with_topic_partitions(Some(Vec::new()));
        let _ = self.client.ask(1, &request);
    }
}
