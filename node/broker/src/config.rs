//! What a node needs to know to start.

use std::net::SocketAddr;
use std::path::PathBuf;

use tidegate_plugin::Backend;
use tidegate_types::{ByteSize, NodeId, Publisher, SiteName};

/// A node's settings, checked by whoever read them.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Everything the node keeps lies here: logs, metadata, plugins, certificates.
    pub data: PathBuf,
    /// The site that the node belongs to. Fixed at the first start.
    pub site: SiteName,
    /// The node's id in its site. Fixed at the first start.
    pub node: NodeId,
    /// Address of the native listener, UDP. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Names and addresses beside loopback that the node's certificate is valid for.
    pub names: Vec<String>,
    /// Disk space kept from the logs for metadata and deletes; at most a thirty-second part of the
    /// file system is taken.
    pub reserve: ByteSize,
    /// How consumer groups are coordinated.
    pub groups: tidegate_group::Config,
    /// How plugins run, and whose are let in.
    pub plugins: PluginConfig,
}

/// How plugins run, and whose are let in.
#[derive(Clone, Default, Debug)]
pub struct PluginConfig {
    /// How they are turned into something that runs.
    pub backend: Backend,
    /// Address space set aside for each running instance; 4 GiB where `None`.
    pub memory_reservation: Option<ByteSize>,
    /// Those whose signature counts.
    pub publishers: Vec<Publisher>,
    /// Whether a plugin that none of them signed is refused.
    pub require_signature: bool,
}
