"""What a suite reports: one outcome per named check."""

from dataclasses import dataclass, replace

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


@dataclass(frozen=True)
class Check:
    """One test of a suite. `retried` tells that it passed at the second try only."""

    name: str
    outcome: str
    seconds: float = 0.0
    detail: str = ""
    retried: bool = False

    def after_retry(self):
        return replace(self, retried=True)


class Missing(Exception):
    """A tool that a suite needs is not here: the suite is skipped, with this as the message."""


class Broken(Exception):
    """A suite could not be installed or started: it counts as failed, with this as the message."""
