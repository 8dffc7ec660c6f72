//! What a user would do by hand: invite the edge, make topics, install plugins, add the link.
//!
//! All of it goes through the public client.

use std::net::SocketAddr;
use std::time::Duration;

use tidegate_client::{Client, RequestError};
use tidegate_types::{LinkName, LinkSpec, NameError, PluginName, SiteName, TopicConfig, TopicName};
use tidegate_wire::{AttachRequest, LinkState, LinkStatus};
use tokio::time::Instant;

use super::stream::Stream;
use crate::exit::{Exit, Failure};

/// The site that takes records in.
pub const EDGE: &str = "edge";

/// The link, named for where it leads.
pub const LINK: &str = "region";

/// The first handshake takes milliseconds; a busy machine gets more.
const LINKED: Duration = Duration::from_secs(30);

/// Between two looks at the link.
const AGAIN: Duration = Duration::from_millis(50);

/// Makes everything at the edge and links it to the region over `line`.
///
/// # Errors
/// If a node refuses or is not reached.
pub async fn set_up(
    edge: &Client,
    region: &Client,
    line: SocketAddr,
    streams: &[Stream],
) -> Result<(), Failure> {
    let site: SiteName = name(EDGE)?;
    let invitation =
        region.invite_site(site).await.map_err(|error| failed("invite the edge", &error))?;
    let mut topics = Vec::new();
    for stream in streams {
        let topic = topic(stream.topic)?;
        let config = TopicConfig { partitions: stream.partitions, ..TopicConfig::default() };
        edge.create_topic(topic.clone(), config, false)
            .await
            .map_err(|error| failed(&format!("make topic {topic}"), &error))?;
        attach(edge, stream, &topic).await?;
        topics.push(topic);
    }
    let spec = LinkSpec {
        name: link()?,
        address: line.to_string(),
        local_site: invitation.site,
        authority: invitation.authority,
        certificate: invitation.certificate,
        key: invitation.key,
        topics,
    };
    edge.add_link(spec).await.map_err(|error| failed("add the link", &error))
}

async fn attach(edge: &Client, stream: &Stream, topic: &TopicName) -> Result<(), Failure> {
    for plugin in &stream.plugins {
        let stock = tidegate_stock_plugins::find(plugin.name).ok_or_else(|| {
            Failure::new(Exit::Failed, format!("there is no stock plugin {}", plugin.name))
        })?;
        let plugin_name: PluginName = name(plugin.name)?;
        edge.install_plugin(plugin_name.clone(), stock.component())
            .await
            .map_err(|error| failed(&format!("install plugin {}", plugin.name), &error))?;
        let request = AttachRequest {
            config: plugin.config.clone(),
            policy: plugin.policy,
            ..AttachRequest::new(topic.clone(), plugin_name)
        };
        edge.attach_plugin(request).await.map_err(|error| {
            failed(&format!("attach plugin {} to topic {topic}", plugin.name), &error)
        })?;
    }
    Ok(())
}

/// Waits until the link fulfils `done`, and gives its status; after `most`, as it is then.
///
/// # Errors
/// If the edge cannot tell.
pub async fn wait_for_link(
    edge: &Client,
    most: Duration,
    done: impl Fn(&LinkStatus) -> bool,
) -> Result<LinkStatus, Failure> {
    let started = Instant::now();
    loop {
        let status = edge
            .link_status(link()?)
            .await
            .map_err(|error| failed("ask the edge about the link", &error))?;
        if done(&status) || started.elapsed() >= most {
            return Ok(status);
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Waits until the edge has reached the region.
///
/// # Errors
/// If it does not, with what the edge says about it.
pub async fn wait_until_linked(edge: &Client) -> Result<(), Failure> {
    let connected = |status: &LinkStatus| status.state == LinkState::Connected;
    let status = wait_for_link(edge, LINKED, connected).await?;
    if connected(&status) {
        return Ok(());
    }
    let why = status.last_error.unwrap_or_else(|| "it does not say why".to_owned());
    Err(Failure::new(Exit::Failed, format!("the edge does not reach the region: {why}")))
}

/// Whether all that the edge has lies durably at the region.
pub fn all_copied(status: &LinkStatus) -> bool {
    !status.partitions.is_empty()
        && status.partitions.iter().all(|partition| {
            partition.problem.is_none() && partition.copied == Some(partition.source_end)
        })
}

/// The name of a topic at the edge.
///
/// # Errors
/// If it is none.
pub fn topic(text: &str) -> Result<TopicName, Failure> {
    name(text)
}

/// The name of its mirror at the region.
///
/// # Errors
/// If it is none.
pub fn mirror(text: &str) -> Result<TopicName, Failure> {
    topic(text)?.mirrored_from(&name(EDGE)?).map_err(|error| Failure::of(Exit::Failed, &error))
}

/// The link's name.
///
/// # Errors
/// If it is none.
pub fn link() -> Result<LinkName, Failure> {
    name(LINK)
}

fn name<N: std::str::FromStr<Err = NameError>>(text: &str) -> Result<N, Failure> {
    text.parse().map_err(|error: NameError| Failure::of(Exit::Failed, &error))
}

fn failed(what: &str, error: &RequestError) -> Failure {
    Failure::of(Exit::Failed, error).while_doing(format!("cannot {what}"))
}
