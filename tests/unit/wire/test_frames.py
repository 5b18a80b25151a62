"""Errors leave the package without its frames, which hold values."""

import asyncio
import traceback
from typing import Any

import pytest

from amili_async import AmiliClient, field, reconcile_payout
from amili_async._wire import frames
from amili_async._wire.frames import hide_frames, hide_own_frames, hide_variables
from amili_async.errors import ConfigurationError
from amili_async.models.fields import check_id

NO_PAYOUT: Any = object()


def files_of(error: BaseException) -> list[str]:
    """The files of a traceback, the caller's first."""
    return [entry.filename for entry in traceback.extract_tb(error.__traceback__)]


def test_an_error_is_raised_as_if_by_the_line_of_the_caller() -> None:
    """No frame is between that line and the error, not even the one that hides the others."""
    with pytest.raises(ConfigurationError) as caught:
        _ = field("amount") > "many"
    assert files_of(caught.value) == [__file__]
    assert not hasattr(caught.value, "__notes__")


def test_a_fault_of_ours_leaves_a_note() -> None:
    """An error that is not of the package names the lines through which it was raised, once."""
    with pytest.raises(AttributeError) as caught:
        reconcile_payout(NO_PAYOUT, [])
    assert files_of(caught.value) == [__file__]
    (note,) = caught.value.__notes__
    assert note.startswith("raised through amili_async: comparison.py:")
    assert note.endswith(" reconcile_payout")
    hide_own_frames(caught.value)
    assert caught.value.__notes__ == [note]


@pytest.mark.parametrize("link", ["__cause__", "__context__"])
def test_the_causes_of_an_error_have_no_frames_either(link: str) -> None:
    """A report shows the variables of each cause; a cycle of causes ends."""
    with pytest.raises(ConfigurationError) as caught:
        check_id("no id")
    assert len(files_of(caught.value)) == 2
    error = ConfigurationError("an error with a cause")
    setattr(error, link, caught.value)
    setattr(caught.value, link, error)
    assert hide_own_frames(error) is error
    assert files_of(caught.value) == [__file__]


async def test_a_coroutine_hides_its_frames() -> None:
    """The error of a coroutine function leaves it as that of a function does."""
    with pytest.raises(ConfigurationError) as caught:
        await AmiliClient(auth="token").payouts.get("no id")
    assert files_of(caught.value) == [__file__]


async def test_a_cancellation_passes_without_a_note() -> None:
    """Its frames are hidden, since a timeout around the call is reported with it as its cause."""

    @hide_variables
    async def wait() -> None:
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0):
            await wait()
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)
    assert frames.__file__ not in files_of(caught.value.__cause__)
    assert not hasattr(caught.value.__cause__, "__notes__")


def test_the_frames_of_one_library_are_left_out() -> None:
    """The others stay in their order, with their lines."""
    with pytest.raises(ConfigurationError) as caught:
        check_id("no id")
    trace = caught.value.__traceback__
    whole = traceback.extract_tb(trace)
    assert traceback.extract_tb(hide_frames("asyncio", trace)) == whole
    assert traceback.extract_tb(hide_frames("amili_async", trace)) == whole[:1]
    assert traceback.extract_tb(hide_frames("tests", trace)) == whole[1:]
    assert hide_frames("tests", None) is None
