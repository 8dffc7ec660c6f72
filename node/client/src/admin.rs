//! Each request as a method, with the answer that belongs to it.

use bytes::Bytes;
use tidegate_types::{
    Attachment, Hook, LinkName, LinkSpec, PartitionId, PluginHash, PluginName, SiteName,
    StartPosition, TopicConfig, TopicName,
};
use tidegate_wire::{
    AttachRequest, DryRunReport, DryRunRequest, GroupDescription, GroupList, InitProducer,
    InstallReport, Invitation, LinkStatus, NodeStatus, PluginDescription, ProducerIdentity,
    Request, Response, TopicDescription,
};

use crate::client::{Client, RequestError};

/// The answer due, or that another one came.
macro_rules! expect {
    ($answer:expr, $variant:path) => {
        match $answer {
            $variant(found) => Ok(found),
            other => Err(unexpected(&other)),
        }
    };
}

fn unexpected(response: &Response) -> RequestError {
    let mut kind = format!("{response:?}");
    let end = kind.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(kind.len());
    kind.truncate(end);
    RequestError::Protocol(format!("{kind} is not the answer to this request"))
}

fn done(response: Response) -> Result<(), RequestError> {
    match response {
        Response::Done => Ok(()),
        other => Err(unexpected(&other)),
    }
}

/// Requests. Each fails if the node refuses, is not reached, or does not answer in time.
impl Client {
    /// How the node is.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn status(&self) -> Result<NodeStatus, RequestError> {
        expect!(self.request(Request::Status).await?, Response::Status)
    }

    /// Makes a topic. With `if_not_exists`, an existing one is given instead of an error.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn create_topic(
        &self,
        name: TopicName,
        config: TopicConfig,
        if_not_exists: bool,
    ) -> Result<TopicDescription, RequestError> {
        let request = Request::CreateTopic { name, config, if_not_exists };
        expect!(self.request(request).await?, Response::Topic)
    }

    /// All topics.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn list_topics(&self) -> Result<Vec<TopicDescription>, RequestError> {
        expect!(self.request(Request::ListTopics).await?, Response::Topics)
    }

    /// One topic.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn describe_topic(&self, name: TopicName) -> Result<TopicDescription, RequestError> {
        expect!(self.request(Request::DescribeTopic(name)).await?, Response::Topic)
    }

    /// Deletes a topic and its records.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn delete_topic(&self, name: TopicName) -> Result<(), RequestError> {
        done(self.request(Request::DeleteTopic(name)).await?)
    }

    /// Changes settings of a topic, by name (see [`TopicConfig::SETTINGS`]); all of them or none.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn configure_topic(
        &self,
        name: TopicName,
        settings: Vec<(String, String)>,
    ) -> Result<TopicDescription, RequestError> {
        let request = Request::ConfigureTopic { name, settings };
        expect!(self.request(request).await?, Response::Topic)
    }

    /// Removes the records before `to` from one partition, or from all. Durable on return.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn trim_topic(
        &self,
        name: TopicName,
        partition: Option<PartitionId>,
        to: StartPosition,
    ) -> Result<TopicDescription, RequestError> {
        let request = Request::TrimTopic { name, partition, to };
        expect!(self.request(request).await?, Response::Topic)
    }

    /// Installs a plugin from the bytes of its component.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn install_plugin(
        &self,
        name: PluginName,
        component: impl Into<Bytes>,
    ) -> Result<InstallReport, RequestError> {
        let request = Request::InstallPlugin(name);
        let response = self.request_with_payload(request, component.into()).await?;
        expect!(response, Response::Installed)
    }

    /// All plugins.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn list_plugins(&self) -> Result<Vec<PluginDescription>, RequestError> {
        expect!(self.request(Request::ListPlugins).await?, Response::Plugins)
    }

    /// One plugin.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn show_plugin(&self, name: PluginName) -> Result<PluginDescription, RequestError> {
        expect!(self.request(Request::ShowPlugin(name)).await?, Response::Plugin)
    }

    /// Attaches a plugin to a topic, or changes how it is attached there.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn attach_plugin(&self, request: AttachRequest) -> Result<Attachment, RequestError> {
        expect!(self.request(Request::AttachPlugin(request)).await?, Response::Attached)
    }

    /// Detaches a plugin from a topic.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn detach_plugin(
        &self,
        topic: TopicName,
        hook: Hook,
        plugin: PluginName,
    ) -> Result<(), RequestError> {
        done(self.request(Request::DetachPlugin { topic, hook, plugin }).await?)
    }

    /// Goes back to the version and configuration that an attachment had before, or ends a trial.
    ///
    /// # Errors
    /// If it is not attached there, or had no other before.
    pub async fn rollback_plugin(
        &self,
        topic: TopicName,
        hook: Hook,
        plugin: PluginName,
    ) -> Result<Attachment, RequestError> {
        let request = Request::RollbackPlugin { topic, hook, plugin };
        expect!(self.request(request).await?, Response::Attached)
    }

    /// What a version of a plugin would make of records that are there. Nothing is written.
    ///
    /// # Errors
    /// If the topic, plugin or version is unknown, the configuration refused, or another such run
    /// is under way.
    pub async fn dry_run(&self, request: DryRunRequest) -> Result<DryRunReport, RequestError> {
        expect!(self.request(Request::DryRun(request)).await?, Response::DryRun)
    }

    /// Removes a plugin's version, or all of them, which must not be attached anywhere.
    ///
    /// # Errors
    /// If it is unknown or in use.
    pub async fn remove_plugin(
        &self,
        name: PluginName,
        hash: Option<PluginHash>,
    ) -> Result<(), RequestError> {
        done(self.request(Request::RemovePlugin { name, hash }).await?)
    }

    /// Lets another site copy its topics to this one: issues a certificate for it.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn invite_site(&self, site: SiteName) -> Result<Invitation, RequestError> {
        expect!(self.request(Request::InviteSite(site)).await?, Response::Invitation)
    }

    /// Begins a link to another site.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn add_link(&self, spec: LinkSpec) -> Result<(), RequestError> {
        done(self.request(Request::AddLink(spec)).await?)
    }

    /// All links.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn list_links(&self) -> Result<Vec<LinkStatus>, RequestError> {
        expect!(self.request(Request::ListLinks).await?, Response::Links)
    }

    /// One link.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn link_status(&self, name: LinkName) -> Result<LinkStatus, RequestError> {
        expect!(self.request(Request::LinkStatus(name)).await?, Response::Link)
    }

    /// Ends a link. What was copied stays at the other site.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn remove_link(&self, name: LinkName) -> Result<(), RequestError> {
        done(self.request(Request::RemoveLink(name)).await?)
    }

    /// All consumer groups.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn list_groups(&self) -> Result<GroupList, RequestError> {
        expect!(self.request(Request::ListGroups).await?, Response::Groups)
    }

    /// One consumer group.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn describe_group(&self, group: String) -> Result<GroupDescription, RequestError> {
        expect!(self.request(Request::DescribeGroup(group)).await?, Response::Group)
    }

    /// Moves a consumer group that has no members to another place in one partition of a topic, or
    /// in all. Durable on return.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn seek_group(
        &self,
        group: String,
        topic: TopicName,
        partition: Option<PartitionId>,
        to: StartPosition,
    ) -> Result<GroupDescription, RequestError> {
        let request = Request::SeekGroup { group, topic, partition, to };
        expect!(self.request(request).await?, Response::Group)
    }

    /// Deletes a consumer group that has no members, and its offsets.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn delete_group(&self, group: String) -> Result<(), RequestError> {
        done(self.request(Request::DeleteGroup(group)).await?)
    }

    /// A producer's identity for the raw lane; [`Client::producer`] gets its own.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn init_producer(
        &self,
        previous: Option<ProducerIdentity>,
    ) -> Result<ProducerIdentity, RequestError> {
        let request = Request::InitProducer(InitProducer { previous });
        expect!(self.request(request).await?, Response::Producer)
    }
}
