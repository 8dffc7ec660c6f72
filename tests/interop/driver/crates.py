"""The sources of crates, by cargo."""

import json
import shutil
from pathlib import Path

from . import process
from .place import installed

MANIFEST = """[package]
name = "fetch"
version = "0.0.0"
edition = "2021"
[dependencies]
{name} = {{ version = "={version}", default-features = false }}
[workspace]
"""


def source(name, version, log):
    """A copy of a crate's sources, tests included, that may be built in."""
    process.need("cargo")

    def make(folder):
        project = folder / "fetch"
        (project / "src").mkdir(parents=True)
        (project / "src" / "lib.rs").touch()
        (project / "Cargo.toml").write_text(MANIFEST.format(name=name, version=version))
        process.must(["cargo", "fetch", "--quiet"], log, cwd=project)
        metadata = ["cargo", "metadata", "--quiet", "--format-version", "1", "--offline"]
        text = process.must(metadata, log, cwd=project)
        for package in json.loads(text[text.index("{") :])["packages"]:
            if package["name"] == name:
                shutil.copytree(Path(package["manifest_path"]).parent, folder / "source")

    return installed(f"crate-{name}-{version}", make) / "source"
