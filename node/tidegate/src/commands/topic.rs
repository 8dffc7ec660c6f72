//! `topic`.

use tidegate_types::{PartitionId, TopicConfig};

use super::Context;
use crate::cli::TopicCommand;
use crate::exit::{Exit, Failure};
use crate::views::{TopicView, done, topic_detail, topic_table};

pub async fn run(context: &Context, command: &TopicCommand) -> Result<(), Failure> {
    let client = context.connect().await?;
    match command {
        TopicCommand::Create(args) => {
            let mut config = TopicConfig {
                partitions: args.partitions,
                segment: args.segment,
                flush: args.flush,
                ..TopicConfig::default()
            };
            for (name, value) in &args.config {
                config.set(name, value).map_err(|error| Failure::of(Exit::Usage, &error))?;
            }
            let topic = client.create_topic(args.name.clone(), config, args.if_not_exists).await?;
            let partitions = topic.partitions.len();
            context.output.print(&TopicView::from(topic), || {
                let s = if partitions == 1 { "" } else { "s" };
                format!("topic {} has {partitions} partition{s}", args.name)
            })
        }
        TopicCommand::List => {
            let topics: Vec<_> =
                client.list_topics().await?.into_iter().map(TopicView::from).collect();
            context.output.print(&topics, || topic_table(&topics))
        }
        TopicCommand::Describe { name } => {
            let topic = TopicView::from(client.describe_topic(name.clone()).await?);
            context.output.print(&topic, || topic_detail(&topic))
        }
        TopicCommand::Set(args) => {
            let settings = args.settings.clone();
            let topic = client.configure_topic(args.name.clone(), settings).await?;
            context.output.print(&TopicView::from(topic), || {
                let set = args.settings.iter().map(|(name, value)| format!("{name}={value}"));
                format!("topic {} now has {}", args.name, set.collect::<Vec<_>>().join(", "))
            })
        }
        TopicCommand::Trim(args) => {
            let partition = args.partition.map(PartitionId);
            let topic = client.trim_topic(args.name.clone(), partition, args.to).await?;
            let topic = TopicView::from(topic);
            context.output.print(&topic, || topic.starts())
        }
        TopicCommand::Delete { name } => {
            client.delete_topic(name.clone()).await?;
            context
                .output
                .print(&done("deleted", name), || format!("deleted topic {name} and its records"))
        }
    }
}
