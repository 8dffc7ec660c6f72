//! A Tidegate node in this process, as the broker crate gives it.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use tidegate_broker::{Node, NodeConfig};
use tidegate_transport::Connection;
use tidegate_types::{Flush, NodeId, PluginName, SiteName, TopicConfig, TopicName, limits};
use tidegate_wire::{AttachRequest, Open, Request, Response};

use crate::{Failure, load};

/// A node and a connection to it.
pub struct BenchNode {
    node: Node,
    tls: PathBuf,
    /// To send requests and loads over.
    pub connection: Connection,
}

impl BenchNode {
    /// Starts a node in `dir`.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn start(dir: &Path) -> Result<BenchNode, Failure> {
        let node = Node::start(NodeConfig {
            data: dir.to_owned(),
            site: SiteName::new("bench")?,
            node: NodeId(0),
            listen: "127.0.0.1:0".parse()?,
            names: Vec::new(),
            reserve: limits::DEFAULT_RESERVE,
            groups: Default::default(),
            plugins: Default::default(),
        })
        .await?;
        let tls = dir.join("tls");
        let connection = load::connect(&node.address().to_string(), &tls).await?;
        Ok(BenchNode { node, tls, connection })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> String {
        self.node.address().to_string()
    }

    /// The folder with the certificates for its clients.
    #[must_use]
    pub fn tls(&self) -> &Path {
        &self.tls
    }

    /// Another connection.
    ///
    /// # Errors
    /// If the node is not reached.
    pub async fn connect(&self) -> Result<Connection, Failure> {
        load::connect(&self.address(), &self.tls).await
    }

    /// Asks once.
    ///
    /// # Errors
    /// If the node refuses.
    pub async fn ask(&self, request: Request, payload: Bytes) -> Result<Response, Failure> {
        let open = Open::Request(request);
        let (_sender, mut receiver) = self.connection.open(&open, &[payload]).await?;
        match receiver.recv::<Response>().await? {
            Some((Response::Failed(error), _)) => Err(error.into()),
            Some((response, _)) => Ok(response),
            None => Err("no answer".into()),
        }
    }

    /// Installs a plugin.
    ///
    /// # Errors
    /// If the node refuses.
    pub async fn install(
        &self,
        name: &str,
        component: impl Into<Bytes>,
    ) -> Result<PluginName, Failure> {
        let name = PluginName::new(name)?;
        self.ask(Request::InstallPlugin(name.clone()), component.into()).await?;
        Ok(name)
    }

    /// Attaches one.
    ///
    /// # Errors
    /// If the node refuses.
    pub async fn attach(&self, request: AttachRequest) -> Result<(), Failure> {
        self.ask(Request::AttachPlugin(request), Bytes::new()).await.map(drop)
    }

    /// Makes a topic of one partition.
    ///
    /// # Errors
    /// If the node refuses.
    pub async fn topic(&self, name: &str, flush: Flush) -> Result<TopicName, Failure> {
        let name = TopicName::new(name)?;
        let config = TopicConfig { flush, ..TopicConfig::default() };
        let request = Request::CreateTopic { name: name.clone(), config, if_not_exists: false };
        self.ask(request, Bytes::new()).await?;
        Ok(name)
    }

    /// Deletes a topic, so that rounds do not fill the disk.
    ///
    /// # Errors
    /// If the node refuses.
    pub async fn delete(&self, name: &TopicName) -> Result<(), Failure> {
        self.ask(Request::DeleteTopic(name.clone()), Bytes::new()).await.map(drop)
    }

    /// Stops the node.
    pub async fn stop(self) {
        self.connection.close(tidegate_transport::CloseCode::Done, "");
        self.node.shutdown().await;
    }
}
