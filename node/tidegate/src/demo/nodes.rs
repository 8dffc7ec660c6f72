//! Two real nodes: processes of this very program, each with a folder and certificates of its own.
//!
//! They live no longer than the demo: dropping [`Sites`] kills them, dropping [`Place`] removes
//! their folders unless they are to be kept. Their logs lie in `node.log` beside the data.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidegate_client::{Client, ClientConfig};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use crate::exit::{Exit, Failure};

/// The folder that is kept.
const KEPT: &str = "tidegate-demo";

/// A fresh node makes its certificates and is ready within a second; a busy machine gets more.
const READY: Duration = Duration::from_secs(30);

/// What is read of a node's first line.
const MAX_LINE: u64 = 4_096;

/// How much of a node's log is told when it fails.
const TAIL: u64 = 2_048;

/// The folder of the demo.
pub struct Place {
    path: PathBuf,
    keep: bool,
}

impl Place {
    /// Makes it: a new one among the temporary files, or `./tidegate-demo` to keep.
    ///
    /// # Errors
    /// If it cannot be made, or exists.
    pub fn make(keep: bool) -> Result<Place, Failure> {
        let path = if keep {
            let here = std::env::current_dir().map_err(|error| {
                Failure::of(Exit::Failed, &error).while_doing("cannot tell the current folder")
            })?;
            here.join(KEPT)
        } else {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos());
            std::env::temp_dir().join(format!("{KEPT}-{}-{now}", std::process::id()))
        };
        let mut builder = DirBuilder::new();
        // It holds private keys.
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        match builder.create(&path) {
            Ok(()) => Ok(Place { path, keep }),
            Err(error) if keep && error.kind() == io::ErrorKind::AlreadyExists => {
                Err(Failure::new(
                    Exit::Failed,
                    format!(
                        "{} exists, perhaps from an earlier demo: remove it, or run this elsewhere",
                        path.display()
                    ),
                ))
            }
            Err(error) => Err(Failure::of(Exit::Failed, &error)
                .while_doing(format!("cannot make {}", path.display()))),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        // A node that was just killed may still hold its last file.
        for _ in 0..10 {
            if fs::remove_dir_all(&self.path).is_ok() || !self.path.exists() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        eprintln!("warning: {} could not be removed", self.path.display());
    }
}

/// One site: a node in its own process.
pub struct Site {
    /// Its name.
    pub name: &'static str,
    /// Where it listens.
    pub address: String,
    /// The folder of its certificates.
    pub tls: PathBuf,
    log: PathBuf,
    child: Child,
}

/// The two sites of the demo.
pub struct Sites {
    /// Where records are taken in.
    pub edge: Site,
    /// Where they are copied to.
    pub region: Site,
}

impl Sites {
    /// Starts both and waits until they are ready.
    ///
    /// # Errors
    /// If one does not start; with the end of its log.
    pub async fn start(place: &Place) -> Result<Sites, Failure> {
        let (edge, region) =
            tokio::try_join!(Site::start(place, "edge"), Site::start(place, "region"))?;
        Ok(Sites { edge, region })
    }

    /// Fails if a node ended by itself.
    ///
    /// # Errors
    /// With the end of its log.
    pub fn check(&mut self) -> Result<(), Failure> {
        for site in [&mut self.edge, &mut self.region] {
            if let Ok(Some(status)) = site.child.try_wait() {
                return Err(site.failed(&format!("ended by itself ({status})")));
            }
        }
        Ok(())
    }

    /// Ends both.
    pub async fn stop(&mut self) {
        for site in [&mut self.edge, &mut self.region] {
            // Fails only where it has ended already.
            let _ = site.child.kill().await;
        }
    }
}

impl Site {
    async fn start(place: &Place, name: &'static str) -> Result<Site, Failure> {
        let doing = |what: &str, error: io::Error| {
            Failure::of(Exit::Failed, &error).while_doing(format!("cannot {what}"))
        };
        let data = place.path().join(name);
        fs::create_dir(&data).map_err(|error| doing("make the folder of a node", error))?;
        let log = data.join("node.log");
        let errors = File::create(&log).map_err(|error| doing("make the log of a node", error))?;
        let program = std::env::current_exe()
            .map_err(|error| doing("find the program that is running", error))?;

        let mut command = Command::new(program);
        command
            .args(["serve", "--output", "json", "--site", name, "--listen", "127.0.0.1:0"])
            // Another program of this machine may have Kafka's port.
            .args(["--kafka", "off"])
            .arg("--data")
            .arg(&data)
            // Away from a settings file that may lie here.
            .current_dir(&data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .kill_on_drop(true);
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("TIDEGATE_") {
                command.env_remove(variable);
            }
        }
        let mut child = command.spawn().map_err(|error| doing("start a node", error))?;
        let stdout = child.stdout.take();
        let tls = data.join("tls");
        let mut site = Site { name, address: String::new(), tls, log, child };
        let Some(stdout) = stdout else { return Err(site.failed("has no standard output")) };
        match tokio::time::timeout(READY, ready_line(stdout)).await {
            Ok(Some(address)) => site.address = address,
            Ok(None) => return Err(site.failed("ended before it was ready")),
            Err(_) => {
                return Err(site.failed(&format!("was not ready after {} s", READY.as_secs())));
            }
        }
        Ok(site)
    }

    /// A client of this site, with the certificates that the node made for itself.
    ///
    /// # Errors
    /// If the certificates cannot be read or the node is not reached.
    pub async fn client(&self) -> Result<Client, Failure> {
        let doing = |error: &dyn std::error::Error| {
            Failure::of(Exit::Failed, error).while_doing(format!("cannot reach the {}", self.name))
        };
        let config = ClientConfig::from_tls_dir(self.address.clone(), &self.tls)
            .map_err(|error| doing(&error))?;
        Client::connect(config).await.map_err(|error| doing(&error))
    }

    /// The flags with which the program talks to it.
    pub fn flags(&self) -> String {
        format!("--server {} --tls '{}'", self.address, self.tls.display())
    }

    fn failed(&self, how: &str) -> Failure {
        let mut message = format!("the node of site {} {how}", self.name);
        match tail(&self.log) {
            Ok(text) if !text.is_empty() => {
                message.push_str("; the end of its log:\n");
                message.push_str(&text);
            }
            Ok(_) => message.push_str("; its log is empty"),
            Err(error) => message.push_str(&format!("; its log cannot be read ({error})")),
        }
        Failure::new(Exit::Failed, message)
    }
}

/// The address in the line that a node prints when it is ready. What it prints later is read too,
/// so that it never waits for a reader.
async fn ready_line(stdout: ChildStdout) -> Option<String> {
    let mut stdout = BufReader::new(stdout);
    let address = loop {
        let mut line = String::new();
        match (&mut stdout).take(MAX_LINE).read_line(&mut line).await {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
        if let Some(address) = ready_address(&line) {
            break address;
        }
    };
    tokio::spawn(async move { tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await });
    Some(address)
}

/// `ready 127.0.0.1:9640`, or the same as JSON.
fn ready_address(line: &str) -> Option<String> {
    let line = line.trim();
    if let Some(address) = line.strip_prefix("ready ") {
        return Some(address.trim().to_owned());
    }
    let value: serde_json::Value = serde_json::from_str(line).ok()?;
    Some(value.get("ready")?.as_str()?.to_owned())
}

/// The last lines of a file.
fn tail(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_end();
    // The first line is whole only where all was read.
    let whole =
        if len > TAIL { text.split_once('\n').map_or(text, |(_, rest)| rest) } else { text };
    Ok(whole.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ready_node_tells_its_address_in_either_form() {
        for line in ["ready 127.0.0.1:4711\n", "{\"ready\":\"127.0.0.1:4711\"}\n"] {
            assert_eq!(ready_address(line).as_deref(), Some("127.0.0.1:4711"), "{line:?}");
        }
        for line in ["", "starting", "{}", "{\"ready\":7}", "already 1"] {
            assert_eq!(ready_address(line), None, "{line:?}");
        }
    }

    #[test]
    fn the_tail_of_a_log_is_whole_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.log");
        fs::write(&path, "one\ntwo\n").unwrap();
        assert_eq!(tail(&path).unwrap(), "one\ntwo");
        let long: String = (0..1_000).map(|n| format!("line {n}\n")).collect();
        fs::write(&path, long).unwrap();
        let text = tail(&path).unwrap();
        assert!(text.starts_with("line ") && text.ends_with("\nline 999"), "{text}");
        assert!(text.len() <= TAIL as usize);
    }

    #[test]
    fn a_temporary_place_goes_away() {
        let place = Place::make(false).unwrap();
        let path = place.path().to_owned();
        fs::write(path.join("file"), "x").unwrap();
        drop(place);
        assert!(!path.exists());
    }
}
