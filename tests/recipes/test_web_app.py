"""The web app, as its own project would test it: with FastAPI's `TestClient` and the sandbox in a thread of its own."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from amili_async.testing import Fault, Sandbox
from tests.recipes.web_app import app


@pytest.fixture
def browser(amili_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """A browser of the running app, whose client connects to the sandbox."""
    for name, value in amili_sandbox.environ().items():
        monkeypatch.setenv(name, value)
    with TestClient(app) as running:
        yield running


def test_a_payout_is_shown(amili_sandbox: Sandbox, browser: TestClient) -> None:
    """Under the API's names; one that does not exist is a 404, and what is no id a 400."""
    made = amili_sandbox.insert("payouts", {"currency": "EUR"})
    shown = browser.get(f"/payouts/{made}").json()
    assert (shown["_id"], shown["currency"]) == (made, "EUR")
    assert [browser.get(f"/payouts/{wrong}").status_code for wrong in ("0" * 24, "5")] == [404, 400]


def test_errors_of_the_api_are_answered(amili_sandbox: Sandbox, browser: TestClient) -> None:
    """A 429 becomes a 503 at once, with the pause that the API requires."""
    (made, *_) = (row["_id"] for row in amili_sandbox.rows("payouts"))
    amili_sandbox.fail(Fault.too_many_requests(retry_after=60))
    rejected = browser.get(f"/payouts/{made}")
    assert (rejected.status_code, rejected.headers["retry-after"]) == (503, "60")


def test_a_download_has_every_payout(amili_sandbox: Sandbox, browser: TestClient) -> None:
    """Each once, as a file."""
    downloaded = browser.get("/payouts.csv")
    assert downloaded.headers["content-disposition"] == "attachment; filename=payouts.csv"
    ids = [line.split(",")[0] for line in downloaded.text.splitlines()[1:]]
    assert sorted(ids) == sorted(row["_id"] for row in amili_sandbox.rows("payouts"))


def test_a_download_that_cannot_begin_is_answered(amili_sandbox: Sandbox, browser: TestClient) -> None:
    """The status is the one of the error, instead of a file that is cut off."""
    amili_sandbox.fail(Fault(status=403), times=None)
    assert browser.get("/payouts.csv").status_code == 503
