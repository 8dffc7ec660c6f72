//! `group`.

use tidegate_types::PartitionId;

use super::Context;
use crate::cli::GroupCommand;
use crate::exit::Failure;
use crate::views::{GroupView, GroupsView, done, group_detail, group_table};

pub async fn run(context: &Context, command: &GroupCommand) -> Result<(), Failure> {
    let client = context.connect().await?;
    match command {
        GroupCommand::List => {
            let groups = GroupsView::from(client.list_groups().await?);
            groups.warn();
            context.output.print(&groups.groups, || group_table(&groups))
        }
        GroupCommand::Describe { group } => {
            let group = GroupView::from(client.describe_group(group.clone()).await?);
            group.warn();
            context.output.print(&group, || group_detail(&group))
        }
        GroupCommand::Seek(args) => {
            let (name, topic) = (args.group.clone(), args.topic.clone());
            let partition = args.partition.map(PartitionId);
            let group = client.seek_group(name, topic, partition, args.to).await?;
            let group = GroupView::from(group);
            let topic = args.topic.as_str();
            context.output.print(&group, || group.places_in(topic, args.partition))
        }
        GroupCommand::Delete { group } => {
            client.delete_group(group.clone()).await?;
            context
                .output
                .print(&done("deleted", group), || format!("deleted group {group} and its offsets"))
        }
    }
}
