"""What every test runs under: the extent of the searches, chosen by `-m`, and the event loop, chosen by `--loop`."""

import asyncio
import gc
import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.exhaustive import EXHAUSTIVE, load_profile
from tests.support.servers import claims_url, postgres_url, redis_server, valkey_server  # noqa: F401 - fixtures


def new_eager_loop() -> asyncio.AbstractEventLoop:
    """A loop whose tasks run at once until their first wait; Python 3.12 or later."""
    loop = asyncio.new_event_loop()
    factory: Any = asyncio.eager_task_factory  # type: ignore[attr-defined, unused-ignore]
    loop.set_task_factory(factory)
    return loop


def new_uvloop() -> asyncio.AbstractEventLoop:
    """A loop of uvloop, which must be installed."""
    import uvloop

    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


LOOPS = {"eager": new_eager_loop, "uvloop": new_uvloop}


class ChosenLoop:
    """Plugin that makes pytest-asyncio use one of `LOOPS`; not for the default, since it changes the ids of tests."""

    def __init__(self, name: str) -> None:
        self._name = name

    def pytest_asyncio_loop_factories(self) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
        return {self._name: LOOPS[self._name]}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the choice of the event loop."""
    parser.addoption("--loop", choices=("asyncio", *LOOPS), default="asyncio", help="the event loop of async tests")


def pytest_configure(config: pytest.Config) -> None:
    """Choose the number of examples before any test module is imported, since decorators read it; and the loop."""
    load_profile(is_whole=_is_whole(config))
    if (name := config.getoption("--loop")) != "asyncio":
        config.pluginmanager.register(ChosenLoop(name))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Let workers keep compiled modules where the environment forbids it: each program of a test would compile them."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Count each Hypothesis test as exhaustive where it runs with all its examples, so that `-m exhaustive` runs it."""
    if _is_whole(config):
        for item in items:
            if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
                item.add_marker(EXHAUSTIVE)


def pytest_collection_finish() -> None:
    """Exempt what was imported and collected from garbage collection, of which each full one would visit it all."""
    gc.collect()
    gc.freeze()


def _is_whole(config: pytest.Config) -> bool:
    return "not exhaustive" not in config.getoption("markexpr")
