"""The source for dlt: pipelines into DuckDB, run again after changes, failed extractions and failed loads."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.extract.exceptions import ResourceExtractionError
from dlt.pipeline.exceptions import PipelineStepFailed

from amili_async import AmiliClient
from amili_async.dlt import RECORDS, amili_source
from amili_async.errors import ConfigurationError
from amili_async.sandbox import Fault, ReceivedRequest, Sandbox
from tests.support.rows import SPECIFICATIONS, total_of
from tests.support.starting import StartSandbox


@pytest.fixture(autouse=True)
def _no_telemetry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep dlt from sending anything, and from reading a configuration of this machine."""
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    monkeypatch.setenv("RUNTIME__LOG_LEVEL", "CRITICAL")
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "dlt"))
    monkeypatch.chdir(tmp_path)


class Pipeline:
    """A pipeline of the sandbox into a database in a folder."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self._sandbox, self._folder = sandbox, folder
        self.clients = 0
        """How many clients were opened."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[AmiliClient]:
        self.clients += 1
        async with AmiliClient(self._sandbox.url, auth=self._sandbox.token(), rate_limit=None, page_size=50) as amili:
            yield amili

    def make(self) -> Any:
        """The pipeline as a program opens it."""
        return dlt.pipeline(
            "amili",
            destination=dlt.destinations.duckdb(str(self._folder / "amili.duckdb")),
            dataset_name="finance",
            pipelines_dir=str(self._folder / "pipelines"),
        )

    async def run(self, *names: str, **options: Any) -> None:
        """Run it in a thread, since the sandbox is in this loop."""
        source = amili_source(self.open, **options)
        await asyncio.to_thread(self.make().run, source.with_resources(*names) if names else source)

    async def query(self, text: str) -> list[tuple[Any, ...]]:
        return await asyncio.to_thread(self._query, text)

    def _query(self, text: str) -> list[tuple[Any, ...]]:
        with self.make().sql_client() as client:
            rows: list[tuple[Any, ...]] = client.execute_sql(text)
            return rows


@pytest.fixture
async def sandbox(start_sandbox: StartSandbox) -> Sandbox:
    """A few hundred rows."""
    return await start_sandbox(payouts=20, specifications=250, payments=10)


@pytest.fixture
def pipeline(sandbox: Sandbox, tmp_path: Path) -> Pipeline:
    """Of the sandbox."""
    return Pipeline(sandbox, tmp_path)


async def assert_equal(pipeline: Pipeline, sandbox: Sandbox) -> None:
    """The table of specifications has the server's rows, with exact amounts."""
    stored = {row["_id"]: row for row in sandbox.rows(SPECIFICATIONS)}
    loaded = await pipeline.query("SELECT _id, creditor_name, amount FROM payout_specifications")
    assert {row_id: name for row_id, name, _ in loaded} == {
        row_id: row.get("creditor_name") for row_id, row in stored.items()
    }
    assert len(loaded) == len(stored)
    assert sum((amount for *_, amount in loaded if amount is not None), Decimal(0)) == total_of(
        list(stored.values()), "amount"
    )


async def test_a_pipeline_loads_all_resources_and_then_the_changes(sandbox: Sandbox, pipeline: Pipeline) -> None:
    """The second run requests and merges what was inserted, changed and deleted in between."""
    await pipeline.run()
    await assert_equal(pipeline, sandbox)
    for name in RECORDS:
        assert len(await pipeline.query(f"SELECT _id FROM {name}")) > 0, name  # noqa: S608 - names of the source
    kinds = dict(
        await pipeline.query(
            "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'payouts'"
        )
    )
    assert (kinds["amount"], kinds["_created"], kinds["summary"]) == (
        "DECIMAL(24,6)",
        "TIMESTAMP WITH TIME ZONE",
        "JSON",
    )
    ids = sorted(row["_id"] for row in sandbox.rows(SPECIFICATIONS))
    sandbox.update(SPECIFICATIONS, ids[7], {"creditor_name": "New AB", "amount": Decimal("0.125")})
    sandbox.delete(SPECIFICATIONS, ids[9])
    sandbox.requests.clear()
    await pipeline.run("payout_specifications")
    assert len(sandbox.requests) <= 3
    changed = await pipeline.query("SELECT _id FROM payout_specifications WHERE creditor_name = 'New AB'")
    assert changed == [(ids[7],)]
    await pipeline.run("payout_specifications", sweep=True)
    await assert_equal(pipeline, sandbox)
    assert await pipeline.query("SELECT _id FROM payout_specifications WHERE _deleted") == []
    assert pipeline.clients == 3


async def test_an_extraction_that_fails_is_repeated(sandbox: Sandbox, pipeline: Pipeline) -> None:
    """The rows since the last complete load are loaded by the next run; the failed one changes nothing."""
    await pipeline.run("payout_specifications")
    ids = sorted(row["_id"] for row in sandbox.rows(SPECIFICATIONS))
    for row_id in ids[::2]:
        sandbox.update(SPECIFICATIONS, row_id, {"creditor_name": "New AB"})
    sandbox.fail(Fault(status=403), path=SPECIFICATIONS, after=1)
    with pytest.raises(PipelineStepFailed, match="403"):
        await pipeline.run("payouts", "payout_specifications")
    assert find_threads() == []
    assert await pipeline.query("SELECT count(*) FROM payout_specifications WHERE creditor_name = 'New AB'") == [(0,)]
    await pipeline.run("payout_specifications")
    await assert_equal(pipeline, sandbox)


@pytest.mark.filterwarnings("ignore:The 'warn' method is deprecated:DeprecationWarning")  # dlt's, where it logs
async def test_a_load_that_fails_loses_nothing(
    sandbox: Sandbox, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was extracted is loaded by the next run, whose own extraction follows in the one after."""
    await pipeline.run("payout_specifications")
    ids = sorted(row["_id"] for row in sandbox.rows(SPECIFICATIONS))
    sandbox.update(SPECIFICATIONS, ids[3], {"creditor_name": "First AB"})
    with monkeypatch.context() as patch:

        def fail(*_: Any, **__: Any) -> None:
            raise OSError("the disk is full")

        patch.setattr("dlt.load.load.Load.run", fail)
        with pytest.raises((PipelineStepFailed, OSError)):
            await pipeline.run("payout_specifications")
    sandbox.update(SPECIFICATIONS, ids[5], {"creditor_name": "Second AB"})
    await pipeline.run("payout_specifications")  # loads the package that is pending
    await pipeline.run("payout_specifications")
    await assert_equal(pipeline, sandbox)


async def test_missing_rows_are_not_loaded(sandbox: Sandbox, pipeline: Pipeline) -> None:
    """An API that sends fewer rows than it counts fails the run, which is then repeated whole."""

    def leave_out(_: ReceivedRequest, page: dict[str, Any]) -> dict[str, Any]:
        return page | {"_items": page["_items"][1:]}

    sandbox.override(page=leave_out)
    with pytest.raises(PipelineStepFailed, match="sent fewer rows than it counted"):
        await pipeline.run("payout_specifications")
    sandbox.override(page=lambda _, page: page)
    await pipeline.run("payout_specifications")
    await assert_equal(pipeline, sandbox)


def find_threads() -> list[threading.Thread]:
    """The threads of sources."""
    return [thread for thread in threading.enumerate() if thread.name == "amili"]


async def test_nothing_is_left_after_a_run(sandbox: Sandbox, pipeline: Pipeline) -> None:
    """No thread of the source outlives an extraction, not even one that is left early or cannot begin."""
    left_early = amili_source(pipeline.open).with_resources("payout_specifications").add_limit(1)
    await asyncio.to_thread(pipeline.make().run, left_early)
    assert await pipeline.query("SELECT count(*) FROM payout_specifications") == [(50,)]
    assert find_threads() == []
    await pipeline.run("payout_specifications")
    await assert_equal(pipeline, sandbox)
    assert find_threads() == []

    def fail() -> AmiliClient:
        raise KeyError("no credentials")

    with pytest.raises(ResourceExtractionError, match="no credentials"):
        await asyncio.to_thread(list, amili_source(fail).payouts)
    assert find_threads() == []


async def test_another_filter_is_rejected(pipeline: Pipeline) -> None:
    """What was loaded with one filter is not continued with another; an unknown name is rejected at once."""
    await pipeline.run("payouts", where={"payouts": {"currency": "SEK"}})
    with pytest.raises(PipelineStepFailed, match="another filter"):
        await pipeline.run("payouts")
    with pytest.raises(ConfigurationError, match="where has no resource payout: the names are payouts"):
        amili_source(where={"payout": {}})
