"""The broker under test: a node of ours, a real Kafka, or one that runs already.

Each suite gets a fresh one with an empty disk, so that no suite can spoil another's.
"""

import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

from . import process
from .check import Broken, Missing
from .place import CHECKOUT, HERE, cache

READY_LIMIT = 60
KAFKA_VERSION = "4.3.1"
PARTITIONS = 4
# The broker's, which some of the tests have written down. kafka.sh has it too.
NUMBER = 0


class Given:
    """A broker that somebody else started and will stop."""

    def __init__(self, bootstrap):
        self.kind = "given"
        self.bootstrap = bootstrap

    def start(self, logs, partitions, port=None):
        pass

    def stop(self):
        """Returns what was wrong with it, or nothing."""
        return ""


class Node:
    """A node of ours with its default settings, but for what the suites count on."""

    def __init__(self, binary):
        self.kind = "tidegate"
        self.binary = Path(binary).resolve()
        self.bootstrap = ""
        self._child = None
        self._place = None

    def start(self, logs, partitions, port=None):
        native, kafka = free_ports(2)
        self.bootstrap = f"127.0.0.1:{wanted(port) or kafka}"
        self._place = Path(tempfile.mkdtemp(prefix="tidegate-interop-"))
        self._log = logs / "node.log"
        environment = dict(
            os.environ, TIDEGATE_NODE=str(NUMBER), TIDEGATE_KAFKA_PARTITIONS=str(partitions)
        )
        with open(self._log, "ab") as log:
            self._child = subprocess.Popen(
                [self.binary, "serve", "--data", self._place / "data"]
                + ["--listen", f"127.0.0.1:{native}", "--kafka", self.bootstrap],
                cwd=self._place,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        ready = threading.Event()
        threading.Thread(target=self._read, args=(ready,), daemon=True).start()
        ready.wait(READY_LIMIT)
        if not self._ready:
            self.stop()
            raise Broken(f"the node was not ready in {READY_LIMIT} s: {tail(self._log)}")

    def _read(self, ready):
        """Takes all that the node prints, so that it never waits for a reader."""
        self._ready = False
        with open(self._log.with_name("node.out"), "a") as copy:
            for line in self._child.stdout:
                copy.write(line)
                copy.flush()
                if line.startswith("ready "):
                    self._ready = True
                    ready.set()
        ready.set()

    def stop(self):
        died = self._child.poll()
        status = process.stop(self._child)
        shutil.rmtree(self._place, ignore_errors=True)
        if died is not None:
            return f"the node ended by itself with {died}: {tail(self._log)}"
        panic = re.search(r"^.*panicked at.*$", self._log.read_text("utf-8", "replace"), re.M)
        if panic:
            return f"the node panicked: {panic.group(0).strip()}"
        if status is None:
            return "the node did not end within 30 s of SIGTERM"
        return (
            "" if status == 0 else f"the node ended with {status} after SIGTERM: {tail(self._log)}"
        )


class Kafka:
    """A real one-node Kafka, by kafka.sh."""

    def __init__(self):
        self.kind = "kafka"
        self.bootstrap = ""
        self._environment = {}
        self._place = None

    def start(self, logs, partitions, port=None):
        port = wanted(port) or adjacent_ports()
        self._place = Path(tempfile.mkdtemp(prefix="kafka-interop-"))
        self.bootstrap = f"127.0.0.1:{port}"
        self._environment = {
            "KAFKA_DATA": str(self._place),
            "KAFKA_PORT": str(port),
            "KAFKA_SETTINGS": f"num.partitions={partitions}",
        }
        self._logs = logs
        command, log = [HERE / "kafka.sh", "start"], logs / "kafka.log"
        if process.run(command, log, env=self._environment, limit=300, nice=0) != 0:
            self.stop()
            raise Broken(f"no Kafka: {tail(log)}")

    def stop(self):
        process.run([HERE / "kafka.sh", "stop"], self._logs / "kafka.log", env=self._environment)
        broker_log = self._place / "broker.log"
        if broker_log.exists():
            shutil.copy(broker_log, self._logs / "broker.log")
        shutil.rmtree(self._place, ignore_errors=True)
        return ""


def tool(broker, log, name, *arguments, limit=120, env=None):
    """One of Kafka's tools; returns its status and output."""
    return process.output([HERE / "kafka.sh", "tool", name, *arguments], log, env=env, limit=limit)


def binary():
    """The node to test: $TIDEGATE_BIN, or the release build, made if it is missing or old."""
    named = os.environ.get("TIDEGATE_BIN")
    if named:
        return named
    log = cache() / "logs" / "build.log"
    process.must(["cargo", "build", "--release", "-p", "tidegate"], log, cwd=CHECKOUT, limit=3600)
    target = Path(os.environ.get("CARGO_TARGET_DIR", CHECKOUT / "target"))
    return target / "release" / "tidegate"


def version(kind, path=None):
    """How the broker calls itself."""
    if kind == "kafka":
        return f"kafka {KAFKA_VERSION}"
    if kind == "tidegate":
        text = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
        return text.stdout.strip() or "tidegate"
    return kind


def wanted(port):
    """The port that a suite insists on, if it does."""
    if port is not None and not is_free(port):
        raise Missing(f"needs port {port}, which is taken")
    return port


def is_free(port):
    with socket.socket() as one:
        # As servers do: connections of an earlier one may still linger.
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", port))
            return True
        except (OSError, OverflowError):
            return False


def free_ports(count):
    """Ports on loopback that were free a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def adjacent_ports():
    """A free port whose successor is free too."""
    for _ in range(100):
        (port,) = free_ports(1)
        if is_free(port + 1):
            return port
    raise Broken("no two free ports side by side")


def tail(path, lines=5):
    """The last lines of a log, on one line."""
    try:
        return " / ".join(Path(path).read_text("utf-8", "replace").strip().splitlines()[-lines:])
    except OSError:
        return ""
