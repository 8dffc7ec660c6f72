//! A line between two sites that is cut, that loses datagrams, and a far end that freezes. The edge
//! goes on by itself; afterwards the copy catches up, and nothing is lost or there twice.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::time::Duration;

use tidegate::relay::{Line, Relay};
use tidegate_tests::{Load, Node, check_log, check_same, eventually, link, scaled};
use tidegate_types::{LinkName, Offset, TopicConfig, TopicName};

const TOPIC: &str = "readings";
const PARTITIONS: u32 = 2;

struct Sites {
    edge: Node,
    region: Node,
    relay: Relay,
}

impl Sites {
    /// Two sites, a topic at the edge, and a link of it through a line.
    async fn start(line: Line) -> Sites {
        let (edge, region) = (Node::start("edge").await, Node::start("region").await);
        let relay = Relay::start(region.address(), line).await.unwrap();
        let config = TopicConfig { partitions: PARTITIONS, ..TopicConfig::default() };
        let client = edge.client().await;
        client.create_topic(TOPIC.parse().unwrap(), config, false).await.unwrap();
        link::join(&edge, &region, relay.address(), &[TOPIC]).await;
        link::caught_up(&edge, &region, TOPIC).await;
        Sites { edge, region, relay }
    }

    async fn load(&self, pause: Duration) -> Load {
        Load::start(self.edge.client().await, TOPIC, PARTITIONS, 0, pause)
    }

    /// Sum of the ends that the copy has reached.
    async fn copied(&self) -> i64 {
        let mirror = link::mirror_name(&self.edge, TOPIC);
        let topic = self.region.client().await.describe_topic(mirror).await.unwrap();
        topic.partitions.iter().map(|p| p.durable.since(Offset::ZERO)).sum()
    }

    /// Waits until the copy moves beyond `from`.
    async fn copied_beyond(&self, from: i64) {
        eventually("the copy to go on", async || match self.copied().await {
            copied if copied > from => Ok(()),
            copied => Err(format!("{copied} records copied")),
        })
        .await;
    }

    /// Stops the load and compares both sites with it.
    async fn verify(&self, load: Load) {
        let acked = load.finish().await;
        let logs = link::identical(&self.edge, &self.region, TOPIC, PARTITIONS).await;
        check_log(&acked, &logs);
        let mirror = link::mirror_name(&self.edge, TOPIC);
        check_same(&self.region.client().await, mirror, &logs).await;
        println!("{} records acknowledged, all of them at both sites", acked.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_line_loses_and_duplicates_nothing() {
    let sites = Sites::start(Line::default()).await;
    let load = sites.load(Duration::from_millis(5)).await;
    load.progress(500).await;
    sites.copied_beyond(0).await;

    sites.relay.set_cut(true);
    let at_the_cut = load.acked();
    tokio::time::sleep(Duration::from_secs(scaled(10))).await;
    assert!(load.acked() > at_the_cut, "the edge must go on without its line");
    let while_cut = sites.copied().await;
    assert!(sites.relay.datagrams().1 > 0, "nothing was dropped while the line was cut");

    sites.relay.set_cut(false);
    sites.copied_beyond(while_cut).await;
    sites.verify(load).await;
    let status = sites.edge.client().await.link_status(LinkName::new(link::LINK).unwrap()).await;
    assert!(status.unwrap().partitions.iter().all(|p| p.problem.is_none()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_line_with_losses_copies_everything() {
    let line = Line { delay: Duration::from_millis(20), loss_per_mille: 20 };
    let sites = Sites::start(line).await;
    let load = sites.load(Duration::from_millis(5)).await;
    load.progress(scaled(4_000)).await;
    assert!(sites.relay.datagrams().1 > 0, "nothing was lost on the way");
    sites.verify(load).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_region_is_waited_for() {
    let sites = Sites::start(Line::default()).await;
    let load = sites.load(Duration::from_millis(5)).await;
    load.progress(200).await;
    sites.region.freeze();
    load.progress(1_000).await;
    sites.region.thaw();
    sites.verify(load).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_is_read_only_and_survives_the_removal_of_its_link() {
    let sites = Sites::start(Line::default()).await;
    let load = sites.load(Duration::from_millis(1)).await;
    load.progress(100).await;
    sites.copied_beyond(0).await;
    let acked = load.finish().await;
    let logs = link::identical(&sites.edge, &sites.region, TOPIC, PARTITIONS).await;
    check_log(&acked, &logs);

    let mirror: TopicName = link::mirror_name(&sites.edge, TOPIC);
    let refused = sites.region.cli().feed(&["produce", mirror.as_str()], b"mine\n").await;
    refused.fails(4, &[mirror.as_str()]);
    let client = sites.edge.client().await;
    client.remove_link(LinkName::new(link::LINK).unwrap()).await.unwrap();
    assert_eq!(client.list_links().await.unwrap(), []);
    check_same(&sites.region.client().await, mirror, &logs).await;
}
