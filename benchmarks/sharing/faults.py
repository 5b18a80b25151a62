"""What can go wrong between processes, each fault a few seconds after they began."""

import signal
import time
from collections.abc import Sequence
from functools import partial

from benchmarks.sharing.fleet import Fleet, Run


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


def make_faults(split: Sequence[int]) -> tuple[Run, ...]:
    """Each fault; with a share of its own a process need not wait for Redis."""
    shared, with_share = partial(Run, limiter="ours", split=split), partial(Run, limiter="share", split=split)
    return (
        shared(
            label="kill -9 of a process, answers take 1.5 s", fault=kill_process, latency=1.5, max_silence=6.0 + 1.5
        ),
        shared(label="a process stopped for 8 s", fault=stop_process, max_silence=6.0),
        shared(label="Redis killed, back empty after 2 s", fault=restart_redis, max_silence=2.0 + 5.0),
        with_share(label="Redis killed, back empty after 2 s", fault=restart_redis, max_silence=2.5),
        shared(label="Redis stopped for 5 s", fault=stop_redis, max_silence=5.0 + 5.0),
        with_share(label="Redis stopped for 5 s", fault=stop_redis, max_silence=2.5),
        with_share(label="Redis ended for good", fault=end_redis, max_silence=2.5),
    )
