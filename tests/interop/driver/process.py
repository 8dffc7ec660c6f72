"""Child processes with a time limit, at a low priority, whose groups never outlive them."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from .check import Broken, Missing

TIMED_OUT = 124


def need(*tools):
    """Raises Missing, naming the tools that are not installed."""
    absent = [tool for tool in tools if shutil.which(tool) is None]
    if absent:
        raise Missing("needs " + ", ".join(absent))


def debian(*packages):
    """Installs Debian packages where we may; elsewhere says which are missing."""
    if shutil.which("dpkg-query") is None:
        raise Missing("needs the equivalents of Debian's " + ", ".join(packages))
    absent = [name for name in packages if not _installed(name)]
    if not absent:
        return
    if os.geteuid() != 0:
        raise Missing("needs Debian's " + ", ".join(absent) + ", and is not root to install them")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    subprocess.run(["apt-get", "update"], env=environment, check=False, **quiet)
    install = ["apt-get", "install", "-y", "--no-install-recommends", *absent]
    if subprocess.run(install, env=environment, check=False, **quiet).returncode != 0:
        raise Missing("apt-get could not install " + ", ".join(absent))


def _installed(package):
    query = ["dpkg-query", "-W", "-f=${Status}", package]
    return subprocess.run(query, capture_output=True, text=True, check=False).stdout.endswith(
        "ok installed"
    )


def run(command, log, cwd=None, env=None, limit=600, nice=10):
    """Runs a command, its output to the end of the file `log`. Returns its exit status.

    At the limit its whole process group is killed, and the status is TIMED_OUT.
    """
    environment = {**os.environ, **(env or {})}
    log = Path(log)
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab") as out:
        child = subprocess.Popen(
            ["nice", "-n", str(nice), *map(str, command)],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return child.wait(timeout=limit)
        except subprocess.TimeoutExpired:
            out.write(f"\nkilled: not done in {limit} s\n".encode())
            return TIMED_OUT
        finally:
            end_group(child)


def output(command, log, cwd=None, env=None, limit=600):
    """Runs a command; returns its exit status and all that it printed, which goes to `log` too."""
    log = Path(log)
    before = log.stat().st_size if log.exists() else 0
    status = run(command, log, cwd, env, limit)
    with open(log, "rb") as file:
        file.seek(before)
        return status, file.read().decode("utf-8", "replace")


def must(command, log, cwd=None, env=None, limit=1200):
    """Runs a command that has to succeed, as in an installation."""
    status, text = output(command, log, cwd, env, limit)
    if status != 0:
        tail = " / ".join(text.strip().splitlines()[-3:])
        raise Broken(f"{' '.join(map(str, command[:4]))} ended with {status}: {tail} (see {log})")
    return text


def end_group(child):
    """Ends whatever is left of a child's process group."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    child.wait()


def stop(child, limit=30):
    """Asks a process to end, ends it at the limit. Returns its status, None if it was killed."""
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
    began = time.monotonic()
    while child.poll() is None and time.monotonic() - began < limit:
        time.sleep(0.05)
    ended = child.poll()
    end_group(child)
    return ended
