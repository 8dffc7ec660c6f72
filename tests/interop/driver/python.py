"""Virtual environments with pinned packages."""

import hashlib
import sys

from . import process
from .check import Missing
from .place import installed


def environment(name, packages, log):
    """The interpreter of a virtual environment that holds these packages."""
    if sys.version_info < (3, 11):
        raise Missing("needs Python 3.11 or newer")

    def make(folder):
        status, text = process.output([sys.executable, "-m", "venv", folder / "venv"], log)
        if status != 0:
            raise Missing("needs Python's venv module: " + text.strip()[-200:])
        pip = [folder / "venv" / "bin" / "python", "-m", "pip", "--disable-pip-version-check"]
        process.must([*pip, "install", "--quiet", *packages], log)

    # Another set of packages is another environment.
    digest = hashlib.sha256("\n".join(packages).encode()).hexdigest()[:8]
    return installed(f"{name}-{digest}", make) / "venv" / "bin" / "python"
