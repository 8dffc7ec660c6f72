//! Links and how far they copied.

use serde::Serialize;
use tidegate_types::ByteSize;
use tidegate_wire::{LinkState, LinkStatus};

use crate::output::{fields, grouped, table};

/// A link.
#[derive(Serialize, Debug)]
pub struct LinkView {
    name: String,
    address: String,
    site: Option<String>,
    state: &'static str,
    /// Since when it is in that state, in ms since 1970.
    since: i64,
    last_error: Option<String>,
    connects: u64,
    bytes_sent: u64,
    /// Offsets that are not copied yet; null until the other site told how far it is.
    lag: Option<u64>,
    topics: Vec<String>,
    partitions: Vec<LinkPartitionView>,
    #[serde(skip)]
    since_text: String,
}

#[derive(Serialize, Debug)]
struct LinkPartitionView {
    topic: String,
    partition: u32,
    source_end: i64,
    copied: Option<i64>,
    lag: Option<u64>,
    problem: Option<String>,
}

impl From<LinkStatus> for LinkView {
    fn from(link: LinkStatus) -> LinkView {
        let partitions: Vec<_> = link
            .partitions
            .into_iter()
            .map(|p| LinkPartitionView {
                topic: p.topic.to_string(),
                partition: p.partition.get(),
                source_end: p.source_end.get(),
                copied: p.copied.map(|copied| copied.get()),
                lag: p.copied.map(|at| u64::try_from(p.source_end.since(at)).unwrap_or(0)),
                problem: p.problem,
            })
            .collect();
        let lag = partitions
            .iter()
            .map(|partition| partition.lag)
            .try_fold(0u64, |sum, lag| lag.map(|lag| sum.saturating_add(lag)));
        LinkView {
            name: link.name.to_string(),
            address: link.address,
            site: link.site.map(String::from),
            state: match link.state {
                LinkState::Connecting => "connecting",
                LinkState::Connected => "connected",
                LinkState::Refused => "refused",
            },
            since: link.since.millis(),
            last_error: link.last_error,
            connects: link.connects,
            bytes_sent: link.bytes_sent,
            lag,
            topics: link.topics.into_iter().map(String::from).collect(),
            partitions,
            since_text: link.since.to_string(),
        }
    }
}

/// All links, one a line.
#[must_use]
pub fn link_table(links: &[LinkView]) -> String {
    if links.is_empty() {
        return "no links: ask the other site for `tidegate link invite`, then `tidegate link add`\n"
            .to_owned();
    }
    let rows = links.iter().map(|link| {
        [
            link.name.clone(),
            link.site.clone().unwrap_or_default(),
            link.address.clone(),
            link.state.to_owned(),
            link.lag.map(grouped).unwrap_or_default(),
            ByteSize::bytes(link.bytes_sent).to_string(),
            link.topics.join(", "),
        ]
    });
    table(["link", "site", "address", "state", "behind", "sent", "topics"], &[4, 5], rows)
}

/// One link with its partitions.
#[must_use]
pub fn link_detail(link: &LinkView) -> String {
    let mut head = vec![
        ("link", link.name.clone()),
        ("address", link.address.clone()),
        ("site", link.site.clone().unwrap_or_else(|| "not reached yet".to_owned())),
        ("state", format!("{} since {}", link.state, link.since_text)),
        ("connected", format!("{} times", grouped(link.connects))),
        ("sent", ByteSize::bytes(link.bytes_sent).to_string()),
    ];
    if let Some(error) = &link.last_error {
        head.push(("last error", error.clone()));
    }
    let rows = link.partitions.iter().map(|p| {
        [
            p.topic.clone(),
            p.partition.to_string(),
            p.source_end.to_string(),
            p.copied.map(|copied| copied.to_string()).unwrap_or_default(),
            p.lag.map(grouped).unwrap_or_default(),
            p.problem.clone().unwrap_or_default(),
        ]
    });
    let columns = ["topic", "partition", "source end", "copied", "behind", "problem"];
    format!("{}\n{}", fields(&head), table(columns, &[1, 2, 3, 4], rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_types::{Offset, PartitionId, Timestamp};
    use tidegate_wire::LinkPartitionStatus;

    fn sample(copied: Option<Offset>) -> LinkView {
        let partition = |partition, copied| LinkPartitionStatus {
            topic: "orders".parse().unwrap(),
            partition: PartitionId(partition),
            source_end: Offset(2_000),
            copied,
            problem: None,
        };
        LinkView::from(LinkStatus {
            name: "up".parse().unwrap(),
            address: "gw.example:9640".into(),
            site: None,
            state: LinkState::Connecting,
            since: Timestamp(0),
            last_error: Some("timed out".into()),
            connects: 2,
            bytes_sent: 2_048,
            topics: vec!["orders".parse().unwrap()],
            partitions: vec![partition(0, Some(Offset(1_000))), partition(1, copied)],
        })
    }

    #[test]
    fn lag_is_the_sum_of_what_is_not_copied() {
        let json = serde_json::to_value(sample(Some(Offset(1_999)))).unwrap();
        assert_eq!(json["lag"], 1_001);
        assert_eq!(json["partitions"][1]["lag"], 1);
        assert_eq!(json["state"], "connecting");
    }

    #[test]
    fn lag_is_unknown_until_each_partition_was_answered() {
        let link = sample(None);
        assert_eq!(link.lag, None);
        let text = link_detail(&link);
        assert!(text.contains("not reached yet") && text.contains("timed out"), "{text}");
        assert!(link_table(&[link]).contains("gw.example:9640"));
    }
}
