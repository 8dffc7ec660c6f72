//! `topic`.

use tidegate_types::{LogPolicy, TopicConfig};

use super::Context;
use crate::cli::TopicCommand;
use crate::exit::Failure;
use crate::views::{TopicView, done, topic_detail, topic_table};

pub async fn run(context: &Context, command: &TopicCommand) -> Result<(), Failure> {
    let client = context.connect().await?;
    match command {
        TopicCommand::Create(args) => {
            let config = TopicConfig {
                partitions: args.partitions,
                segment: args.segment,
                flush: args.flush,
                policy: LogPolicy::default(),
            };
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
        TopicCommand::Delete { name } => {
            client.delete_topic(name.clone()).await?;
            context
                .output
                .print(&done("deleted", name), || format!("deleted topic {name} and its records"))
        }
    }
}
