"""The sandbox under a test that freezes time: client and sandbox see the same moment, which may be in any year."""

import sys
import time
from datetime import UTC, datetime, tzinfo
from typing import Any, Self

import pytest

from amili_async import AmiliClient, ApiCodeCredentials, field
from amili_async.sandbox import Sandbox

MOMENT = datetime(2031, 5, 4, 3, 2, 1, tzinfo=UTC)


class FrozenDatetime(datetime):
    """The subclass by which such libraries replace `datetime` in every module."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return cls.fromtimestamp(MOMENT.timestamp(), tz)


@pytest.fixture
def _frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Freeze the wall clock as freezegun does, after the package is imported."""
    monkeypatch.setattr(time, "time", MOMENT.timestamp)
    for name in [name for name in sys.modules if name.startswith("amili_async")]:
        if getattr(sys.modules[name], "datetime", None) is datetime:
            monkeypatch.setattr(sys.modules[name], "datetime", FrozenDatetime)


@pytest.mark.usefixtures("_frozen")
async def test_a_client_and_a_sandbox_work_in_frozen_time() -> None:
    """The sandbox accepts the client's JWT and token, dates its answers and rows by that time, and filters by it."""
    small: dict[str, Any] = {"payouts": 3, "specifications": 30, "payments": 5}
    async with Sandbox(**small) as sandbox:
        auth = ApiCodeCredentials(sandbox.api_code, sandbox.private_key)
        async with AmiliClient(sandbox.url, auth=auth) as client:
            inserted = sandbox.insert("creditor--payments", {"amount": 1})
            found = await client.creditor_payments.stream(field("_created") >= MOMENT, sort="-_created").collect()
    assert [(payment.id, payment.created) for payment in found] == [(inserted, MOMENT)]
    assert {request.received_at for request in sandbox.requests} == {MOMENT.timestamp()}
    assert [request.status for request in sandbox.requests] == [200] * len(sandbox.requests)
