"""kafkajs, the client for Node.js: checks of ours that use it as its users do."""

import re
import shutil
import subprocess

from driver import process, script
from driver.check import Missing
from driver.place import HERE, installed

NAME = "kafkajs"
VERSION = "2.2.4"
SUMMARY = "JavaScript: admin, groups, idempotence, codecs, seeking"
IN_CI = True


def packages(log):
    """The folder whose node_modules has the client."""
    process.need("node", "npm")
    text = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"v(\d+)", text)
    if not found or int(found.group(1)) < 18:
        raise Missing(f"needs Node.js 18 or newer, found {text.strip()}")

    def make(folder):
        (folder / "package.json").write_text('{"name": "interop", "private": true}\n')
        quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--silent"]
        wanted = [f"kafkajs@{VERSION}", "kafkajs-snappy@1.1.0"]
        process.must(["npm", "install", *quiet, *wanted], log, cwd=folder)

    return installed(f"{NAME}-{VERSION}", make)


def install(log):
    packages(log)


def run(context):
    folder = packages(context.logs / "install.log")
    # Node.js resolves packages from where the script lies.
    copy = shutil.copy(HERE / "checks" / "kafkajs_checks.cjs", folder)
    return script.run(["node", copy], context.bootstrap, context.logs / "checks.log", cwd=folder)
