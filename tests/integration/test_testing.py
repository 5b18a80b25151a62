"""What users' tests get: a sandbox for blocking and async code, fixtures, one clock, rows that are checked."""

import asyncio
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from unittest.mock import AsyncMock, create_autospec

import pytest

from amili_async import AmiliClient, Case, Creditor, CreditorPayment, Payout, PayoutSpecification
from amili_async.errors import ConfigurationError, NotFound
from amili_async.testing import AMILI_LIMITS, Fault, Sandbox, SkippingClock

USERS_TESTS = """
import asyncio
import time
import pytest
from amili_async import AmiliClient, Payout
from amili_async.errors import NotFound
from amili_async.testing import Fault

pytest_plugins = ["amili_async.testing"]

async def test_async(amili, amili_sandbox):
    made = amili_sandbox.insert("payouts", {"currency": "SEK"})
    assert (await amili.payouts.get(made)).currency == "SEK"
    assert len([payout async for payout in amili.payouts.extract()]) == 6

def test_blocking(amili_sandbox):
    assert len(amili_sandbox.rows("payouts")) == 5

async def test_a_minute_costs_nothing(amili, amili_sandbox, amili_clock):
    amili_sandbox.fail(Fault.too_many_requests(retry_after=60))
    began, started = amili_clock.now(), time.monotonic()
    assert await amili.payouts.count() == 5
    assert amili_clock.now() - began >= 60
    assert time.monotonic() - started < 30

def test_a_program_opens_its_client_on_the_clock(amili_sandbox, monkeypatch):
    monkeypatch.setattr(AmiliClient, "from_env", lambda **options: amili_sandbox.connect(**options))
    amili_sandbox.fail(Fault.too_many_requests(retry_after=100))

    async def program():
        async with AmiliClient.from_env(timeout=5.0) as amili:
            return await amili.payouts.count()

    started = time.monotonic()
    assert asyncio.run(program()) == 5
    assert time.monotonic() - started < 30

async def test_a_token_expires(amili, amili_sandbox, amili_clock):
    assert await amili.payouts.count() == 5
    amili_clock.move(1200)
    with pytest.raises(Exception, match="rejected"):
        await amili.payouts.count()
"""
OPTIONS = ("-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-o", "asyncio_mode=auto")
ID = "674dbeb208847b9501cc9138"


def test_the_fixtures_serve_blocking_and_async_tests(tmp_path: Path) -> None:
    """Each test gets a fresh sandbox, an open client, and a clock on which no wait takes real time."""
    (tmp_path / "test_users.py").write_text(USERS_TESTS)
    command = [sys.executable, "-m", "pytest", *OPTIONS, "--rootdir", str(tmp_path), str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "5 passed" in run.stdout, run.stdout + run.stderr


def test_blocking_code_has_a_sandbox_in_a_thread() -> None:
    """`with Sandbox()` serves other threads and loops, and ends its thread."""
    before = set(threading.enumerate())
    with Sandbox(payouts=3, specifications=30, payments=2) as sandbox:
        url = sandbox.url

        async def count() -> int:
            async with sandbox.connect() as amili:
                return await amili.payouts.count()

        assert asyncio.run(count()) == 3
        sandbox.insert("payouts", {})
        assert asyncio.run(count()) == 4
        assert [request.path for request in sandbox.requests] == ["/finance--payouts"] * 2
        sandbox.fail(Fault(status=404), times=None)
        with pytest.raises(NotFound):
            asyncio.run(count())
        sandbox.stop_failing()
        with pytest.raises(RuntimeError, match="open already"):
            sandbox.__enter__()
    assert set(threading.enumerate()) <= before  # one of another test may have ended
    with sandbox:  # again, with the rows that it had
        assert len(sandbox.rows("payouts")) == 4
        assert sandbox.url != url or sandbox.requests


def test_a_port_that_is_taken_raises_in_the_caller() -> None:
    """The error of the thread is that of `with`."""
    with Sandbox() as sandbox, pytest.raises(OSError, match="address already in use"):
        Sandbox(port=int(sandbox.url.rpartition(":")[2])).__enter__()


def test_a_port_that_cannot_exist_raises_in_the_caller() -> None:
    """Whatever the start raises, `with` does not wait for ever."""
    with pytest.raises(OverflowError):
        Sandbox(port=-1).__enter__()


def test_rows_can_be_changed_from_any_thread_while_the_sandbox_answers() -> None:
    """No answer shows half of a change, and no change is lost."""
    with Sandbox(payouts=0, specifications=0, payments=0, rate_limit=None) as sandbox:

        def insert() -> None:
            for _ in range(100):
                sandbox.insert("payouts", {"amount": 1})

        async def read() -> list[int]:
            async with sandbox.connect() as amili:
                return [await amili.payouts.count() for _ in range(30)]

        threads = [threading.Thread(target=insert) for _ in range(3)]
        for thread in threads:
            thread.start()
        counts = asyncio.run(read())
        for thread in threads:
            thread.join()
        assert counts == sorted(counts)
        assert len(sandbox.rows("payouts")) == 300


async def test_records_are_inserted_as_they_are() -> None:
    """A record of each resource, with the id and the dates that it has, is read back as it was."""
    moment = datetime(2025, 6, 13, 8, tzinfo=UTC)
    records = [
        Payout(id=ID, created=moment, updated=moment, etag="e", payout_date=moment),
        PayoutSpecification(id=ID, created=moment, updated=moment, etag="e", amount=Decimal("0.1")),
        CreditorPayment(id=ID, created=moment, updated=moment, etag="e", amount=Decimal(3)),
        Creditor(id=ID, created=moment, updated=moment, etag="e", name="Åkerströms Bygg AB"),
        Case(id=ID, created=moment, updated=moment, etag="e", reference_number="17"),
    ]
    async with Sandbox(payouts=0, specifications=0, payments=0) as sandbox, sandbox.connect() as amili:
        resources = [amili.payouts, amili.payout_specifications, amili.creditor_payments, amili.creditors, amili.cases]
        for record, resource in zip(records, resources, strict=True):
            assert sandbox.insert(record) == ID
            read = [each async for each in resource.extract({"_id": ID})]  # type: ignore[attr-defined]
            assert read == [record]


async def test_a_row_is_checked() -> None:
    """A resource, a field and a value that the API does not have raise, each by name and without the value."""
    async with Sandbox(payouts=1) as sandbox:
        for resource, document, words in (
            ("payout", {}, "no resource 'payout'; it has payouts"),
            ("payouts", {"amuont": 1}, "no field 'amuont'"),
            ("payouts", {"payout_date": "SECRET"}, "payout_date"),
            ("payouts", {"amount": "SECRET"}, "amount"),
        ):
            with pytest.raises(ConfigurationError, match=words) as caught:
                sandbox.insert(resource, document)
            assert "SECRET" not in str(caught.value)
        made = sandbox.insert(
            "payouts", {"internal_note": 1, "payout_date": datetime(2025, 6, 13, tzinfo=UTC)}, extra=True
        )
        sandbox.update("payouts", made, {"currency": "EUR"})
        (row,) = [row for row in sandbox.rows("payouts") if row["_id"] == made]
        assert (row["internal_note"], row["currency"]) == (1, "EUR")
        sandbox.delete("payouts", made)
        assert len(sandbox.rows("payouts")) == 1


async def test_the_rate_limit_costs_no_real_time() -> None:
    """Three minutes of a strict server pass at once for a client that `connect()` made."""
    clock, started = SkippingClock(), time.monotonic()
    async with Sandbox(specifications=250, rate_limit=AMILI_LIMITS, clock=clock) as sandbox, sandbox.connect() as amili:
        began = clock.now()
        assert len(await amili.payout_specifications.stream(page_size=1).collect()) == 250
        assert {request.status for request in sandbox.requests} == {200}
        assert clock.now() - began >= 120
    assert time.monotonic() - started < 100


def test_the_environment_of_a_program() -> None:
    """`from_env` and the command line reach the sandbox with `environ()`."""
    with Sandbox(payouts=2) as sandbox:

        async def count() -> int:
            async with AmiliClient.from_env(sandbox.environ()) as amili:
                return await amili.payouts.count()

        assert asyncio.run(count()) == 2


@pytest.mark.parametrize("is_instance", [True, False])
def test_a_client_can_be_mocked_by_its_class(is_instance: bool) -> None:
    """`create_autospec(AmiliClient)` has the resources, and their async methods with the parameters that they have."""
    mock = create_autospec(AmiliClient, instance=is_instance)
    amili = mock if is_instance else mock("https://api.example.com", auth="token")
    for method in (amili.payouts.get, amili.creditor_payments.create, amili.cases.count, amili.auth.get_valid_token):
        assert isinstance(method, AsyncMock)
    with pytest.raises(AttributeError):
        _ = amili.payouts.gett
    with pytest.raises(TypeError, match="id"):
        amili.payouts.get()
    assert not isinstance(amili.payouts.stream, AsyncMock)
