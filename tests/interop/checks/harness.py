"""Runs named checks one after the other, each with a time limit, and prints what became of each.

Scripts beside this one are run in environments of their own, so it uses the standard library alone.
What it prints is read by driver/script.py.
"""

import asyncio
import faulthandler
import inspect
import json
import os
import sys
import threading
import time
import traceback
import uuid

_CHECKS = []


def check(limit=60):
    """Declares a check: a function of the bootstrap address, plain or `async`."""

    def declare(function):
        _CHECKS.append((function.__name__.lstrip("_"), function, limit))
        return function

    return declare


def unique(prefix):
    """A name that no earlier run has used."""
    return f"{prefix}-{uuid.uuid4().hex[:10]}"


def equal(got, want, what=""):
    """Fails unless both are the same, and says how they differ."""
    if got != want:
        raise AssertionError(f"{what or 'value'}: got {_short(got)}, want {_short(want)}")


def until(condition, seconds=30, what="it"):
    """Waits for a condition; returns its value."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come about in {seconds} s")


def raises(kind, function, *arguments):
    """Fails unless the call raises `kind`; returns what it raised."""
    try:
        function(*arguments)
    except kind as error:
        return error
    raise AssertionError(f"no {kind} was raised")


def _short(value):
    text = repr(value)
    return text if len(text) < 300 else text[:300] + "..."


def _call(function, bootstrap, limit):
    if inspect.iscoroutinefunction(function):
        asyncio.run(asyncio.wait_for(function(bootstrap), limit))
    else:
        function(bootstrap)


def _outcome(function, bootstrap, limit):
    """Runs one check in a thread of its own, which is left behind if it hangs."""
    result = ["failed", f"not done in {limit} s"]

    def body():
        try:
            _call(function, bootstrap, limit)
            result[:] = ["passed", ""]
        except BaseException as error:
            where = traceback.extract_tb(error.__traceback__)
            ours = [frame.lineno for frame in where if frame.filename == inspect.getfile(function)]
            line = f" (line {ours[-1]})" if ours else ""
            result[:] = ["failed", f"{type(error).__name__}: {error}{line}"]
            traceback.print_exc(file=sys.stderr)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    thread.join(limit + 5)
    return list(result)


def main():
    """script BOOTSTRAP [NAME]...: runs all checks, or those that are named."""
    bootstrap, wanted = sys.argv[1], sys.argv[2:]
    # Clients with C inside may take the process with them.
    faulthandler.enable()
    chosen = [entry for entry in _CHECKS if not wanted or entry[0] in wanted]
    print(json.dumps({"plan": [name for name, _, _ in chosen]}), flush=True)
    for name, function, limit in chosen:
        began = time.monotonic()
        outcome, detail = _outcome(function, bootstrap, limit)
        seconds = round(time.monotonic() - began, 2)
        line = {"test": name, "outcome": outcome, "seconds": seconds, "detail": detail[:500]}
        print("\n" + json.dumps(line), flush=True)
    # Threads of clients that hang must not keep the process.
    os._exit(0)
