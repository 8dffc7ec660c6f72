//! Starting and stopping: the one place that knows all parts.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tidegate_env::{Clock, Disk, RealDisk, SystemClock};
use tidegate_log::{LogStore, StoreConfig};
use tidegate_metadata::{MetadataStore, NodeRecord};
use tidegate_plugin::{HostConfig, PluginHost};
use tidegate_transport::{
    Authority, CloseCode, Identity, Listener, LocalNode, ServerTls, init_tls_dir,
};
use tidegate_types::{ByteSize, Timestamp, TopicName, limits};
use tokio::sync::{Mutex, Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::counters::Counters;
use crate::derive::{self, Derive};
use crate::groups::{Driver, Groups, Inbox};
use crate::hook::BackRow;
use crate::internal::is_internal;
use crate::links::Links;
use crate::producer_ids::ProducerIds;
use crate::topic::Topics;
use crate::{NodeConfig, opening, plugins, session};

/// How long a stopping node waits for its sessions.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be made or used.
    #[error("cannot use the data folder {}", path.display())]
    Data {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another process serves from it.
    #[error("another tidegate serves from {}: stop it, or use another folder", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The metadata cannot be opened.
    #[error("cannot open the metadata")]
    Metadata(#[from] tidegate_metadata::OpenError),
    /// The logs cannot be opened.
    #[error("cannot open the logs")]
    Logs(#[source] tidegate_log::OpenError),
    /// One topic's logs cannot be opened.
    #[error("cannot open topic {topic}")]
    Topic {
        /// The topic.
        topic: String,
        /// Why.
        source: tidegate_log::OpenError,
    },
    /// The plugin engine does not start.
    #[error("cannot start the plugin engine")]
    Plugins(#[from] tidegate_plugin::HostError),
    /// The certificates cannot be made or read.
    #[error("cannot use the certificates in {}", path.display())]
    Tls {
        /// Their folder.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] tidegate_transport::BindError),
    /// The address that was bound cannot be told.
    #[error("cannot tell the listener's address")]
    Address {
        /// What the system says.
        source: io::Error,
    },
}

/// Everything that sessions and gateways share.
pub struct Broker {
    pub(crate) config: NodeConfig,
    pub(crate) address: SocketAddr,
    pub(crate) started: Timestamp,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) authority: Authority,
    pub(crate) metadata: MetadataStore,
    pub(crate) logs: LogStore,
    pub(crate) topics: Arc<Topics>,
    pub(crate) plugins: PluginHost,
    pub(crate) back_row: BackRow,
    pub(crate) links: Links,
    pub(crate) groups: Groups,
    pub(crate) derive: Derive,
    /// One dry run at a time: they take a core each.
    pub(crate) dry_runs: Arc<Semaphore>,
    pub(crate) producer_ids: ProducerIds,
    pub(crate) counters: Counters,
    /// Bytes that may still be handed to the log's writer.
    pub(crate) backlog: Arc<Semaphore>,
    /// Held while topics, plugins and links change, so that metadata and what runs stay in line.
    pub(crate) changing: Arc<Mutex<()>>,
    pub(crate) listener: Listener,
    /// What callers are told at their hello.
    pub(crate) local: LocalNode,
    stop: watch::Sender<bool>,
}

/// A node at work. Dropping it without [`Node::shutdown`] leaves its tasks running.
pub struct Node {
    broker: Arc<Broker>,
    accepting: JoinHandle<()>,
    groups: JoinHandle<()>,
    derive: JoinHandle<()>,
}

impl Node {
    /// Opens the data folder, making it if need be, and begins to serve.
    ///
    /// The first start makes the site's authority and the certificates of the node and of a first
    /// client in `<data>/tls`.
    ///
    /// # Errors
    /// Says what could not be opened, and nothing is left running.
    pub async fn start(config: NodeConfig) -> Result<Node, StartError> {
        let opening = tokio::task::spawn_blocking(move || open(config));
        let (broker, inbox, derive_inbox) = match opening.await {
            Ok(opened) => opened?,
            Err(stopped) => std::panic::resume_unwind(stopped.into_panic()),
        };
        for spec in broker.metadata.image().links() {
            broker.links.start(&broker, spec.as_ref().clone());
        }
        let derive = tokio::spawn(derive::Driver::new(broker.clone(), derive_inbox).run());
        let groups = tokio::spawn(Driver::new(broker.clone(), inbox).run());
        let accepting = tokio::spawn(accept(broker.clone()));
        Ok(Node { broker, accepting, groups, derive })
    }

    /// What gateways work on.
    #[must_use]
    pub fn broker(&self) -> &Arc<Broker> {
        &self.broker
    }

    /// Where the native listener is bound.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.broker.address
    }

    /// Tells all sessions to end, and waits for nothing.
    pub fn stop(&self) {
        self.broker.stop.send_replace(true);
    }

    /// Stops taking connections, lets sessions say goodbye, and closes the logs.
    pub async fn shutdown(self) {
        self.stop();
        self.broker.links.stop_all().await;
        if tokio::time::timeout(STOP_TIMEOUT, self.accepting).await.is_err() {
            tracing::warn!("some sessions did not end in time");
        }
        match tokio::time::timeout(STOP_TIMEOUT, self.groups).await {
            Ok(Ok(())) => {}
            Ok(Err(failed)) => tracing::error!(%failed, "the group coordinator failed"),
            Err(_) => tracing::warn!("the view of the groups was not written in time"),
        }
        let deriving = async {
            self.broker.derive.join().await;
            if let Err(failed) = self.derive.await {
                tracing::error!(%failed, "keeping derivations failed");
            }
        };
        if tokio::time::timeout(STOP_TIMEOUT, deriving).await.is_err() {
            tracing::warn!("derivations did not end in time");
        }
        // The last one to let go closes the logs, which waits for the disk.
        let closing = tokio::task::spawn_blocking(move || drop(self.broker));
        if let Err(stopped) = closing.await {
            tracing::error!(%stopped, "closing the logs failed");
        }
    }
}

impl Broker {
    /// How many partitions a topic has that plugins may write to, if there is such a one.
    pub(crate) fn writable_partitions(&self, name: &TopicName) -> Option<u32> {
        let topic = self.topics.get(name).filter(|topic| topic.mirror_of.is_none())?;
        (!is_internal(name.as_str())).then(|| topic.config().partitions)
    }

    /// What the node was told at its start.
    #[must_use]
    pub fn config(&self) -> &NodeConfig {
        &self.config
    }

    /// The node's topics.
    #[must_use]
    pub fn topics(&self) -> &Topics {
        &self.topics
    }

    /// The node's group coordinator.
    #[must_use]
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// The node's clock.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// The site's authority, which signed the certificates of its clients and nodes.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The disk under the logs: what is free of it, and how large it is, in bytes.
    #[must_use]
    pub fn disk_space(&self) -> Option<(u64, u64)> {
        self.logs.stats().space.map(|space| (space.free.get(), space.total.get()))
    }

    /// Ends when the node is told to stop.
    pub async fn stopping(&self) {
        let mut stop = self.stop.subscribe();
        // The sender lives as long as the broker.
        _ = stop.wait_for(|stop| *stop).await;
    }
}

/// Opens everything, in the order in which things need each other. Blocks.
fn open(config: NodeConfig) -> Result<(Arc<Broker>, Inbox, derive::Inbox), StartError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);

    disk.create_dir_all(&config.data).map_err(|source| unusable(&config.data, source))?;
    let topics = Arc::new(Topics::default());
    let advanced = topics.clone();
    let store = StoreConfig {
        // The broker holds senders back before this; whoever comes around it is refused.
        backlog: ByteSize::bytes(2 * limits::MAX_APPEND_BACKLOG.get()),
        reserve: config.reserve,
        on_advance: Some(Arc::new(move |at, _| advanced.advanced(at))),
        ..StoreConfig::default()
    };
    // First, since it keeps other processes out of the data folder.
    let logs =
        LogStore::open(disk.clone(), clock.clone(), &config.data, store).map_err(|e| match e {
            tidegate_log::OpenError::Locked { .. } => {
                StartError::InUse { path: config.data.clone() }
            }
            other => StartError::Logs(other),
        })?;
    let (authority, server_tls) = open_tls(&config)?;
    let started = clock.wall();
    let record = NodeRecord { site: config.site.clone(), node: config.node, created: started };
    let metadata = MetadataStore::open(&config.data.join("metadata.redb"), &record)?;
    let plugins = PluginHost::new(HostConfig {
        backend: config.plugins.backend,
        memory_reservation: config.plugins.memory_reservation,
        ..HostConfig::new(config.data.join("plugins"))
    })?;

    let image = metadata.image();
    let found = logs.logs_on_disk().map_err(|source| unusable(&config.data, source))?;
    opening::settle_deletes(&logs, &image, &found)
        .map_err(|source| unusable(&config.data, source))?;
    for topic in opening::open_all(&logs, &image, &found)? {
        topics.insert(topic);
    }

    let listener = Listener::bind(config.listen, &server_tls)?;
    let address = listener.local_addr().map_err(|source| StartError::Address { source })?;
    let local = LocalNode {
        node: config.node,
        site: config.site.clone(),
        software: crate::SOFTWARE.to_owned(),
    };
    let (groups, inbox) = Groups::new();
    let (derive, derive_inbox) = Derive::new();
    let broker = Arc::new(Broker {
        address,
        started,
        clock,
        disk,
        authority,
        metadata,
        logs,
        topics,
        plugins,
        back_row: BackRow::default(),
        links: Links::default(),
        groups,
        derive,
        dry_runs: Arc::new(Semaphore::new(1)),
        producer_ids: ProducerIds::default(),
        counters: Counters::default(),
        backlog: Arc::new(Semaphore::new(limits::MAX_APPEND_BACKLOG.as_usize())),
        changing: Arc::default(),
        listener,
        local,
        stop: watch::Sender::new(false),
        config,
    });
    // Before anything comes or leaves: no record may pass a plugin unseen.
    for topic in broker.topics.all() {
        plugins::refresh(&broker, &topic);
    }
    Ok((broker, inbox, derive_inbox))
}

fn unusable(data: &Path, source: io::Error) -> StartError {
    StartError::Data { path: data.to_owned(), source }
}

fn open_tls(config: &NodeConfig) -> Result<(Authority, ServerTls), StartError> {
    let path = config.data.join("tls");
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| StartError::Tls {
        path: path.clone(),
        source,
    };
    let authority = init_tls_dir(&path, &config.site, config.node, &config.names)
        .map_err(|e| failed(Box::new(e)))?;
    let identity = Identity::node_from_dir(&path).map_err(|e| failed(Box::new(e)))?;
    let tls = ServerTls::new(&identity).map_err(|e| failed(Box::new(e)))?;
    Ok((authority, tls))
}

/// Takes connections until the node stops, then waits for their sessions.
async fn accept(broker: Arc<Broker>) {
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            incoming = broker.listener.accept() => {
                let Some(incoming) = incoming else { break };
                sessions.spawn(session::serve(broker.clone(), incoming));
            }
            Some(_) = sessions.join_next(), if !sessions.is_empty() => {}
            () = broker.stopping() => break,
        }
    }
    while sessions.join_next().await.is_some() {}
    broker.listener.close(CloseCode::ShuttingDown, "the node is shutting down");
    broker.listener.wait_idle().await;
}
