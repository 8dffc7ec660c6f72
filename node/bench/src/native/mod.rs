//! Over the native protocol, against a node's QUIC listener.

mod fetch;
mod pause;
mod produce;

use std::path::Path;

use tidegate_client::{Client, ClientConfig, RequestError};
use tidegate_types::{TopicConfig, TopicName};
use tidegate_wire::{ErrorBody, ErrorCode};

pub(crate) use fetch::fetch;
pub(crate) use produce::{Producing, produce};

use crate::BenchError;
use crate::config::{ConfigError, Load};

/// Longest text of an error that is kept; they are counted by it.
const MAX_ERROR: usize = 200;

/// A topic to load, and the connection that it was found over.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub client: Client,
    pub partitions: u32,
    /// Records that it has.
    pub records: u64,
}

/// Connects once; each connection of a load has a client of its own.
///
/// # Errors
/// If the node is not reached, or does not want this client.
pub(crate) async fn connect(load: &Load, tls: &Path) -> Result<Client, BenchError> {
    let address = load.target.address();
    let config = ClientConfig::from_tls_dir(address, tls).map_err(|error| {
        BenchError::Identity { address: address.to_owned(), source: error.into() }
    })?;
    let (connect_timeout, request_timeout) = (load.timeout, load.timeout);
    let config = ClientConfig { connect_timeout, request_timeout, ..config };
    Client::connect(config)
        .await
        .map_err(|source| BenchError::Connect { address: address.to_owned(), source })
}

/// Finds the topic or makes it.
///
/// # Errors
/// If the node refuses.
pub(crate) async fn prepare(
    client: Client,
    load: &Load,
    topic: TopicName,
) -> Result<Prepared, BenchError> {
    let found = match client.describe_topic(topic.clone()).await {
        Err(RequestError::Refused(body)) if body.code == ErrorCode::UnknownTopic => {
            let config = topic_config(load)?;
            client
                .create_topic(topic, config, true)
                .await
                .map_err(in_vain(&client, "to make the topic"))?
        }
        found => found.map_err(in_vain(&client, "for the topic"))?,
    };
    let held = |end: i64, start: i64| u64::try_from(end - start).unwrap_or(0);
    let records = found.partitions.iter().map(|p| held(p.high_watermark.get(), p.log_start.get()));
    let (partitions, records) = (found.partitions.len() as u32, records.sum());
    Ok(Prepared { client, partitions, records })
}

/// Deletes the topic.
///
/// # Errors
/// If the node refuses.
pub(crate) async fn delete(client: &Client, topic: &TopicName) -> Result<(), BenchError> {
    let deleted = client.delete_topic(topic.clone()).await;
    deleted.map_err(in_vain(client, "to delete the topic"))
}

/// What the topic is made with; also a check of the settings that were asked for.
///
/// # Errors
/// If there is no such setting, or the value is none that it can have.
pub(crate) fn topic_config(load: &Load) -> Result<TopicConfig, ConfigError> {
    let mut config = TopicConfig { partitions: load.partitions, ..TopicConfig::default() };
    for (name, value) in &load.topic_settings {
        config.set(name, value)?;
    }
    Ok(config)
}

fn in_vain(client: &Client, what: &'static str) -> impl FnOnce(RequestError) -> BenchError {
    let address = client.address().to_owned();
    move |source| BenchError::Native { address, what, source }
}

/// By what an error is counted.
fn error_text(body: &ErrorBody) -> String {
    body.to_string().chars().take(MAX_ERROR).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Target;

    fn load(setting: (&str, &str)) -> Load {
        let target = Target::Native { address: "localhost:9640".to_owned(), tls: "tls".into() };
        let topic_settings = vec![(setting.0.to_owned(), setting.1.to_owned())];
        Load { partitions: 3, topic_settings, ..Load::new(target) }
    }

    #[test]
    fn a_topic_is_made_with_the_settings_that_a_node_knows() {
        let config = topic_config(&load(("flush", "os"))).unwrap();
        assert_eq!((config.partitions, config.flush), (3, tidegate_types::Flush::Os));
        for wrong in [("flush", "sometimes"), ("flush.messages.often", "1")] {
            let error = topic_config(&load(wrong)).unwrap_err();
            assert!(error.to_string().contains(wrong.0), "{error}");
        }
    }
}
