//! Requests that are asked and answered once.

use std::sync::Arc;

use bytes::Bytes;
use tidegate_log::LogStore;
use tidegate_metadata::{Command, Outcome, Rejection, SubmitError};
use tidegate_transport::Role;
use tidegate_types::{
    Hook, Incarnation, PluginName, ProducerEpoch, ProducerId, SiteName, TopicConfig, TopicId,
    TopicName, limits,
};
use tidegate_wire::{
    ErrorBody, ErrorCode, InitProducer, Invitation, PartitionDescription, ProducerIdentity,
    Request, Response, TopicDescription,
};

use crate::internal::refuse_internal;
use crate::topic::{Partition, Topic};
use crate::{Broker, dry_run, error, groups, links, plugins, settings};

/// Answers one request; the payload is what came with it.
pub(crate) async fn answer(broker: &Arc<Broker>, request: Request, payload: Bytes) -> Response {
    let broker = broker.clone();
    let handling = whole(async move { handle(&broker, request, payload).await });
    handling.await.unwrap_or_else(Response::Failed)
}

/// Does something to its end, even if whoever asked for it goes away meanwhile: a change that
/// stopped halfway would leave the metadata and what runs apart.
pub(crate) async fn whole<T: Send + 'static>(
    work: impl Future<Output = Result<T, ErrorBody>> + Send + 'static,
) -> Result<T, ErrorBody> {
    tokio::spawn(work).await.map_err(|stopped| error::internal("a change", &stopped))?
}

async fn handle(
    broker: &Arc<Broker>,
    request: Request,
    payload: Bytes,
) -> Result<Response, ErrorBody> {
    Ok(match request {
        Request::Status => Response::Status(broker.status()),
        Request::InitProducer(init) => Response::Producer(init_producer(broker, init).await?),
        Request::CreateTopic { name, config, if_not_exists } => {
            let topic = broker.make_topic(name, config, if_not_exists).await?;
            Response::Topic(describe(broker, &topic))
        }
        Request::ListTopics => {
            Response::Topics(broker.topics.all().iter().map(|t| describe(broker, t)).collect())
        }
        Request::DescribeTopic(name) => {
            let topic = find(broker, &name)?;
            Response::Topic(describe(broker, &topic))
        }
        Request::DeleteTopic(name) => {
            broker.delete_topic(&name).await?;
            Response::Done
        }
        Request::ConfigureTopic { name, settings } => {
            let topic = settings::configure(broker, name, &settings).await?;
            Response::Topic(describe(broker, &topic))
        }
        Request::TrimTopic { name, partition, to } => {
            let topic = settings::trim(broker, &name, partition, to).await?;
            Response::Topic(describe(broker, &topic))
        }
        Request::InstallPlugin(name) => {
            Response::Installed(plugins::install(broker, name, payload).await?)
        }
        Request::ListPlugins => Response::Plugins(plugins::list(broker)),
        Request::ShowPlugin(name) => Response::Plugin(plugins::show(broker, &name)?),
        Request::AttachPlugin(attach) => Response::Attached(plugins::attach(broker, attach).await?),
        Request::RollbackPlugin { topic, hook, plugin } => {
            Response::Attached(plugins::rollback(broker, &topic, hook, &plugin).await?)
        }
        Request::RemovePlugin { name, hash } => {
            plugins::remove(broker, name, hash).await?;
            Response::Done
        }
        Request::DetachPlugin { topic, hook, plugin } => {
            detach(broker, topic, hook, plugin).await?;
            Response::Done
        }
        Request::DryRun(request) => Response::DryRun(dry_run::dry_run(broker, request).await?),
        Request::InviteSite(site) => Response::Invitation(invite(broker, site)?),
        Request::AddLink(spec) => {
            let _guard = broker.changing.lock().await;
            for topic in &spec.topics {
                refuse_internal(topic, "copied to another site")?;
            }
            if spec.topics.is_empty() {
                let message = format!("link {} has no topics: name at least one", spec.name);
                return Err(ErrorBody::new(ErrorCode::InvalidRequest, message));
            }
            links::check(&spec)?;
            broker.submit_command(Command::AddLink(spec.clone())).await?;
            broker.links.start(broker, spec);
            Response::Done
        }
        Request::ListLinks => Response::Links(broker.links.statuses()),
        Request::LinkStatus(name) => {
            Response::Link(broker.links.status(&name).ok_or_else(|| error::unknown_link(&name))?)
        }
        Request::RemoveLink(name) => {
            let _guard = broker.changing.lock().await;
            broker.submit_command(Command::RemoveLink { name: name.clone() }).await?;
            broker.links.stop(&name).await;
            Response::Done
        }
        Request::ListGroups => Response::Groups(groups::list(broker).await?),
        Request::DescribeGroup(group) => Response::Group(groups::describe(broker, group).await?),
        Request::SeekGroup { group, topic, partition, to } => {
            Response::Group(groups::seek(broker, group, &topic, partition, to).await?)
        }
        Request::DeleteGroup(group) => {
            groups::delete(broker, group).await?;
            Response::Done
        }
    })
}

pub(crate) fn find(broker: &Broker, name: &TopicName) -> Result<Arc<Topic>, ErrorBody> {
    broker.topics.get(name).ok_or_else(|| error::unknown_topic(name))
}

/// A topic that is to be made.
pub(crate) struct NewTopic {
    pub(crate) name: TopicName,
    pub(crate) id: TopicId,
    pub(crate) config: TopicConfig,
    pub(crate) mirror_of: Option<SiteName>,
    pub(crate) incarnations: Vec<Incarnation>,
}

impl NewTopic {
    pub(crate) fn of_this_site(name: TopicName, config: TopicConfig) -> NewTopic {
        let (id, incarnations) = (TopicId::random(), lives(config.partitions));
        NewTopic { name, id, config, mirror_of: None, incarnations }
    }
}

/// How many partitions a topic lacks to have `total`: one at least.
///
/// # Errors
/// If it cannot have so many, or lacks none.
pub(crate) fn missing_partitions(topic: &Topic, total: u32) -> Result<u32, ErrorBody> {
    let (name, has) = (&topic.name, topic.config().partitions);
    if let Some(site) = &topic.mirror_of {
        let message = format!("{name} mirrors site {site}: it grows when its source does");
        return Err(ErrorBody::new(ErrorCode::ReadOnly, message));
    }
    let Some(more) = total.checked_sub(has).filter(|more| *more > 0) else {
        let message = format!("topic {name} has {has} partitions: it can only have more");
        return Err(ErrorBody::new(ErrorCode::InvalidRequest, message));
    };
    if total > limits::MAX_PARTITIONS_PER_TOPIC {
        let max = limits::MAX_PARTITIONS_PER_TOPIC;
        let message = format!("topic {name} cannot have {total} partitions: at most {max}");
        return Err(ErrorBody::new(ErrorCode::InvalidRequest, message));
    }
    Ok(more)
}

/// The lives that so many new logs begin, unlike those of any others.
fn lives(count: u32) -> Vec<Incarnation> {
    let (life, _) = TopicId::random().0.as_u64_pair();
    (0..u64::from(count)).map(|n| Incarnation(life ^ n)).collect()
}

impl Broker {
    /// Makes a topic of this site; durable on return. With `if_not_exists`, one that exists is as
    /// good.
    ///
    /// # Errors
    /// If it exists, its settings are not possible, or the name is the node's own.
    pub async fn make_topic(
        self: &Arc<Self>,
        name: TopicName,
        config: TopicConfig,
        if_not_exists: bool,
    ) -> Result<Arc<Topic>, ErrorBody> {
        refuse_internal(&name, "made by anyone but the node")?;
        let broker = self.clone();
        whole(async move {
            let _guard = broker.changing.lock().await;
            if if_not_exists && let Some(topic) = broker.topics.get(&name) {
                return Ok(topic);
            }
            broker.create_topic(NewTopic::of_this_site(name, config)).await
        })
        .await
    }

    /// Gives a topic partitions until it has `total`; durable on return. Links that copy it begin
    /// anew.
    ///
    /// # Errors
    /// If there is no such topic, it has as many or more, or it is a mirror.
    pub async fn grow_topic(
        self: &Arc<Self>,
        name: &TopicName,
        total: u32,
    ) -> Result<Arc<Topic>, ErrorBody> {
        refuse_internal(name, "given more partitions")?;
        let (broker, name) = (self.clone(), name.clone());
        whole(async move { broker.grow(&name, total).await }).await
    }

    async fn grow(self: &Arc<Self>, name: &TopicName, total: u32) -> Result<Arc<Topic>, ErrorBody> {
        let guard = self.changing.lock().await;
        let topic = find(self, name)?;
        let more = missing_partitions(&topic, total)?;
        self.add_partitions(&topic, lives(more)).await?;
        drop(guard);
        self.links.restart(self, name).await;
        Ok(topic)
    }

    /// Adds partitions that begin these lives: first in the metadata, then on disk. Call with
    /// `changing` held.
    pub(crate) async fn add_partitions(
        self: &Arc<Self>,
        topic: &Arc<Topic>,
        incarnations: Vec<Incarnation>,
    ) -> Result<(), ErrorBody> {
        let (name, partitions) = (topic.name.clone(), topic.config().partitions);
        let command = Command::AddPartitions { name: name.clone(), partitions, incarnations };
        let (image, _) = self.submit_command(command).await?;
        let grown = image.topic(&name).cloned().ok_or_else(|| error::unknown_topic(&name))?;
        let config = grown.config.clone();
        let (broker, skip) = (self.clone(), partitions as usize);
        let opening = tokio::task::spawn_blocking(move || broker.open_new_logs(&grown, skip));
        let logs = opening
            .await
            .map_err(|e| error::internal("opening the new partitions' logs", &e))?
            .map_err(|e| error::internal("opening the new partitions' logs", &e))?;
        self.topics.grow(topic, logs);
        topic.configure(config);
        self.derive.refresh(self, topic);
        Ok(())
    }

    /// Deletes a topic: its logs are doomed, then it leaves the metadata, then they go. Whatever a
    /// crash leaves of them goes at the next start.
    ///
    /// # Errors
    /// If there is no such topic, a link copies it, or it is the node's own.
    pub async fn delete_topic(self: &Arc<Self>, name: &TopicName) -> Result<(), ErrorBody> {
        refuse_internal(name, "deleted")?;
        let (broker, name) = (self.clone(), name.clone());
        whole(async move {
            let _guard = broker.changing.lock().await;
            let id = find(&broker, &name)?.id;
            with_logs(&broker, "announcing the delete", move |logs| logs.doom(id)).await?;
            let command = Command::DeleteTopic { name: name.clone() };
            if let Err(refused) = broker.submit_command(command).await {
                with_logs(&broker, "taking the delete back", move |logs| logs.spare(id)).await?;
                return Err(refused);
            }
            if let Some(topic) = broker.topics.remove(&name) {
                broker.derive.refresh(&broker, &topic);
            }
            let doing = "deleting the topic's logs";
            with_logs(&broker, doing, move |logs| logs.delete_topic(id)).await
        })
        .await
    }

    /// A producer id that nobody had before.
    ///
    /// # Errors
    /// If it cannot be set aside durably.
    pub async fn take_producer_id(self: &Arc<Self>) -> Result<ProducerId, ErrorBody> {
        self.producer_ids.take(self).await
    }

    /// Makes a topic: first in the metadata, then on disk. Call with `changing` held.
    pub(crate) async fn create_topic(
        self: &Arc<Self>,
        new: NewTopic,
    ) -> Result<Arc<Topic>, ErrorBody> {
        let name = new.name.clone();
        let image = self
            .submit_command(Command::CreateTopic {
                name: new.name,
                id: new.id,
                config: new.config,
                mirror_of: new.mirror_of,
                incarnations: new.incarnations,
            })
            .await?
            .0;
        let made = image.topic(&name).cloned().ok_or_else(|| error::unknown_topic(&name))?;
        // A mirror has its source's id: what is left of one deleted before is not the new one's.
        let id = new.id;
        with_logs(self, "clearing the topic's folder", move |logs| match logs.is_doomed(id) {
            Ok(true) => logs.delete_topic(id).map_err(std::io::Error::other),
            checked => checked.map(drop),
        })
        .await?;
        let broker = self.clone();
        let opening = tokio::task::spawn_blocking(move || broker.open_topic(&made));
        let topic = opening
            .await
            .map_err(|e| error::internal("opening the topic's logs", &e))?
            .map_err(|e| error::internal("opening the topic's logs", &e))?;
        self.topics.insert(topic.clone());
        Ok(topic)
    }

    /// Changes the metadata; the change is durable on return.
    pub(crate) async fn submit_command(
        self: &Arc<Self>,
        command: Command,
    ) -> Result<(Arc<tidegate_metadata::Image>, Outcome), ErrorBody> {
        let broker = self.clone();
        let submitting = tokio::task::spawn_blocking(move || broker.metadata.submit(&command));
        match submitting.await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(SubmitError::Rejected(rejection))) => {
                Err(ErrorBody::new(rejection_code(&rejection), rejection.to_string()))
            }
            Ok(Err(full @ SubmitError::DiskFull { .. })) => {
                Err(ErrorBody::retriable(ErrorCode::DiskFull, full.to_string()))
            }
            Ok(Err(failure @ SubmitError::Write { .. })) => {
                let error = error::internal("changing the metadata", &failure);
                Err(ErrorBody { written: true, ..error })
            }
            Ok(Err(failure)) => Err(error::internal("changing the metadata", &failure)),
            Err(stopped) => Err(error::internal("changing the metadata", &stopped)),
        }
    }
}

fn rejection_code(rejection: &Rejection) -> ErrorCode {
    match rejection {
        Rejection::TopicExists { .. } | Rejection::TopicIdExists { .. } => ErrorCode::TopicExists,
        Rejection::UnknownTopic { .. } => ErrorCode::UnknownTopic,
        Rejection::ReadOnly { .. } => ErrorCode::ReadOnly,
        Rejection::UnknownPlugin { .. } | Rejection::UnknownPluginVersion { .. } => {
            ErrorCode::UnknownPlugin
        }
        Rejection::PluginInUse { .. } => ErrorCode::PluginInUse,
        Rejection::UnknownAttachment { .. } => ErrorCode::UnknownAttachment,
        Rejection::LinkExists { .. } => ErrorCode::LinkExists,
        Rejection::UnknownLink { .. } => ErrorCode::UnknownLink,
        _ => ErrorCode::InvalidRequest,
    }
}

/// Does something to the logs, off the async threads.
pub(crate) async fn with_logs<E: std::error::Error + Send + 'static>(
    broker: &Arc<Broker>,
    doing: &str,
    work: impl FnOnce(&LogStore) -> Result<(), E> + Send + 'static,
) -> Result<(), ErrorBody> {
    let broker = broker.clone();
    match tokio::task::spawn_blocking(move || work(&broker.logs)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(failure)) => Err(error::internal(doing, &failure)),
        Err(stopped) => Err(error::internal(doing, &stopped)),
    }
}

async fn detach(
    broker: &Arc<Broker>,
    topic: TopicName,
    hook: Hook,
    plugin: PluginName,
) -> Result<(), ErrorBody> {
    let _guard = broker.changing.lock().await;
    let running = find(broker, &topic)?;
    broker.submit_command(Command::Detach { topic, hook, plugin }).await?;
    plugins::refresh(broker, &running);
    Ok(())
}

fn invite(broker: &Broker, site: SiteName) -> Result<Invitation, ErrorBody> {
    if site == broker.config.site {
        let message = format!("this is site {site}: a site does not link to itself");
        return Err(ErrorBody::new(ErrorCode::InvalidRequest, message));
    }
    let role = Role::Link { site: broker.config.site.clone(), remote: site.clone() };
    let issued = broker
        .authority
        .issue(&role)
        .map_err(|e| error::internal("issuing the link's certificate", &e))?;
    Ok(Invitation {
        site,
        from: broker.config.site.clone(),
        authority: broker.authority.certificate_pem().to_owned(),
        certificate: issued.certificate,
        key: issued.key,
    })
}

async fn init_producer(
    broker: &Arc<Broker>,
    init: InitProducer,
) -> Result<ProducerIdentity, ErrorBody> {
    if let Some(previous) = init.previous
        && let Some(epoch) = previous.epoch.get().checked_add(1).filter(|epoch| *epoch > 0)
    {
        return Ok(ProducerIdentity { id: previous.id, epoch: ProducerEpoch(epoch) });
    }
    let id = broker.take_producer_id().await?;
    Ok(ProducerIdentity { id, epoch: ProducerEpoch(0) })
}

pub(crate) fn describe(broker: &Broker, topic: &Topic) -> TopicDescription {
    TopicDescription {
        name: topic.name.clone(),
        id: topic.id,
        config: TopicConfig::clone(&topic.config()),
        mirror_of: topic.mirror_of.clone(),
        attachments: broker.metadata.image().attachments_of(&topic.name).to_vec(),
        partitions: topic.partitions().iter().map(|p| describe_partition(p)).collect(),
    }
}

fn describe_partition(partition: &Partition) -> PartitionDescription {
    let log = &partition.log;
    let offsets = log.offsets();
    PartitionDescription {
        partition: partition.at.partition,
        incarnation: log.incarnation(),
        log_start: offsets.start,
        high_watermark: partition.high_watermark(),
        durable: offsets.durable,
        log_end: offsets.end,
        leader_epoch: offsets.last_epoch,
        bytes: log.bytes().get(),
        segments: log.segments() as u64,
        sealed: log.sealed_reason(),
        damage: log.damage().iter().map(|range| (range.from, range.end)).collect(),
    }
}
