//! Brokers as processes of their own: started, killed, started again on what they had stored.

use std::io::{BufRead, BufReader, ErrorKind};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;
use tidegate_bench::{Load, Stop, Target};
use tidegate_bench_common::Failure;

use crate::host;
use crate::setup::Setup;

/// Longest time for a broker to start or to end.
const PATIENCE: Duration = Duration::from_secs(120);

/// Between two looks at one that starts.
const LOOK: Duration = Duration::from_millis(2);

/// Which broker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// See [`toy`](crate::toy).
    Toy,
    /// A real Kafka.
    Kafka,
    /// This project's.
    Tidegate,
}

/// A broker at work. Ends with this value.
#[derive(Debug)]
pub struct Broker {
    /// Which one.
    pub kind: Kind,
    /// `host:port` of its Kafka listener.
    pub address: String,
    /// Its process.
    pub pid: u32,
    dir: TempDir,
    child: Option<Child>,
    kafka_port: u16,
    stop: Stop,
}

impl Broker {
    /// Starts one in a fresh folder, and waits until it answers; `None`, with a word about why, if
    /// this machine does not have it.
    ///
    /// # Errors
    /// If it does not start, or somebody asks to stop.
    pub fn start(kind: Kind, setup: &Setup, stop: &Stop) -> Result<Option<Broker>, Failure> {
        if let Some(missing) = missing(kind, setup) {
            eprintln!("left out: {missing}");
            return Ok(None);
        }
        let mut broker = Broker {
            kind,
            address: String::new(),
            pid: 0,
            dir: setup.fresh()?,
            child: None,
            kafka_port: setup.kafka_port,
            stop: stop.clone(),
        };
        broker.launch()?;
        Ok(Some(broker))
    }

    /// A load on it with defaults.
    #[must_use]
    pub fn load(&self) -> Load {
        Load::new(Target::Kafka { address: self.address.clone() })
    }

    /// Kills it, as a power cut would, and starts it again on what it had stored. Gives the time
    /// from its start to its first answers.
    ///
    /// # Errors
    /// If it does not come back.
    pub fn kill_and_start(&mut self) -> Result<Duration, Failure> {
        host::signal(self.pid, Signal::KILL)?;
        self.wait()?;
        self.launch()
    }

    /// Starts its process and waits until it answers.
    fn launch(&mut self) -> Result<Duration, Failure> {
        let started = Instant::now();
        match self.kind {
            Kind::Toy => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg("--toy").arg("--dir").arg(self.dir.path());
                let (child, address) = ready(command)?;
                self.adopt(child, address);
            }
            Kind::Tidegate => {
                let binary = tidegate().ok_or("there is no tidegate any more")?;
                let [native, kafka] = free_ports()?;
                let mut command = Command::new(binary);
                command.arg("serve").arg("--data").arg(self.dir.path().join("data"));
                command.args(["--listen", &format!("127.0.0.1:{native}")]);
                command.args(["--kafka", &format!("127.0.0.1:{kafka}")]);
                let (child, _) = ready(command)?;
                self.adopt(child, format!("127.0.0.1:{kafka}"));
            }
            Kind::Kafka => {
                self.address = format!("127.0.0.1:{}", self.kafka_port);
                // The script waits for answers by itself; so does what follows, but more closely.
                self.forget_pid()?;
                let mut script = self.script("start").stdout(Stdio::null()).spawn()?;
                let answered = self.wait_for_answers(started, &mut script);
                if answered.is_err() {
                    // It would wait for answers still.
                    script.kill()?;
                }
                let status = script.wait()?;
                // Known before anything fails, so that it is ended all the same.
                if let Ok(pid) = std::fs::read_to_string(self.pid_file()) {
                    self.pid = pid.trim().parse()?;
                }
                return match answered {
                    Ok(_) if !status.success() => {
                        Err(format!("kafka.sh start ended with {status}").into())
                    }
                    answered => answered,
                };
            }
        }
        let Some(mut child) = self.child.take() else {
            return Err("a broker without a process".into());
        };
        let answered = self.wait_for_answers(started, &mut child);
        self.child = Some(child);
        answered
    }

    /// Where the script keeps Kafka's process.
    fn pid_file(&self) -> PathBuf {
        self.dir.path().join("pid")
    }

    /// Lets the script forget a process that was killed: where nobody has waited for it, it is still
    /// there to be signalled.
    fn forget_pid(&self) -> Result<(), Failure> {
        match std::fs::remove_file(self.pid_file()) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn adopt(&mut self, child: Child, address: String) {
        self.pid = child.id();
        self.child = Some(child);
        self.address = address;
    }

    /// Waits for its first answers about versions and topics; gives how long that took. Ends with
    /// what starts it, if that fails.
    fn wait_for_answers(&self, started: Instant, child: &mut Child) -> Result<Duration, Failure> {
        loop {
            match tidegate_bench::admin::probe(&self.address, PATIENCE) {
                Ok(()) => return Ok(started.elapsed()),
                Err(error) if started.elapsed() > PATIENCE => return Err(error.into()),
                Err(_) if self.stop.is_stopped() => return Err("interrupted".into()),
                Err(_) => std::thread::sleep(LOOK),
            }
            if let Some(status) = child.try_wait()?
                && !status.success()
            {
                return Err(format!("{:?} ended with {status}", self.kind).into());
            }
        }
    }

    fn script(&self, what: &str) -> Command {
        let mut command = Command::new(script());
        command.arg(what);
        command.env("KAFKA_DATA", self.dir.path());
        command.env("KAFKA_PORT", self.kafka_port.to_string());
        // Topics are deleted after each turn; what a minute of them leaves would fill the disk.
        command.env("KAFKA_SETTINGS", "log.segment.delete.delay.ms=1000");
        command
    }

    /// Waits until its process is gone.
    fn wait(&mut self) -> Result<(), Failure> {
        if let Some(mut child) = self.child.take() {
            child.wait()?;
        }
        let began = Instant::now();
        while host::lives(self.pid) {
            if began.elapsed() > PATIENCE {
                return Err(format!("process {} does not end", self.pid).into());
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // What it has stored goes too, so that there is nothing to be closed with care. Its folder
        // is removed only once nobody writes there.
        if self.pid != 0 && host::signal(self.pid, Signal::KILL).is_ok() {
            _ = self.wait();
        }
    }
}

/// What this machine lacks for it.
fn missing(kind: Kind, setup: &Setup) -> Option<String> {
    match kind {
        Kind::Toy => None,
        Kind::Tidegate if tidegate().is_none() => Some(
            "Tidegate, which is not built (cargo build --release, or $TIDEGATE_BIN)".to_owned(),
        ),
        Kind::Tidegate => None,
        Kind::Kafka if !setup.kafka => Some("Kafka, on demand".to_owned()),
        Kind::Kafka => {
            let runs = |program: &str, argument: &str| {
                let mut command = Command::new(program);
                command.arg(argument).stdout(Stdio::null()).stderr(Stdio::null());
                command.status().is_ok_and(|status| status.success())
            };
            if !runs("java", "-version") {
                return Some("Kafka, since there is no Java".to_owned());
            }
            // The first time it is downloaded.
            let got = Command::new(script()).arg("get").status();
            match got {
                Ok(status) if status.success() => None,
                _ => Some(format!("Kafka, since {} get failed", script().display())),
            }
        }
    }
}

/// The project's script for a real Kafka.
fn script() -> PathBuf {
    workspace().join("tests/interop/kafka.sh")
}

/// The root of the workspace.
#[must_use]
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// The program to measure.
fn tidegate() -> Option<PathBuf> {
    let named = std::env::var_os("TIDEGATE_BIN").map(PathBuf::from);
    let built = || {
        let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        target.unwrap_or_else(|| workspace().join("target")).join("release/tidegate")
    };
    Some(named.unwrap_or_else(built)).filter(|binary| binary.is_file())
}

/// Starts a program that tells `ready ADDRESS`; gives the address.
fn ready(mut command: Command) -> Result<(Child, String), Failure> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let out = child.stdout.take().ok_or("the child has no stdout")?;
    let mut lines = BufReader::new(out).lines();
    let address = lines.by_ref().find_map(|line| {
        let line = line.ok()?;
        line.strip_prefix("ready ").map(|rest| rest.trim().to_owned())
    });
    match address {
        Some(address) => {
            // Whatever else it tells is taken from it, or it would stop once the pipe is full.
            std::thread::spawn(move || lines.for_each(drop));
            Ok((child, address))
        }
        None => {
            // It closed its stdout; if it is not gone, it will be.
            _ = child.kill();
            let status = child.wait()?;
            Err(format!("{command:?} ended with {status} before it was ready").into())
        }
    }
}

/// Two ports that were free a moment ago.
fn free_ports() -> Result<[u16; 2], Failure> {
    let free = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
    Ok([free[0].local_addr()?.port(), free[1].local_addr()?.port()])
}
