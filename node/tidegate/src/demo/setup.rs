//! What a user would do by hand: invite the edge, make topics, install plugins, add the link.
//!
//! All of it goes through the public client.

use std::net::SocketAddr;

use tidegate_client::{Client, RequestError};
use tidegate_types::{
    Hook, LinkName, LinkSpec, NameError, PluginLimits, PluginName, SiteName, TopicConfig, TopicName,
};
use tidegate_wire::AttachRequest;

use super::stream::Stream;
use crate::exit::{Exit, Failure};

/// The site that takes records in.
pub const EDGE: &str = "edge";

/// The link, named for where it leads.
pub const LINK: &str = "region";

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
        edge.install_plugin(plugin_name.clone(), stock.component)
            .await
            .map_err(|error| failed(&format!("install plugin {}", plugin.name), &error))?;
        let request = AttachRequest {
            topic: topic.clone(),
            hook: Hook::Ingest,
            plugin: plugin_name,
            hash: None,
            config: plugin.config.clone(),
            policy: plugin.policy,
            limits: PluginLimits::default(),
        };
        edge.attach_plugin(request).await.map_err(|error| {
            failed(&format!("attach plugin {} to topic {topic}", plugin.name), &error)
        })?;
    }
    Ok(())
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
    topic(text)?
        .mirrored_from(&name(EDGE)?)
        .map_err(|error| Failure::of(Exit::Failed, &error))
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
