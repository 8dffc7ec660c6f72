//! Copies a topic from one site to another: the other site invites, this one links.
//!
//! With two nodes that run here, of sites `edge` and `region`:
//!
//! ```text
//! export TIDEGATE_SERVER=127.0.0.1:9640 TIDEGATE_TLS=edge/tls
//! export REGION_SERVER=127.0.0.1:9641 REGION_TLS=region/tls
//! cargo run -p tidegate-examples --example two_sites
//! ```

use std::env;
use std::error::Error;
use std::time::Duration;

use tidegate_client::types::{LinkSpec, TopicConfig, TopicName};
use tidegate_client::wire::ErrorCode;
use tidegate_client::{
    Client, ClientConfig, ConsumeError, ConsumerConfig, ProducerConfig, ProducerRecord,
};

async fn connect(server: &str, tls: &str) -> Result<Client, Box<dyn Error>> {
    let config = ClientConfig::from_tls_dir(env::var(server)?, env::var(tls)?)?;
    Ok(Client::connect(config).await?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let edge = connect("TIDEGATE_SERVER", "TIDEGATE_TLS").await?;
    let region = connect("REGION_SERVER", "REGION_TLS").await?;

    let topic: TopicName = "alarms".parse()?;
    edge.create_topic(topic.clone(), TopicConfig::default(), true).await?;
    let producer = edge.producer(topic.clone(), ProducerConfig::default()).await?;
    producer.send(ProducerRecord::new("water in the cellar")).await?.await?;

    // The region issues a certificate that is good for this link alone.
    let site = edge.status().await?.site;
    let invitation = region.invite_site(site.clone()).await?;
    let spec = LinkSpec {
        name: "region".parse()?,
        address: env::var("REGION_SERVER")?,
        local_site: invitation.site,
        authority: invitation.authority,
        certificate: invitation.certificate,
        key: invitation.key,
        topics: vec![topic.clone()],
    };
    edge.add_link(spec).await?;

    // The copy appears under the edge's name once the link is up.
    let mirror = topic.mirrored_from(&site)?;
    let mut consumer = loop {
        match region.consumer(mirror.clone(), ConsumerConfig::default()).await {
            Err(ConsumeError::Refused { error }) if error.code == ErrorCode::UnknownTopic => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            consumer => break consumer?,
        }
    };
    if let Some(record) = consumer.next().await {
        let value = record?.value.unwrap_or_default();
        println!("{mirror}: {}", String::from_utf8_lossy(&value));
    }
    Ok(())
}
