"""Servers that tests start for themselves, on unix sockets in temporary folders: Redis, Valkey, Postgres.

A test whose server is not installed is skipped; it fails instead where `AMILI_TEST_SERVERS` names the server, as CI
does with those that it has installed: `AMILI_TEST_SERVERS="redis-server postgres"`.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

REQUIRED = "AMILI_TEST_SERVERS"
"""The variable that names the servers without which the run fails."""
START_TIMEOUT = 60.0
"""Seconds that a server may need to start on a busy machine; it usually needs a tenth of one."""


class RedisServer:
    """A Redis, or a Valkey, that keeps nothing on disk; a test can stop, continue, kill and restart it."""

    def __init__(self, program: Path, folder: Path) -> None:
        self._program, self._socket = program, folder / "redis.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"unix://{self._socket}"
        """What `redis.asyncio.from_url` accepts."""

    def start(self) -> None:
        """Start it with an empty memory, and return when it accepts connections."""
        options = {"port": "0", "unixsocket": str(self._socket), "save": "", "appendonly": "no", "daemonize": "no"}
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        self._process = subprocess.Popen(
            [self._program, *arguments], cwd=self._socket.parent, stdout=subprocess.DEVNULL
        )
        _wait_until(self._process, self._accepts)

    def kill(self) -> None:
        """End it at once, as a crash does; what it held is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._socket.unlink(missing_ok=True)

    def suspend(self) -> None:
        """Stop it: it accepts connections, which the kernel queues, and answers nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it continue after `suspend()`."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _accepts(self) -> bool:
        with suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self._socket))
            return True
        return False


@contextmanager
def start_redis(program: str = "redis-server") -> Iterator[RedisServer]:
    """A server of *program*, `redis-server` or `valkey-server`, until the end of the block."""
    found = find_program(program)
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(found, Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.kill()


@contextmanager
def start_postgres() -> Iterator[str]:
    """The URL of a Postgres with an empty database, until the end of the block."""
    programs = find_program("postgres").resolve().parent
    owner = _postgres_owner()
    with tempfile.TemporaryDirectory() as name:
        folder, data = Path(name), Path(name) / "data"
        if owner is not None:
            shutil.chown(folder, owner)
        initdb = (
            f"{programs}/initdb --pgdata={data} --username=amili --auth=trust --no-sync --encoding=UTF8 --no-locale"
        )
        subprocess.run(initdb.split(), user=owner, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        settings = ("fsync=off", "listen_addresses=", f"unix_socket_directories={folder}")
        postgres = [f"{programs}/postgres", "-D", str(data), *(f"--{setting}" for setting in settings)]
        log = (folder / "log").open("wb")
        with log, subprocess.Popen(postgres, user=owner, cwd=folder, stderr=log) as process:
            try:
                _wait_until(process, lambda: _is_ready(data / "postmaster.pid"))
                yield f"postgresql://amili@/postgres?host={folder}"
            finally:
                process.send_signal(signal.SIGINT)  # ends open connections, and waits for nothing


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One Redis for all tests of this process."""
    with start_redis() as server:
        yield server


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[RedisServer]:
    """One Valkey for all tests of this process."""
    with start_redis("valkey-server") as server:
        yield server


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of one Postgres for all tests of this process."""
    with start_postgres() as url:
        yield url


@pytest.fixture(params=("redis", "postgres"))
def claims_url(request: pytest.FixtureRequest) -> str:
    """The URL of each server that can hold claims on payments."""
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        return server.url
    return str(request.getfixturevalue("postgres_url"))


def find_program(name: str) -> Path:
    """The path of a server's program; without one the test is skipped, or fails where the server is required."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)  # not on the PATH
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), *map(str, debian)]))
    if found is not None:
        return Path(found)
    if name in os.environ.get(REQUIRED, "").split():
        pytest.fail(f"{name} is not installed, and {REQUIRED} requires it")
    pytest.skip(f"{name} is not installed")


def _postgres_owner() -> str | None:
    """The user that runs Postgres, which refuses to run as root; `None` for the current one."""
    users = {user.pw_name for user in pwd.getpwall()}
    return None if os.geteuid() else "postgres" if "postgres" in users else "nobody"


def _is_ready(pid_file: Path) -> bool:
    with suppress(OSError):
        return pid_file.read_text().rstrip().endswith("ready")
    return False


def _wait_until(process: subprocess.Popen[bytes], is_ready: Callable[[], bool]) -> None:
    give_up = time.monotonic() + START_TIMEOUT
    while not is_ready():
        assert process.poll() is None, "the server ended while it started"
        assert time.monotonic() < give_up, "the server did not start"
        time.sleep(0.005)
