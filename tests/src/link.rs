//! Two sites joined by a link, and the comparison of a mirror with its source.

use std::net::SocketAddr;

use tidegate_client::Client;
use tidegate_types::{LinkName, LinkSpec, Offset, TopicId, TopicName};
use tidegate_wire::TopicDescription;

use crate::files::{StoredLog, read_partition};
use crate::{Node, eventually};

/// Name of the link that [`join`] makes.
pub const LINK: &str = "up";

/// Lets `edge` mirror `topics` to `region`, dialling `via`: the region itself, or a relay to it.
///
/// # Panics
/// If one of them refuses.
pub async fn join(edge: &Node, region: &Node, via: SocketAddr, topics: &[&str]) {
    let inviting = region.client().await;
    let invitation =
        inviting.invite_site(edge.site().clone()).await.expect("the region invites the edge");
    let spec = LinkSpec {
        name: LinkName::new(LINK).expect("a link's name"),
        address: via.to_string(),
        local_site: invitation.site,
        authority: invitation.authority,
        certificate: invitation.certificate,
        key: invitation.key,
        topics: topics.iter().map(|topic| topic.parse().expect("a topic's name")).collect(),
    };
    edge.client().await.add_link(spec).await.expect("the edge takes the link");
}

/// The name that a topic of `edge` has at the other site.
///
/// # Panics
/// If it is itself a mirror.
#[must_use]
pub fn mirror_name(edge: &Node, topic: &str) -> TopicName {
    let topic: TopicName = topic.parse().expect("a topic's name");
    topic.mirrored_from(edge.site()).expect("a name that can be mirrored")
}

/// Waits until all that `topic` holds at the edge is durable at the region; gives both topics.
///
/// # Panics
/// If that takes too long.
pub async fn caught_up(edge: &Node, region: &Node, topic: &str) -> (TopicId, TopicId) {
    let (here, there) = (edge.client().await, region.client().await);
    let mirror = mirror_name(edge, topic);
    let topic: TopicName = topic.parse().expect("a topic's name");
    eventually("the mirror to catch up", async || {
        let source = described(&here, &topic).await?;
        let copy = described(&there, &mirror).await?;
        let ends = |topic: &TopicDescription| -> Vec<(Offset, Offset)> {
            topic.partitions.iter().map(|p| (p.durable, p.high_watermark)).collect()
        };
        let (source_ends, copy_ends) = (ends(&source), ends(&copy));
        if source_ends == copy_ends {
            return Ok((source.id, copy.id));
        }
        let link = here.link_status(LINK.parse().expect("a link's name")).await;
        let link = link.map_err(|error| error.to_string())?;
        Err(format!(
            "source (durable, high watermark) {source_ends:?}, copy {copy_ends:?}; link is {:?}, \
             last error {:?}, partitions {:?}",
            link.state, link.last_error, link.partitions
        ))
    })
    .await
}

async fn described(client: &Client, topic: &TopicName) -> Result<TopicDescription, String> {
    client.describe_topic(topic.clone()).await.map_err(|error| format!("{topic}: {error}"))
}

/// Waits for the copy of `topic` and compares its files with the source's; gives the source's
/// partitions.
///
/// # Panics
/// If a byte differs, or the copy has a byte more or less.
pub async fn identical(edge: &Node, region: &Node, topic: &str, partitions: u32) -> Vec<StoredLog> {
    let (source, copy) = caught_up(edge, region, topic).await;
    (0..partitions)
        .map(|partition| {
            let source = read_partition(edge.data(), source, partition);
            let copy = read_partition(region.data(), copy, partition);
            if source.bytes != copy.bytes {
                let same = source.bytes.iter().zip(&copy.bytes).take_while(|(a, b)| a == b).count();
                panic!(
                    "partition {partition} of {topic}: the copy has {} bytes, the source {}, and \
                     they differ from byte {same} on",
                    copy.bytes.len(),
                    source.bytes.len()
                );
            }
            source
        })
        .collect()
}
