"""kafka-python's own integration tests, which its source distribution on PyPI has inside."""

import tarfile
import xml.etree.ElementTree as xml

from driver import process, python
from driver.check import FAILED, PASSED, SKIPPED, Broken, Check
from driver.place import installed

NAME = "kafka-python"
VERSION = "3.0.12"
SUMMARY = "its own integration tests, from its source distribution"
IN_CI = True

PACKAGES = (
    f"kafka-python=={VERSION}",
    "crc32c==2.8",
    "lz4==4.4.5",
    "python-snappy==0.7.3",
    "zstandard==0.25.0",
    "py==1.11.0",
    "pytest==9.0.2",
    "pytest-mock==3.15.1",
    "pytest-rerunfailures==16.7",
    "pytest-timeout==2.4.0",
)

# A consumer that is given its topics while its first metadata request is under way never asks for them:
# the client takes that answer, which is about no topic, for the one it waits for, and asks again after
# five minutes. What such a consumer was to read is then missing altogether, and the test is run again.
READ_NOTHING = ("assert set\\(\\) ==", "assert 0 ==")
AGAIN = 3

# Left out of the distribution: it starts brokers, and the broker here runs already.
SERVICE = """
class ExternalService:
    def __init__(self, host, port):
        self.host, self.port = host, port

    def open(self):
        pass

    def close(self):
        pass


class SpawnedService:
    def __init__(self, *arguments, **named):
        raise RuntimeError("no broker is started here")
"""


def interpreter(log):
    return python.environment(f"{NAME}-{VERSION}", PACKAGES, log)


def sources(log):
    def make(folder):
        pip = [interpreter(log), "-m", "pip", "--disable-pip-version-check"]
        only = ["--no-deps", "--no-binary", ":all:", "--dest", folder]
        process.must([*pip, "download", "--quiet", *only, f"kafka-python=={VERSION}"], log)
        (archive,) = folder.glob("*.tar.gz")
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data") if hasattr(
                tarfile, "data_filter"
            ) else tar.extractall(folder)
        (folder / f"kafka_python-{VERSION}").rename(folder / "src")
        # The installed package is under test, not the tree beside the tests.
        (folder / "src" / "kafka").rename(folder / "src" / "kafka-as-installed")
        (folder / "src" / "test" / "service.py").write_text(SERVICE)
        (folder / "src" / "test" / "__init__.py").touch()
        (folder / "src" / "servers").mkdir(exist_ok=True)

    return installed(f"{NAME}-tests-{VERSION}", make) / "src"


def install(log):
    interpreter(log)
    sources(log)


def run(context):
    log = context.logs / "install.log"
    tree = sources(log)
    report = context.logs / "report.xml"
    environment = {
        "KAFKA_URI": f"tcp://{context.bootstrap}",
        "KAFKA_VERSION": "4.3.1",
        "KAFKA_ROOT": str(tree / "servers"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [interpreter(log), "-m", "pytest", "test/integration", "-p", "no:cacheprovider"]
    # They start brokers of their own, with TLS.
    command += ["--ignore", "test/integration/test_ssl_integration.py"]
    command += [
        f"--junitxml={report}",
        "--tb=short",
        "--timeout=120",
        "--timeout-method=signal",
        f"--reruns={AGAIN}",
        *(f"--only-rerun={message}" for message in READ_NOTHING),
        "-q",
        "-rR",
    ]
    status, text = process.output(command, context.logs / "pytest.log", tree, environment, 2400)
    if not report.exists():
        raise Broken(f"pytest ended with {status}: {text[-300:]}")
    return read_report(report)


def read_report(path):
    """The checks in pytest's report."""
    checks = []
    for case in xml.parse(path).getroot().iter("testcase"):
        name = case.get("classname", "").rpartition(".")[2] + "::" + case.get("name", "")
        outcome, detail = PASSED, ""
        for child in case:
            if child.tag in ("failure", "error"):
                outcome, detail = FAILED, child.get("message", "")
            elif child.tag == "skipped":
                outcome, detail = SKIPPED, child.get("message", "")
        detail = " ".join(detail.split())[:300]
        checks.append(Check(name, outcome, float(case.get("time", 0)), detail))
    return checks
