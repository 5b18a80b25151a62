"""What every test runs under: the extent of the searches, chosen by the expression of `-m`."""

import pytest

from tests.support.exhaustive import EXHAUSTIVE, load_profile


def pytest_configure(config: pytest.Config) -> None:
    """Choose the number of examples before any test module is imported, since decorators read it."""
    load_profile(is_whole=_is_whole(config))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Count each Hypothesis test as exhaustive where it runs with all its examples, so that `-m exhaustive` runs it."""
    if _is_whole(config):
        for item in items:
            if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
                item.add_marker(EXHAUSTIVE)


def _is_whole(config: pytest.Config) -> bool:
    return "not exhaustive" not in config.getoption("markexpr")
