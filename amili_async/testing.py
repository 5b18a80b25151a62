"""An Amili API for the tests of your program: a sandbox that blocking code can use too, one clock, and pytest fixtures.

`pytest_plugins = ["amili_async.testing"]` in a `conftest.py` brings the fixtures `amili_sandbox`, `amili` and
`amili_clock`. They need the extra `test`; `amili` also needs pytest-asyncio's `asyncio_mode = "auto"`, or the mark
`asyncio` at the test.

A program that opens its client by itself connects with the variables of `amili_sandbox.environ()`, and waits in real
time. It gets a client on the clock of the sandbox with

    monkeypatch.setattr(AmiliClient, "from_env", lambda **options: amili_sandbox.connect(**options))

Without a sandbox, `create_autospec(AmiliClient, instance=True)` is a client whose calls are mocks; let its
`with_options.return_value` be the mock itself.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, ParamSpec, Self, TypedDict, TypeVar, Unpack, overload

from amili_async import sandbox as plain
from amili_async._wire.clock import SystemClock, Timer
from amili_async._wire.listing import PATHS
from amili_async.client import AmiliClient
from amili_async.environment import ClientOptions
from amili_async.errors import ConfigurationError
from amili_async.models import Case, Creditor, CreditorPayment, Payout, PayoutSpecification, Record
from amili_async.sandbox import AMILI_LIMITS, Fault, RateWindow, ReceivedRequest
from amili_async.sandbox.bson_values import at_epoch, write_date
from amili_async.sandbox.store import as_json

try:
    import pytest
    import pytest_asyncio
except ImportError as error:
    raise ImportError('amili_async.testing needs pytest: pip install "amili-async[test]"') from error

__all__ = [
    "AMILI_LIMITS",
    "Fault",
    "RateWindow",
    "ReceivedRequest",
    "Sandbox",
    "SandboxOptions",
    "SkippingClock",
    "amili",
    "amili_clock",
    "amili_sandbox",
]

_TYPES: dict[str, type[Record]] = {
    PATHS["payouts"]: Payout,
    PATHS["payout_specifications"]: PayoutSpecification,
    PATHS["creditor_payments"]: CreditorPayment,
    PATHS["creditors"]: Creditor,
    PATHS["cases"]: Case,
}

P = ParamSpec("P")
R = TypeVar("R")

_AGE = 60.0
"""Seconds: how old an inserted row is, so that an extraction, which stops ten seconds before the present, sees it."""


class SkippingClock(SystemClock):
    """The system's time, plus the waiting that was skipped: a wait on it ends at once, and then its time has passed.

    Give one clock to a `Sandbox`, and connect clients with `sandbox.connect()`: a pause of a minute after a 429, or the
    life of a token, then costs a test no time, and both sides agree about the date.
    """

    def __init__(self) -> None:
        self._skipped = 0.0

    def now(self) -> float:
        return time.monotonic() + self._skipped

    def wall(self) -> float:
        return time.time() + self._skipped

    def move(self, seconds: float) -> None:
        """Let so many seconds pass at once, for the sandbox and for its clients."""
        self._skipped += max(seconds, 0.0)

    async def sleep(self, seconds: float) -> None:
        due = self.now() + seconds
        await asyncio.sleep(_real(seconds))
        self.move(due - self.now())

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        due = self.now() + seconds

        def wake() -> None:
            self.move(due - self.now())
            callback()

        return asyncio.get_running_loop().call_later(_real(seconds), wake)


def _real(seconds: float) -> float:
    # A millisecond or two, and less for less: the shorter of two waits ends first.
    return min(seconds, 0.001 + seconds * 1e-5)


class SandboxOptions(TypedDict, total=False):
    """The options of `amili_async.sandbox.Sandbox`, whose docstring describes them, without its clock."""

    payouts: int
    specifications: int
    payments: int
    seed: int
    host: str
    port: int
    rate_limit: Sequence[RateWindow] | None
    rate_limit_headers: bool
    count_rejected: bool
    token_lifetime: float
    latency: float
    public_key: str | None


class Sandbox(plain.Sandbox):
    """`amili_async.sandbox.Sandbox`, usable from blocking code too, with rows that are checked.

    `async with Sandbox() as sandbox` serves in the running event loop. `with Sandbox() as sandbox` serves in a thread
    until the block ends, for tests with a `TestClient`, for Celery, Django, dlt and notebooks; its methods may then be
    called from any thread, and callbacks run in the thread of the sandbox. *clock* is shared by clients from
    `connect()`. The other options are those of `amili_async.sandbox.Sandbox`.
    """

    def __init__(self, *, clock: SkippingClock | None = None, **options: Unpack[SandboxOptions]) -> None:
        self.clock = clock or SkippingClock()
        self._loop: asyncio.AbstractEventLoop | None = None
        super().__init__(clock=self.clock.wall, **options)

    def __enter__(self) -> Self:
        if self._loop is not None:
            raise RuntimeError("the sandbox is open already: enter it once")
        opened: Future[None] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(opened)), name="amili sandbox", daemon=True
        )
        self._thread.start()
        opened.result()
        return self

    def __exit__(self, *exception: object) -> None:
        self._in_its_thread(self._closing.set)
        self._thread.join()

    async def _serve(self, opened: "Future[None]") -> None:
        try:
            await self.start()
        except Exception as error:  # noqa: BLE001 - it is raised in the thread that waits for the start
            opened.set_exception(error)
            return
        self._closing, self._loop = asyncio.Event(), asyncio.get_running_loop()
        opened.set_result(None)
        await self._closing.wait()
        self._loop = None
        await self.aclose()

    def _in_its_thread(self, function: Callable[P, R], *args: P.args, **options: P.kwargs) -> R:
        # The server reads rows while it makes an answer: a change from another thread could be half visible to it.
        if self._loop is None or threading.current_thread() is self._thread:
            return function(*args, **options)
        done: Future[R] = Future()

        def call() -> None:
            try:
                done.set_result(function(*args, **options))
            except Exception as error:  # noqa: BLE001 - it is raised in the thread of the caller
                done.set_exception(error)

        self._loop.call_soon_threadsafe(call)
        return done.result()

    def connect(self, **options: Unpack[ClientOptions]) -> AmiliClient:
        """A client of this sandbox, with a token of it and its clock; *options* are those of `AmiliClient`."""
        given: ClientOptions = {"base_url": self.url, "auth": self.token(), **options}

        class Client(AmiliClient):
            _clock = self.clock

        return Client(**given)

    def environ(self) -> dict[str, str]:
        """The variables with which `AmiliClient.from_env()` and the command line use this sandbox, by a token of it.

        For a key instead: `AMILI_API_CODE` is the attribute `api_code`, and `AMILI_PRIVATE_KEY` is `private_key`.
        """
        return {"AMILI_BASE_URL": self.url, "AMILI_TOKEN": self.token()}

    @overload
    def insert(self, resource: Record) -> str: ...

    @overload
    def insert(self, resource: str, document: Mapping[str, Any], *, extra: bool = False) -> str: ...

    def insert(self, resource: str | Record, document: Mapping[str, Any] | None = None, *, extra: bool = False) -> str:
        """Store a record, or the *document* of a row of a *resource* such as "payouts", and return its id.

        A document has the API's field names; its dates may be `datetime`s, its amounts `Decimal`s. `ConfigurationError`
        for a resource that does not exist, a value that the API could not send, and a field that it does not document,
        unless *extra*. Rows without dates of their own are a minute old, so that `extract()` reads them at once.
        """
        if isinstance(resource, Record):
            path, row = _path_of(type(resource)), resource.to_dict()
        else:
            path = PATHS.get(resource, resource)
            row = as_json({**(document or {})})
            _check_row(path, row, extra=extra)
        return self._in_its_thread(self._insert, path, row)

    def _insert(self, path: str, row: dict[str, Any]) -> str:
        then = self._clock() - _AGE
        date = write_date(at_epoch(then))
        return super().insert(path, {"_id": self._ids.make(then), "_created": date, "_updated": date, **row})

    def update(self, resource: str, row_id: str, changes: Mapping[str, Any]) -> None:
        self._in_its_thread(super().update, PATHS.get(resource, resource), row_id, {**changes})

    def delete(self, resource: str, row_id: str) -> None:
        self._in_its_thread(super().delete, PATHS.get(resource, resource), row_id)

    def rows(self, resource: str) -> list[dict[str, Any]]:
        return self._in_its_thread(super().rows, PATHS.get(resource, resource))

    def token(self) -> str:
        return self._in_its_thread(super().token)

    def revoke_tokens(self) -> None:
        self._in_its_thread(super().revoke_tokens)

    def fail(
        self, fault: Fault, *, times: int | None = 1, method: str | None = None, path: str | None = None, after: int = 0
    ) -> None:
        self._in_its_thread(super().fail, fault, times=times, method=method, path=path, after=after)

    def stop_failing(self) -> None:
        self._in_its_thread(super().stop_failing)


def _path_of(kind: type[Record]) -> str:
    for path, each in _TYPES.items():
        if each is kind:
            return path
    raise ConfigurationError(f"the sandbox has no resource of {kind.__name__}")


def _check_row(path: str, row: dict[str, Any], *, extra: bool) -> None:
    kind = _TYPES.get(path)
    if kind is None:
        raise ConfigurationError(f"the sandbox has no resource {path!r}; it has {', '.join(PATHS)}")
    unknown = sorted(row.keys() - {*kind.__struct_encode_fields__})
    if unknown and not extra:
        raise ConfigurationError(
            f"{path}: the API documents no field {', '.join(map(repr, unknown))}; insert(…, extra=True) stores it"
        )
    kind.from_dict({"_id": "0" * 24, **row})


@pytest.fixture
def amili_clock() -> SkippingClock:
    """The clock of `amili_sandbox` and `amili`: no wait on it takes real time, and `move()` lets time pass."""
    return SkippingClock()


@pytest.fixture
def amili_sandbox(amili_clock: SkippingClock) -> Iterator[Sandbox]:
    """An open sandbox with few rows and no rate limit, for blocking and async tests; `Sandbox()` takes every option."""
    with Sandbox(payouts=5, specifications=250, payments=12, rate_limit=None, clock=amili_clock) as sandbox:
        yield sandbox


@pytest_asyncio.fixture
async def amili(amili_sandbox: Sandbox) -> AsyncIterator[AmiliClient]:
    """An open client of `amili_sandbox`."""
    async with amili_sandbox.connect() as client:
        yield client
