//! Shape of `link`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use tidegate_types::{LinkName, SiteName, TopicName};

use crate::settings::host_and_port;

/// What to do with links.
#[derive(Subcommand, Debug)]
pub enum LinkCommand {
    /// Let another site copy its topics to this one: write an invitation for it
    Invite(LinkInvite),
    /// Copy topics to the site that wrote an invitation
    Add(LinkAdd),
    /// List all links
    List,
    /// Show a link and how far each partition is copied
    Status {
        /// The link
        name: LinkName,
    },
    /// End a link; what was copied stays there
    Remove {
        /// The link
        name: LinkName,
    },
}

/// Options of `link invite`.
#[derive(Args, Debug)]
pub struct LinkInvite {
    /// The site to invite; its topics appear here as SITE/TOPIC
    pub site: SiteName,
    /// Address under which that site reaches this one [default: the one of --server]
    #[arg(long, value_name = "HOST:PORT", value_parser = host_and_port)]
    pub address: Option<String>,
    /// Write the invitation to this file, readable by its owner only [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Options of `link add`.
#[derive(Args, Debug)]
pub struct LinkAdd {
    /// Name of the link on this site
    pub name: LinkName,
    /// The invitation; - reads standard input
    #[arg(long, value_name = "FILE")]
    pub invitation: PathBuf,
    /// Topic to copy; repeatable, in order of priority
    #[arg(long = "topic", value_name = "TOPIC", required = true)]
    pub topics: Vec<TopicName>,
    /// Address of the other site [default: the one in the invitation]
    #[arg(long, value_name = "HOST:PORT", value_parser = host_and_port)]
    pub address: Option<String>,
}
