"""A source for dlt, which loads all records into a database and keeps them up to date; extra `dlt`.

    pipeline = dlt.pipeline("amili", destination="duckdb", dataset_name="finance")
    pipeline.run(amili_source(sweep=True))  # again and again: what was created, changed or deleted since
    pipeline.run(amili_source().with_resources("payouts", "creditor_payments"))

Invariant: what a run reads next depends on loads that were complete. dlt keeps the manifest of an extraction in the
load package of its rows: an extraction that fails leaves the manifest of the one before, a load that fails is repeated
by the next run from the package, and a package that is aborted takes its manifest along.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from decimal import Decimal
from types import TracebackType
from typing import Any, TypeVar

import msgspec

from amili_async.client import AmiliClient
from amili_async.conditions import Where
from amili_async.errors import ConfigurationError, UnreadableResponse
from amili_async.export.columns import ColumnKind, Scalar, find_columns
from amili_async.export.formats.arrow import PRECISION, SCALE
from amili_async.extraction import Manifest, Verdict
from amili_async.models import Case, Creditor, CreditorPayment, Payout, PayoutSpecification, Record

T = TypeVar("T")

RECORDS: Mapping[str, type[Record]] = {
    "payouts": Payout,
    "payout_specifications": PayoutSpecification,
    "creditor_payments": CreditorPayment,
    "creditors": Creditor,
    "cases": Case,
}
"""The resources of the source, which are attributes of the client, and the types of their records."""
_DELETED = "_deleted"
_TYPES: Mapping[ColumnKind, Mapping[str, Any]] = {
    Scalar.TEXT: {"data_type": "text"},
    Scalar.CATEGORY: {"data_type": "text"},
    Scalar.MONEY: {"data_type": "decimal", "precision": PRECISION, "scale": SCALE},
    Scalar.TIMESTAMP: {"data_type": "timestamp"},
    Scalar.BOOL: {"data_type": "bool"},
    Scalar.INT: {"data_type": "bigint"},
    Scalar.FLOAT: {"data_type": "double"},
}


def amili_source(
    connect: Callable[[], AbstractAsyncContextManager[AmiliClient]] = AmiliClient.from_env,
    *,
    where: Mapping[str, Where] | None = None,
    sweep: bool = False,
) -> Any:
    """A `DltSource` named `amili` with a resource, and so a table, for each name in `RECORDS`.

    The first run loads each record, a later one what was created or changed since, merged by `_id`. Columns have the
    API's names and the types of Parquet files, money as `decimal(24, 6)`; objects and lists are JSON. *where* has a
    filter for the names that need one; another filter than that of the last run raises `ConfigurationError`, unless
    `pipeline.run(…, refresh="drop_sources")` begins anew.

    With *sweep* a run also removes the rows that were deleted, or no longer match the filter. It reads the ids from
    the destination, which must be a database, and requests all ids of the API, a hundred at a time; dlt deletes the
    rows that have the column `_deleted`, which no other row has.

    *connect* makes the client. It runs in an event loop and a thread of its own, one for all resources, which end with
    the extraction, so that a pipeline can also run where an event loop runs already.
    """
    filters = dict(where or {})
    if unknown := filters.keys() - RECORDS.keys():
        raise ConfigurationError(f"where has no resource {min(unknown)}: the names are {', '.join(RECORDS)}")
    background, dlt = _Background(connect), _load_dlt()

    # Without arguments, which dlt would look up in its configuration.
    def make_resources() -> list[Any]:
        return [_make_resource(name, background, filters.get(name), sweep=sweep) for name in RECORDS]

    return dlt.source(make_resources, name="amili", max_table_nesting=0)()


def _load_dlt() -> Any:
    try:
        import dlt
    except ImportError:
        raise ConfigurationError("amili_async.dlt needs dlt: pip install 'amili-async[dlt]'") from None
    return dlt


def _make_resource(name: str, background: "_Background", where: Where, *, sweep: bool) -> Any:
    dlt = _load_dlt()
    columns: dict[str, Any] = {
        column: {"name": column, **_TYPES.get(kind, {"data_type": "json"})}
        for column, kind in find_columns(None, RECORDS[name]).items()
    }
    if sweep:
        columns[_DELETED] = {"name": _DELETED, "data_type": "bool", "hard_delete": True}

    def records() -> Iterator[list[dict[str, Any]]]:
        state = dlt.current.resource_state(name)
        since = Manifest.from_json(state["manifest"]) if "manifest" in state else None
        with background as amili:
            resource = getattr(amili, name)
            extraction = resource.extract(where, since=since)  # raises for another filter
            if sweep and since is not None:
                # Before the extraction, so that no row is both delivered and deleted: an id is never used again.
                gone = background.call(resource.sweep(_find_loaded_ids(name), where))
                yield [{"_id": row_id, _DELETED: True} for row_id in sorted(gone)]
            batches = extraction.batches()
            while (batch := background.call(_next(batches))) is not None:
                yield [msgspec.to_builtins(record, builtin_types=(Decimal, datetime)) for record in batch]
        manifest = extraction.manifest
        if manifest.verdict is Verdict.PARTIAL:
            label = f"GET /{manifest.resource}"
            raise UnreadableResponse(f"{label} sent fewer rows than it counted; run the pipeline again", request=label)
        state["manifest"] = manifest.to_json()

    return dlt.resource(records, name=name, write_disposition="merge", primary_key="_id", columns=columns)


async def _next(batches: AsyncGenerator[tuple[Any, ...], None]) -> tuple[Any, ...] | None:
    return await anext(batches, None)


def _find_loaded_ids(table: str) -> list[str]:
    from dlt import current
    from dlt.destinations.exceptions import DatabaseUndefinedRelation

    naming = current.source_schema().naming
    with current.pipeline().sql_client() as client:
        column = client.escape_column_name(naming.normalize_identifier("_id"))
        qualified = client.make_qualified_table_name(naming.normalize_table_identifier(table))
        query = f"SELECT {column} FROM {qualified}"  # noqa: S608 - names of this module
        try:
            with client.execute_query(query) as cursor:
                return [row[0] for row in cursor.fetchall()]
        except DatabaseUndefinedRelation:  # no row was ever loaded
            return []


class _Background:
    """A client in an event loop of its own thread, while at least one `with` block needs it."""

    def __init__(self, connect: Callable[[], AbstractAsyncContextManager[AmiliClient]]) -> None:
        self._connect = connect
        # dlt alternates between resources: all of them share the rate limit of one client.
        self._lock = threading.Lock()
        self._users = 0
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._thread: threading.Thread
        self._opened: Future[AmiliClient]

    def __enter__(self) -> AmiliClient:
        with self._lock:
            if self._users == 0:
                self._opened = Future()
                self._thread = threading.Thread(target=self._run, name="amili", daemon=True)
                self._thread.start()
                try:
                    self._opened.result()
                except BaseException:
                    self._thread.join()
                    raise
            self._users += 1
            return self._opened.result()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._loop.call_soon_threadsafe(self._stop.set)
                self._thread.join()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run *work* in the loop, and wait for it; an error of this thread, such as Ctrl-C, cancels it."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        finally:
            future.cancel()

    def _run(self) -> None:
        try:
            asyncio.run(self._hold())
        except BaseException as error:  # noqa: BLE001 - the thread that waits raises it
            if not self._opened.done():
                self._opened.set_exception(error)

    async def _hold(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with self._connect() as amili:
            self._opened.set_result(amili)
            await self._stop.wait()
