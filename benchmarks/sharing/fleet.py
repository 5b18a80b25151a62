"""Start an API, a Redis and some processes, break what a fault breaks, and measure how long all requests take."""

import json
import signal
import subprocess
import sys
import tempfile
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import msgspec
from msgspec import Struct

from benchmarks.sharing.worker import WorkerResult, WorkerSettings
from benchmarks.simulation.servers import EveCounterServer, SlidingWindowServer, find_optimum

MAX_RATIO, MIN_DEADLINE = 5.0, 20.0
"""Multiple of the optimum after which a run is stopped, and the seconds before which none is."""


class FleetResult(Struct, frozen=True, kw_only=True):
    """The result of one run."""

    ratio: float
    """Seconds from the first to the last answer of all processes, as a multiple of the optimum."""
    rate_limited: int
    """Number of 429 responses."""
    is_finished: bool
    """Whether each request was answered in time."""
    most_in_second: int
    """The largest number of requests that the API received in any second."""
    most_in_minute: int
    """The same for any 60 seconds."""
    longest_silence: float
    """Seconds without a request although the minute of the API had room for ten."""
    answers: tuple[float, ...]
    """When each answer arrived, in seconds since the start, in order."""


class Redis:
    """A `redis-server` on a unix socket, which a fault can stop, continue, kill and restart."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "redis.sock"
        self.url = f"unix://{self._socket}"

    def start(self) -> None:
        """Start it without data, and return when it listens."""
        options = ["--port", "0", "--unixsocket", str(self._socket), "--save", "", "--daemonize", "no"]
        self.process = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)  # noqa: S603, S607 - the system's
        while not self._socket.exists():
            time.sleep(0.005)

    def kill(self) -> None:
        """End it at once; its data are lost."""
        self.process.kill()
        self.process.wait()
        self._socket.unlink(missing_ok=True)

    def send(self, number: signal.Signals) -> None:
        """SIGSTOP or SIGCONT."""
        self.process.send_signal(number)


class Fleet:
    """What a fault can break."""

    def __init__(self, redis: Redis, processes: Sequence["subprocess.Popen[str]"]) -> None:
        self.redis, self.processes = redis, processes
        self.killed: set[int] = set()

    def kill(self, number: int) -> None:
        """End a process at once."""
        self.processes[number].kill()
        self.killed.add(number)


Fault: TypeAlias = Callable[[Fleet], None]


@contextmanager
def open_redis() -> Iterator[Redis]:
    """A Redis of its own, until the end of the block."""
    with tempfile.TemporaryDirectory() as folder:
        redis = Redis(Path(folder))
        redis.start()
        try:
            yield redis
        finally:
            redis.kill()


def start_module(name: str, *arguments: str) -> "subprocess.Popen[str]":
    """A module of this folder as a process with which lines are exchanged."""
    command = [sys.executable, "-m", f"benchmarks.sharing.{name}", *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own module


def read_line(process: "subprocess.Popen[str]") -> str:
    """The next line that it prints."""
    assert process.stdout is not None  # noqa: S101 - for the type checker
    return process.stdout.readline()


def send_line(process: "subprocess.Popen[str]") -> None:
    """Let it begin, or end."""
    assert process.stdin is not None  # noqa: S101 - for the type checker
    process.stdin.write("\n")
    process.stdin.flush()


def run_fleet(
    limiter: str,
    split: Sequence[int],
    *,
    kind: str = "strict",
    latency: float = 0.02,
    fault: Fault | None = None,
    fault_at: float = 3.0,
) -> FleetResult:
    """Let one process per number of *split* send so many requests, all at once; a fault strikes a little later."""
    with ExitStack() as stack:
        redis = stack.enter_context(open_redis())
        api = start_module("api", kind, str(latency), redis.url)
        stack.callback(api.kill)
        base_url, token = json.loads(read_line(api))
        settings = [
            WorkerSettings(
                limiter=limiter,
                base_url=base_url,
                token=token,
                redis_url=redis.url,
                requests=requests,
                processes=len(split),
            )
            for requests in split
        ]
        processes = [start_module("worker", msgspec.json.encode(each).decode()) for each in settings]
        for process in processes:
            stack.callback(process.kill)
            read_line(process)
        fleet = Fleet(redis, processes)
        model = EveCounterServer(0) if kind == "eve" else SlidingWindowServer(0)
        optimum = find_optimum(model, sum(split)) + latency
        began = time.monotonic()
        for process in processes:
            send_line(process)
        if fault is not None:
            time.sleep(fault_at)
            fault(fleet)
        results = _collect(fleet, began + max(MIN_DEADLINE, MAX_RATIO * optimum))
        send_line(api)
        journal: list[tuple[float, int]] = json.loads(read_line(api))
    return _evaluate(results, journal, began=began, optimum=optimum, expected=len(split) - len(fleet.killed))


def _collect(fleet: Fleet, deadline: float) -> list[WorkerResult]:
    """The results of the processes that were not killed and end in time."""
    results = []
    for number, process in enumerate(fleet.processes):
        if number in fleet.killed:
            continue
        try:
            text, _ = process.communicate(timeout=max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            continue
        results.append(msgspec.json.decode(text.splitlines()[-1], type=WorkerResult))
    return results


def _evaluate(
    results: list[WorkerResult], journal: list[tuple[float, int]], *, began: float, optimum: float, expected: int
) -> FleetResult:
    answers = sorted(at - began for result in results for at in result.answered_at)
    received = sorted(at for at, _ in journal)
    is_finished = len(results) == expected
    # From the first request: the start of a process is not what is measured.
    span = answers[-1] - (received[0] - began) if answers else 0.0
    accepted = [at for at, status in sorted(journal) if status != 429]
    return FleetResult(
        ratio=span / optimum if is_finished else MAX_RATIO,
        rate_limited=sum(status == 429 for _, status in journal),
        is_finished=is_finished,
        most_in_second=_find_most(received, 1.0),
        most_in_minute=_find_most(received, 60.0),
        longest_silence=_find_longest_silence(accepted),
        answers=tuple(answers),
    )


def _find_most(times: list[float], period: float) -> int:
    return max((bisect_left(times, at + period) - place for place, at in enumerate(times)), default=0)


def _find_longest_silence(accepted: list[float]) -> float:
    """From the last request, or when the 90th before it was a minute ago, to the next.

    Room for a single one does not count: a process that is cut off for longer than its lease has some counted twice.
    """
    silences = [
        later - max(earlier, accepted[place - 90] + 60.0 if place >= 90 else earlier)
        for place, (earlier, later) in enumerate(pairwise(accepted), start=1)
    ]
    return max(silences, default=0.0)
