//! One node as a process of its own.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tidegate_client::{Client, ClientConfig};
use tidegate_types::SiteName;
use tokio::sync::watch;

use crate::{Cli, PATIENCE, program};

/// Lines of a node's log that are kept for a failing test.
const LINES_KEPT: usize = 400;

/// A node: its data folder and its address, which outlive its process. Dropping it kills it.
pub struct Node {
    site: SiteName,
    address: SocketAddr,
    kafka: Option<SocketAddr>,
    data: PathBuf,
    variables: Vec<(&'static str, String)>,
    process: Option<Process>,
    said: Arc<Mutex<VecDeque<String>>>,
    _folder: TempDir,
}

struct Process {
    child: Child,
    ready: watch::Receiver<Progress>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Progress {
    Starting,
    Ready,
    Ended,
}

/// A port of loopback that is free now, for UDP and TCP. Below the ports that systems hand out by themselves,
/// so that no socket takes it while its node is down.
///
/// # Panics
/// If none is free.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = std::process::id() as u16 % 97 * 100;
    for _ in 0..10_000 {
        let port = 20_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, port));
        if udp.is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no port between 20000 and 29999 is free");
}

impl Node {
    /// Starts a node of its own site with an empty data folder, and waits until it serves.
    pub async fn start(site: &str) -> Node {
        let mut node = Node::new(site);
        node.restart().await;
        node
    }

    /// A node that is not started yet.
    ///
    /// # Panics
    /// If there is no place for its data.
    #[must_use]
    pub fn new(site: &str) -> Node {
        let folder = tempfile::Builder::new()
            .prefix(&format!("tidegate-{site}-"))
            .tempdir()
            .expect("a temporary folder");
        Node {
            site: site.parse().expect("a site's name"),
            address: (Ipv4Addr::LOCALHOST, free_port()).into(),
            kafka: None,
            variables: Vec::new(),
            data: folder.path().join("data"),
            process: None,
            said: Arc::default(),
            _folder: folder,
        }
    }

    /// A node that keeps its data in `data`, which outlives it, and is not started yet.
    #[must_use]
    pub fn at(site: &str, data: &Path) -> Node {
        let mut node = Node::new(site);
        node.data = data.to_owned();
        node
    }

    /// Gives it a listener for Kafka's clients, from its next start on.
    #[must_use]
    pub fn with_kafka(mut self) -> Node {
        self.kafka = Some((Ipv4Addr::LOCALHOST, free_port()).into());
        self
    }

    /// The same beyond loopback: on every interface, which wants certificates.
    #[must_use]
    pub fn with_kafka_beyond_loopback(mut self) -> Node {
        self.kafka = Some((Ipv4Addr::UNSPECIFIED, free_port()).into());
        self
    }

    /// Sets a variable of its environment, from its next start on.
    #[must_use]
    pub fn with_variable(mut self, name: &'static str, value: impl ToString) -> Node {
        self.variables.push((name, value.to_string()));
        self
    }

    /// Where it listens for Kafka's clients.
    ///
    /// # Panics
    /// If it was not told to.
    #[must_use]
    pub fn kafka(&self) -> SocketAddr {
        self.kafka.expect("a node with a Kafka listener")
    }

    /// The number of its process, for what the system tells of it.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(|process| process.child.id())
    }

    /// Its site.
    #[must_use]
    pub fn site(&self) -> &SiteName {
        &self.site
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Starts the process and does not wait for it.
    ///
    /// # Panics
    /// If it runs already, or does not start.
    pub fn spawn(&mut self) {
        assert!(self.process.is_none(), "site {} is running", self.site);
        let mut command = Command::new(program());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TIDEGATE_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .args(["serve", "--site", self.site.as_str(), "--listen", &self.address.to_string()])
            .arg("--kafka")
            .arg(self.kafka.map_or_else(|| "off".to_owned(), |address| address.to_string()))
            .arg("--data")
            .arg(&self.data)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self._folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let (told, ready) = watch::channel(Progress::Starting);
        let out = child.stdout.take().expect("a pipe was asked for");
        let expected = format!("ready {}", self.address);
        std::thread::spawn(move || watch_output(out, &expected, &told));
        let err = child.stderr.take().expect("a pipe was asked for");
        let said = self.said.clone();
        std::thread::spawn(move || keep_lines(err, &said));
        self.process = Some(Process { child, ready });
    }

    /// Waits until the started process serves.
    ///
    /// # Panics
    /// If it ends instead, or takes too long.
    pub async fn ready(&mut self) {
        let process = self.process.as_mut().expect("the node was started");
        let waiting = process.ready.wait_for(|progress| *progress != Progress::Starting);
        let outcome = tokio::time::timeout(PATIENCE, waiting).await;
        match outcome.map(|progress| progress.map(|progress| progress.clone())) {
            Ok(Ok(Progress::Ready)) => {}
            Ok(_) => panic!("site {} ended instead of serving:\n{}", self.site, self.log()),
            Err(_) => panic!("site {} does not serve after {PATIENCE:?}", self.site),
        }
    }

    /// Starts it, and waits until it serves.
    pub async fn restart(&mut self) {
        self.spawn();
        self.ready().await;
    }

    /// Kills it with SIGKILL: nothing is flushed, closed or said.
    ///
    /// # Panics
    /// If it is not running.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("the node is running");
        process.child.kill().expect("a child can be killed");
        process.child.wait().expect("a child can be waited for");
    }

    /// Asks it to stop with SIGTERM; gives how it ended and how long that took.
    ///
    /// # Panics
    /// If it is not running, or does not stop in time.
    pub async fn stop(&mut self) -> (ExitStatus, std::time::Duration) {
        let begun = Instant::now();
        self.signal(Signal::TERM);
        let mut process = self.process.take().expect("the node is running");
        let ended = crate::eventually("the node to stop", async || {
            process.child.try_wait().expect("a child can be waited for").ok_or("still up".into())
        })
        .await;
        (ended, begun.elapsed())
    }

    /// Freezes it: it keeps its sockets, and says and hears nothing.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().expect("the node is running");
        let pid = Pid::from_child(&process.child);
        kill_process(pid, signal).expect("a child can be signalled");
    }

    /// A client with the site's first certificate.
    ///
    /// # Panics
    /// If the node is not reached.
    pub async fn client(&self) -> Client {
        let config = ClientConfig::from_tls_dir(self.address.to_string(), self.data.join("tls"))
            .expect("the site's certificates");
        // A node that was just started, or is busy, may need a second call.
        crate::eventually("a client's connection", async || {
            Client::connect(config.clone()).await.map_err(|error| {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                format!("{error}: {}", cause.unwrap_or_default())
            })
        })
        .await
    }

    /// Commands that talk to this node.
    #[must_use]
    pub fn cli(&self) -> Cli {
        Cli::new(self._folder.path())
            .with("TIDEGATE_SERVER", self.address)
            .with("TIDEGATE_TLS", self.data.join("tls").display())
            .with("TIDEGATE_TIMEOUT", "60s")
    }

    /// The last lines of its log.
    #[must_use]
    pub fn log(&self) -> String {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            _ = process.child.kill();
            _ = process.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- the last words of site {}\n{}---", self.site, self.log());
        }
    }
}

fn watch_output(out: impl Read, expected: &str, told: &watch::Sender<Progress>) {
    for line in BufReader::new(out).lines() {
        let Ok(line) = line else { break };
        if line == expected {
            told.send_replace(Progress::Ready);
        }
    }
    told.send_replace(Progress::Ended);
}

fn keep_lines(err: impl Read, said: &Mutex<VecDeque<String>>) {
    for line in BufReader::new(err).lines() {
        let Ok(line) = line else { break };
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() == LINES_KEPT {
            said.pop_front();
        }
        said.push_back(line);
    }
}
