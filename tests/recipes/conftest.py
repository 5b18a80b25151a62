"""The sandbox of the recipes, as a user's tests have it, and none of the machine's variables."""

import pytest

from amili_async.environment import VARIABLES
from amili_async.testing import amili_clock, amili_sandbox

__all__ = ["amili_clock", "amili_sandbox"]


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the AMILI_ variables of the machine from the recipes."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
