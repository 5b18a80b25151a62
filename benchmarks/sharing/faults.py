"""What can go wrong between processes, each fault a few seconds after they began."""

import signal
import time

from msgspec import Struct

from benchmarks.sharing.fleet import Fault, Fleet


class FaultCase(Struct, frozen=True, kw_only=True):
    """One fault, and what it may cost."""

    label: str
    """What happens."""
    strike: Fault
    """Makes it happen."""
    limiter: str = "ours"
    """A name of `LABELS`: with a share of its own each process need not wait for Redis."""
    latency: float = 0.02
    """Seconds that the API takes."""
    silence: float | None
    """Longest silence in seconds that it may cause, the fault included; `None` where shares end before the minute."""


def kill_process(fleet: Fleet) -> None:
    """`kill -9` of one process."""
    fleet.kill(0)


def stop_process(fleet: Fleet) -> None:
    """A process is stopped for longer than its lease."""
    fleet.processes[0].send_signal(signal.SIGSTOP)
    time.sleep(8.0)
    fleet.processes[0].send_signal(signal.SIGCONT)


def restart_redis(fleet: Fleet) -> None:
    """Redis is killed, and is back without data after two seconds."""
    fleet.redis.kill()
    time.sleep(2.0)
    fleet.redis.start()


def stop_redis(fleet: Fleet) -> None:
    """Redis is stopped for five seconds, and then executes what it was sent."""
    fleet.redis.send(signal.SIGSTOP)
    time.sleep(5.0)
    fleet.redis.send(signal.SIGCONT)


def end_redis(fleet: Fleet) -> None:
    """Redis ends for good."""
    fleet.redis.kill()


FAULTS = (
    FaultCase(label="kill -9 of a process, answers take 1.5 s", strike=kill_process, latency=1.5, silence=6.0 + 1.5),
    FaultCase(label="a process stopped for 8 s", strike=stop_process, silence=6.0),
    FaultCase(label="Redis killed, back empty after 2 s", strike=restart_redis, silence=2.0 + 5.0),
    FaultCase(label="Redis killed, back empty, with a share", strike=restart_redis, limiter="share", silence=2.5),
    FaultCase(label="Redis stopped for 5 s", strike=stop_redis, silence=5.0 + 5.0),
    FaultCase(label="Redis stopped, with a share", strike=stop_redis, limiter="share", silence=2.5),
    FaultCase(label="Redis ended for good, with a share", strike=end_redis, limiter="share", silence=None),
)
