//! What each command does. One file a command; what they share stands here.

mod bench;
mod config;
mod consume;
mod demo;
mod group;
mod init;
mod link;
mod log;
mod plugin;
mod produce;
mod serve;
mod signing;
mod status;
mod topic;

use std::io;
use std::path::Path;
use std::time::Duration;

use clap::CommandFactory;
use tidegate_client::{Client, ClientConfig, ConnectError, RequestError};
use tidegate_transport::ConnectError as DialError;
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::cli::{Cli, Command, ConfigCommand, Global};
use crate::exit::{Exit, Failure};
use crate::output::{Output, is_closed_pipe, stdout_failure, tell};
use crate::settings::{self, ClientSettings, Key, Origins, Settings, SettingsError, Source};

/// What every command gets.
struct Context {
    output: Output,
    settings: Settings,
    /// The connection, once a command needed it.
    client: OnceCell<Client>,
}

/// How long a node may take to compile a plugin: a large one takes minutes on a small device.
const INSTALL_TIMEOUT: Duration = Duration::from_secs(300);

/// How long a command waits, once it is done, for the node to know that it went.
const GOODBYE_TIMEOUT: Duration = Duration::from_millis(500);

/// Does what the command line says.
pub fn run(cli: &Cli) -> Result<(), Failure> {
    let load = |file: Option<&Path>, flags| load(&cli.global, file, flags);
    match &cli.command {
        Command::Completions { shell } => completions(*shell),
        Command::Config(ConfigCommand::Check { file }) => {
            config::check(cli.global.output, &cli.global, file.as_deref())
        }
        Command::Config(ConfigCommand::Show { config }) => {
            config::show(&load(config.as_deref(), Vec::new())?)
        }
        Command::Init(args) => {
            // The file that it is to write need not be there.
            let file = args.node.config.as_deref().filter(|path| path.exists());
            init::run(&load(file, args.node.flags())?, args)
        }
        Command::Serve(args) => {
            let context = load(args.node.config.as_deref(), args.flags())?;
            block_on(serve::run(&context))
        }
        Command::Log(command) => log::run(&load(None, Vec::new())?, command),
        Command::Bench(command) => {
            let context = load(None, Vec::new())?;
            block_on(bench::run(&context, command))
        }
        Command::Demo(args) => {
            let context = load(None, Vec::new())?;
            block_on(demo::run(&context, args))
        }
        command => {
            let context = load(None, Vec::new())?;
            block_on(async {
                let result = talk(&context, command).await;
                if let Some(client) = context.client.get() {
                    // A node that no longer answers must not hold up the result.
                    let _ = timeout(GOODBYE_TIMEOUT, client.close()).await;
                }
                result
            })
        }
    }
}

/// The commands that talk to a node.
async fn talk(context: &Context, command: &Command) -> Result<(), Failure> {
    match command {
        Command::Topic(command) => topic::run(context, command).await,
        Command::Produce(args) => produce::run(context, args).await,
        Command::Consume(args) => consume::run(context, args).await,
        Command::Plugin(command) => plugin::run(context, command).await,
        Command::Link(command) => link::run(context, command).await,
        Command::Group(command) => group::run(context, command).await,
        Command::Status => status::run(context).await,
        Command::Serve(_)
        | Command::Init(_)
        | Command::Config(_)
        | Command::Bench(_)
        | Command::Demo(_)
        | Command::Log(_)
        | Command::Completions { .. } => Ok(()), // `run` has them.
    }
}

fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::of(Exit::Failed, &error).while_doing("cannot start threads"))?
        .block_on(work)
}

/// Reads the settings for one command.
fn load(
    global: &Global,
    file: Option<&Path>,
    flags: Vec<(Key, Vec<String>)>,
) -> Result<Context, Failure> {
    let settings = settings::load(&origins(global, file, flags))?;
    for (name, meant) in settings::misspelt_variables(std::env::vars().map(|(name, _)| name)) {
        tell(&format!("warning: {name} is no setting; did you mean {meant}?"));
    }
    Ok(Context { output: global.output, settings, client: OnceCell::new() })
}

fn origins<'a>(
    global: &Global,
    file: Option<&'a Path>,
    flags: Vec<(Key, Vec<String>)>,
) -> Origins<'a> {
    let mut all = global.flags();
    all.extend(flags);
    Origins { file, variable: &|name| std::env::var(name).ok(), flags: all }
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Failure {
        let only_flags = match &error {
            SettingsError::File(_) => false,
            SettingsError::Invalid(problems) => {
                problems.iter().all(|problem| matches!(problem.source, Source::Flag(_)))
            }
        };
        Failure::of(if only_flags { Exit::Usage } else { Exit::Failed }, &error)
    }
}

impl Context {
    /// The client, connected. The first call's timeout holds for all.
    async fn connect(&self) -> Result<&Client, Failure> {
        self.connect_for(self.settings.client.timeout).await
    }

    /// As [`Context::connect`], for a request that may take that long to be answered.
    async fn connect_for(&self, request_timeout: Duration) -> Result<&Client, Failure> {
        self.client.get_or_try_init(|| connect(&self.settings.client, request_timeout)).await
    }
}

async fn connect(settings: &ClientSettings, request_timeout: Duration) -> Result<Client, Failure> {
    for file in ["ca.pem", "client.pem", "client.key"] {
        let path = settings.tls.join(file);
        if let Err(error) = std::fs::metadata(&path) {
            let message = format!(
                "no client certificate: cannot read {} ({error}); start a node here with \
                 `tidegate serve`, or name the folder of its certificates with --tls",
                path.display()
            );
            return Err(Failure::new(Exit::Failed, message));
        }
    }
    let mut config = ClientConfig::from_tls_dir(settings.server.clone(), &settings.tls)
        .map_err(|error| Failure::of(Exit::Failed, &error))?;
    config.connect_timeout = settings.timeout;
    config.request_timeout = request_timeout;
    config.software = concat!("tidegate/", env!("CARGO_PKG_VERSION")).to_owned();
    Ok(Client::connect(config).await?)
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Failure {
        let exit = match &error {
            ConnectError::Tls(_) => Exit::Failed,
            ConnectError::Dial(error) => dial_exit(error),
        };
        Failure::of(exit, &error)
    }
}

/// The exit code of a node that was not reached.
fn dial_exit(error: &DialError) -> Exit {
    match error {
        DialError::NotAuthorized { .. } | DialError::OtherRole { .. } => Exit::Denied,
        DialError::Refused { error } => Exit::of_code(error.code),
        _ => Exit::Unreachable,
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Failure {
        Failure::of(request_exit(&error), &error)
    }
}

fn request_exit(error: &RequestError) -> Exit {
    match error {
        RequestError::Refused(body) => Exit::of_code(body.code),
        RequestError::Unreachable(error) => dial_exit(error),
        RequestError::Lost(_) | RequestError::TimedOut { .. } => Exit::Unreachable,
        RequestError::Protocol(_) | RequestError::Invalid(_) => Exit::Failed,
    }
}

fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    // Into memory first: the generator panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "tidegate", &mut script);
    match io::Write::write_all(&mut io::stdout(), &script) {
        Err(error) if !is_closed_pipe(&error) => Err(stdout_failure(&error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use tidegate_transport::Lost;
    use tidegate_wire::{ErrorBody, ErrorCode};

    #[test]
    fn what_the_client_meets_has_its_exit_code() {
        let refused = |code| RequestError::Refused(ErrorBody::new(code, "no"));
        let waited = Duration::from_secs(1);
        let no_answer = || DialError::TimedOut { address: "h:1".into(), waited };
        let not_authorized = || DialError::NotAuthorized { source: Lost::ClosedHere };
        for (error, exit) in [
            (refused(ErrorCode::UnknownTopic), Exit::NotFound),
            (refused(ErrorCode::NotAuthorized), Exit::Denied),
            (refused(ErrorCode::TopicExists), Exit::Failed),
            (RequestError::Unreachable(Arc::new(no_answer())), Exit::Unreachable),
            (RequestError::Unreachable(Arc::new(not_authorized())), Exit::Denied),
            (RequestError::TimedOut { waited }, Exit::Unreachable),
            (RequestError::Lost(Lost::TimedOut), Exit::Unreachable),
            (RequestError::Protocol("x".into()), Exit::Failed),
        ] {
            let told = error.to_string();
            let failure = Failure::from(error);
            assert_eq!(failure.exit(), exit, "{told}");
        }
        assert_eq!(Failure::from(ConnectError::Dial(no_answer())).exit(), Exit::Unreachable);
        assert_eq!(Failure::from(ConnectError::Dial(not_authorized())).exit(), Exit::Denied);
    }
}
