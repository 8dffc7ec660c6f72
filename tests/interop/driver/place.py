"""The cache folder: what was installed, once per version, and the logs of the last run.

<cache>/installed/<name>-<version>/    whole once it holds `.complete`
<cache>/logs/<suite>/                  of the last run
"""

import contextlib
import fcntl
import os
import shutil
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
CHECKOUT = HERE.parent.parent


def cache():
    """The cache folder, which $TIDEGATE_INTEROP_CACHE may name."""
    named = os.environ.get("TIDEGATE_INTEROP_CACHE")
    return Path(named).resolve() if named else CHECKOUT / "target" / "interop"


@contextlib.contextmanager
def locked(name):
    """Holds a lock of this name in the cache: two runs may share it."""
    folder = cache() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / name, "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def installed(name, make):
    """The folder of one installation. `make(folder)` fills it if it is not whole."""
    folder = cache() / "installed" / name
    stamp = folder / ".complete"
    with locked("install-" + name):
        if not stamp.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            make(folder)
            stamp.touch()
    return folder


def logs(suite):
    """The folder of a suite's logs."""
    folder = cache() / "logs" / suite
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def fresh_logs(suite):
    """The same, emptied: a run starts."""
    shutil.rmtree(cache() / "logs" / suite, ignore_errors=True)
    return logs(suite)
