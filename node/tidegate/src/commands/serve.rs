//! `serve`: runs a node until it is told to stop.

use tidegate_broker::Node;
use tidegate_kafka::{Gateway, GatewayConfig};
use tracing_subscriber::EnvFilter;

use super::Context;
use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::output::{Output, note, print_text};
use crate::settings::{LogFormat, LogSettings};

pub async fn run(context: &Context) -> Result<(), Failure> {
    start_log(&context.settings.log)?;
    raise_file_limit();
    let mut interrupt = Interrupt::listen()?;
    let config = context.settings.node.clone();
    let (site, data) = (config.site.clone(), config.data.clone());
    let node = Node::start(config).await.map_err(|error| Failure::of(Exit::Failed, &error))?;
    let gateway = match context.settings.kafka.clone().map(|kafka| start_kafka(&node, kafka)) {
        None => None,
        Some(Ok(gateway)) => Some(gateway),
        Some(Err(failure)) => {
            node.shutdown().await;
            return Err(failure);
        }
    };
    let address = node.address();
    let kafka = gateway.as_ref().map(|gateway| gateway.address().to_string());
    tracing::info!(%site, %address, kafka, data = %data.display(), "serving");
    // One line for whoever started this node: it may be used from now on, at this address.
    print_text(&match context.output {
        Output::Table => format!("ready {address}\n"),
        Output::Json => format!("{{\"ready\":\"{address}\"}}\n"),
    })?;
    interrupt.wait().await;
    tracing::info!("stopping");
    note("stopping; interrupt again to stop at once");
    tokio::select! {
        () = stop(node, gateway) => {
            tracing::info!("stopped");
            Ok(())
        }
        () = interrupt.wait() => {
            Err(Failure::new(Exit::Failed, "stopped before the logs were closed; they are checked at the next start"))
        }
    }
}

fn start_kafka(node: &Node, config: GatewayConfig) -> Result<Gateway, Failure> {
    Gateway::start(node.broker(), config).map_err(|error| Failure::of(Exit::Failed, &error))
}

/// Ends the sessions of all listeners, then closes the logs.
async fn stop(node: Node, gateway: Option<Gateway>) {
    node.stop();
    if let Some(gateway) = gateway {
        gateway.stopped().await;
    }
    node.shutdown().await;
}

/// Asks for as many open files as this process may have: every partition's log holds one, and the
/// usual limit is 1,024.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}

/// Begins to write the node's log to standard error.
pub fn start_log(settings: &LogSettings) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&settings.level)
        .map_err(|error| Failure::of(Exit::Failed, &error).while_doing("cannot use log.level"))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    let started = match settings.format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().try_init(),
    };
    started.map_err(|error| Failure::of(Exit::Failed, &*error).while_doing("cannot start the log"))
}
