"""Runs named cases side by side, each within its time, and helps them with names and checks.

No client library is imported here: kcat's cases use it with nothing but Python.
"""

import asyncio
import inspect
import os
import secrets
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

BOOTSTRAP = os.environ.get("CLIENT_BOOTSTRAP", "127.0.0.1:9092")
MILLRACE = os.environ.get("CLIENT_PEER", "millrace") == "millrace"
TMP = os.environ.get("CLIENT_TMP", "/tmp")

_cases = []
_printing = threading.Lock()


class Skip(Exception):
    """The client can't do it, for the reason given."""


def case(name=None, seconds=60):
    """Registers a case: a function, or a coroutine function that gets a loop of its own."""

    def register(function):
        full = name or function.__name__
        wanted = os.environ.get("CLIENT_CASE", "").split(",")
        if any(part in full for part in wanted):
            _cases.append((full, seconds, function))
        return function

    return register


def run(client):
    """Runs all cases and ends the program, also where a case's thread hangs."""
    _print("CLIENT " + client)
    for name, _, _ in _cases:
        _print("PLAN " + name)
    with ThreadPoolExecutor(int(os.environ.get("CLIENT_JOBS", "6"))) as slots:
        for one in _cases:
            slots.submit(_run_one, *one)
    sys.stdout.flush()
    os._exit(0)


def _run_one(name, seconds, function):
    start = time.monotonic()
    outcome = []

    def body():
        try:
            if inspect.iscoroutinefunction(function):
                remark = asyncio.run(asyncio.wait_for(function(), seconds))
            else:
                remark = function()
            outcome.append(("ok", remark or ""))
        except Skip as why:
            outcome.append(("skip", str(why)))
        except BaseException as error:  # a case's end must always be told
            outcome.append(("fail", _describe(error)))

    thread = threading.Thread(target=body, name=name, daemon=True)
    thread.start()
    thread.join(seconds + 2)
    if not outcome:
        frame = sys._current_frames().get(thread.ident)
        outcome.append(("fail", f"not done within {seconds} s{_where(frame)}"))
    word, text = outcome[0]
    millis = int((time.monotonic() - start) * 1000)
    text = " ".join(str(text).split())
    if len(text) > 1000:
        text = text[:500] + " ... " + text[-450:]
    _print(f"CASE {name} {word} {millis} {text}")


def _describe(error):
    lines = [one for one in traceback.extract_tb(error.__traceback__) if "clients" in one.filename]
    where = f" ({os.path.basename(lines[-1].filename)}:{lines[-1].lineno})" if lines else ""
    outer = f", line {lines[0].lineno}" if len(lines) > 1 else ""
    return f"{type(error).__name__}: {error}{where}{outer}"


def _where(frame):
    while frame is not None:
        name = frame.f_code.co_filename
        if "clients" in name and not name.endswith("kit.py") and "site-packages" not in name:
            return f" ({os.path.basename(name)}:{frame.f_lineno})"
        frame = frame.f_back
    return ""


def _print(line):
    with _printing:
        print(line, flush=True)


def unique(what):
    return f"{os.path.basename(sys.argv[0]).split('.')[0]}-{what}-{secrets.token_hex(4)}"


def check(truth, what):
    if not truth:
        raise AssertionError(what)


def equal(expected, got, what):
    if expected != got:
        raise AssertionError(f"{what}: expected {expected!r}, got {got!r}")


def eventually(truth):
    """Asks again until it is so; the case's own time limits it."""
    while not truth():
        time.sleep(0.02)


def key(n):
    return f"k-{n}".encode()


def value(n):
    return f"v-{n}".encode()


def check_sent(records, partitions):
    """Checks (partition, offset, key, value) of records numbered round the partitions:
    offsets without gaps, numbers in order per partition."""
    expected = {}
    for partition, offset, got_key, got_value in records:
        equal(expected.get(partition, 0), offset, f"offset in partition {partition}")
        expected[partition] = offset + 1
        n = offset * partitions + partition
        equal(key(n), got_key, "key")
        equal(value(n), got_value, "value")


FILLER = b"abcdefgh" * 40
HOUR = 3_600_000
EARLY = 1_600_000_000_000
