//! `link`.

use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use tidegate_types::LinkSpec;

use super::Context;
use crate::cli::{LinkAdd, LinkCommand, LinkInvite};
use crate::exit::{Exit, Failure};
use crate::invitation::InvitationFile;
use crate::output::{print_text, tell};
use crate::views::{LinkView, done, link_detail, link_table};

pub async fn run(context: &Context, command: &LinkCommand) -> Result<(), Failure> {
    match command {
        LinkCommand::Invite(args) => invite(context, args).await,
        LinkCommand::Add(args) => add(context, args).await,
        LinkCommand::List => {
            let links = context.connect().await?.list_links().await?;
            let links: Vec<_> = links.into_iter().map(LinkView::from).collect();
            context.output.print(&links, || link_table(&links))
        }
        LinkCommand::Status { name } => {
            let link = context.connect().await?.link_status(name.clone()).await?;
            let link = LinkView::from(link);
            context.output.print(&link, || link_detail(&link))
        }
        LinkCommand::Remove { name } => {
            context.connect().await?.remove_link(name.clone()).await?;
            context.output.print(&done("removed", name), || format!("removed link {name}"))
        }
    }
}

async fn invite(context: &Context, args: &LinkInvite) -> Result<(), Failure> {
    let address = args.address.as_ref().unwrap_or(&context.settings.client.server);
    if is_loopback(address) {
        tell(&format!(
            "warning: {address} reaches this site from this machine only; name another with --address"
        ));
    }
    // Before the certificate is issued, so that none is lost to a file that cannot be written.
    if let Some(path) = args.out.as_deref().filter(|path| path.exists()) {
        let message = format!("{} exists: move it away, or name another file", path.display());
        return Err(Failure::new(Exit::Failed, message));
    }
    let invitation = context.connect().await?.invite_site(args.site.clone()).await?;
    let file = InvitationFile::new(invitation, address.clone());
    match &args.out {
        None => print_text(&file.to_string()),
        Some(path) => {
            file.write(path).map_err(|error| Failure::of(Exit::Failed, &error))?;
            let (site, from) = (&file.site, &file.from);
            context.output.print(&done("written", path.display()), || {
                format!(
                    "invitation of site {from} for site {site}: {}\n\
                     there: tidegate link add {from} --invitation FILE --topic TOPIC",
                    path.display()
                )
            })
        }
    }
}

async fn add(context: &Context, args: &LinkAdd) -> Result<(), Failure> {
    let invitation = read_invitation(&args.invitation)?;
    let spec = LinkSpec {
        name: args.name.clone(),
        address: args.address.clone().unwrap_or(invitation.address),
        local_site: invitation.site,
        authority: invitation.authority,
        certificate: invitation.certificate,
        key: invitation.key,
        topics: args.topics.clone(),
    };
    let address = spec.address.clone();
    context.connect().await?.add_link(spec).await?;
    context.output.print(&done("added", &args.name), || {
        let (name, from) = (&args.name, &invitation.from);
        format!("added link {name} to site {from} at {address}: see `tidegate link status {name}`")
    })
}

fn read_invitation(path: &Path) -> Result<InvitationFile, Failure> {
    let read = if path == Path::new("-") {
        InvitationFile::read(io::stdin())
    } else {
        let file = File::open(path).map_err(|error| {
            Failure::of(Exit::Failed, &error).while_doing(format!("cannot read {}", path.display()))
        })?;
        InvitationFile::read(file)
    };
    read.map_err(|error| Failure::of(Exit::Failed, &error).while_doing(path.display()))
}

fn is_loopback(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_recognised_in_each_form() {
        for address in ["127.0.0.1:9640", "127.9.9.9:1", "[::1]:9640", "localhost:9640"] {
            assert!(is_loopback(address), "{address}");
        }
        for address in ["10.0.0.7:9640", "[2001:db8::1]:9640", "gw.example:9640"] {
            assert!(!is_loopback(address), "{address}");
        }
    }
}
