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
from math import inf
from pathlib import Path

import msgspec
from msgspec import Struct

from benchmarks.sharing.worker import WorkerSettings
from benchmarks.simulation.servers import EveCounterServer, SlidingWindowServer, find_optimum

MAX_RATIO, MIN_DEADLINE = 2.5, 20.0
"""Multiple of the optimum after which a run is stopped, and the seconds before which none is."""
MAX_STOP_SECONDS = 60.0
"""Seconds until the API must have ended."""


class Run(Struct, frozen=True, kw_only=True):
    """What one run measures."""

    label: str
    """Its name beside that of the limiter."""
    limiter: str
    """A name of `LABELS`."""
    split: Sequence[int]
    """Requests of each process."""
    kind: str = "strict"
    """The API: `strict`, which counts by sliding windows, or `eve`."""
    latency: float = 0.02
    """Seconds that the API takes."""
    fault: Callable[["Fleet"], None] | None = None
    """Breaks something a little later."""
    fault_at: float = 3.0
    """Seconds until then."""
    max_ratio: float | None = None
    """The goal of `FleetResult.ratio`."""
    max_silence: float | None = None
    """The goal of `FleetResult.longest_silence`, in which a fault lasts too."""

    @property
    def optimum(self) -> float:
        """Seconds that a client needs which knows the server's state."""
        model = EveCounterServer(0) if self.kind == "eve" else SlidingWindowServer(0)
        return find_optimum(model, sum(self.split)) + self.latency

    @property
    def deadline(self) -> float:
        """Seconds after which the run is stopped."""
        return max(MIN_DEADLINE, MAX_RATIO * self.optimum)


class FleetResult(Struct, frozen=True, kw_only=True):
    """The result of one run, by the API's journal."""

    ratio: float
    """Seconds from the first request to the last answer, as a multiple of the optimum; infinite if it was stopped."""
    rate_limited: int
    """Number of 429 responses."""
    most_in_second: int
    """The largest number of requests that the API received in any second."""
    most_in_minute: int
    """The same for any 60 seconds."""
    longest_silence: float
    """Seconds without a request although the minute of the API had room for ten."""
    answers: tuple[float, ...]
    """When the API accepted each request, in seconds since the first one."""


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


def run_fleet(run: Run) -> FleetResult:
    """Let all processes send at once, and stop them at the deadline."""
    with ExitStack() as stack:
        redis = stack.enter_context(open_redis())
        api = start_module("api", run.kind, str(run.latency), redis.url)
        stack.callback(api.kill)
        base_url, token = json.loads(read_line(api))
        processes = []
        for requests in run.split:
            settings = WorkerSettings(
                limiter=run.limiter,
                base_url=base_url,
                token=token,
                redis_url=redis.url,
                requests=requests,
                processes=len(run.split),
            )
            processes.append(start_module("worker", msgspec.json.encode(settings).decode()))
            stack.callback(processes[-1].kill)
        for process in processes:
            read_line(process)
        fleet = Fleet(redis, processes)
        ends = time.monotonic() + run.deadline
        for process in processes:
            send_line(process)
        if run.fault is not None:
            time.sleep(run.fault_at)
            run.fault(fleet)
        is_finished = _await_ends(fleet, ends)
        journal, _ = api.communicate("\n", timeout=MAX_STOP_SECONDS)
    return _evaluate(run, sorted(msgspec.json.decode(journal, type=list[tuple[float, int]])), is_finished=is_finished)


def _await_ends(fleet: Fleet, ends: float) -> bool:
    """Whether each process that was not killed ends in time; those that do not are killed."""
    is_finished = True
    for number, process in enumerate(fleet.processes):
        try:
            failed = process.wait(max(0.1, ends - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            is_finished = False
        else:
            if failed and number not in fleet.killed:
                raise RuntimeError("a process has failed")
    return is_finished


def _evaluate(run: Run, journal: list[tuple[float, int]], *, is_finished: bool) -> FleetResult:
    # From the first request: the start of a process is not what is measured.
    received = [at - journal[0][0] for at, _ in journal]
    accepted = [at for at, (_, status) in zip(received, journal, strict=True) if status != 429]
    return FleetResult(
        ratio=(accepted[-1] + run.latency) / run.optimum if is_finished else inf,
        rate_limited=len(received) - len(accepted),
        most_in_second=_find_most(received, 1.0),
        most_in_minute=_find_most(received, 60.0),
        longest_silence=_find_longest_silence(accepted),
        answers=tuple(accepted),
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
