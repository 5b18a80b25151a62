"""Whether an id appears twice, however many there are and in whatever order."""

import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct, field

from amili_async.export import seen_ids
from amili_async.export.seen_ids import SeenIds
from tests.support.export_records import make_line


@pytest.fixture(autouse=True, scope="module")
def _small_runs() -> Iterator[None]:
    """Runs of a few ids, read a few at a time, and a file on the disk."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("RUN", 4), ("_CHUNK", 2 * seen_ids.KEY_BYTES), ("_IN_MEMORY", 16)):
            patch.setattr(seen_ids, name, value)
        yield


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 60), min_size=1, max_size=7), max_size=12))
def test_an_id_that_appears_twice_is_found(pages: list[list[int]]) -> None:
    """In one page, in neighbouring pages or far apart: exactly if there is one."""
    places = [place for page in pages for place in page]
    twice = {make_line(place).id for place in places if places.count(place) > 1}
    with closing(SeenIds()) as seen:
        for page in pages:
            seen.add([make_line(place) for place in page])
            seen.spill(at_least=4)
        found = seen.find_duplicate()
    assert found in twice if twice else found is None


class Renamed(Struct):
    key: str = field(name="_id")


class Short(Struct):
    id: int


class WithoutId(Struct):
    name: str


@pytest.mark.parametrize(
    ("record", "is_found"),
    [({"_id": "a"}, True), ({"_id": 7}, True), ({}, False), (Renamed("x"), True), (Short(7), True)],
)
def test_the_id_of_any_record_is_compared(record: object, is_found: bool) -> None:
    """Dicts and structs of the caller's are compared by their ids; records without an id are not."""
    with closing(SeenIds()) as seen:
        seen.add([record, {"_id": "other"} if isinstance(record, dict) else type(record)("other")])  # type: ignore[call-arg]
        assert seen.find_duplicate() is None
        seen.add([record])
        assert (seen.find_duplicate() is not None) == is_found
        seen.add([WithoutId("x"), WithoutId("x")])


def test_memory_does_not_grow_with_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten times as many ids in random order take no more memory, while they arrive and while they are compared."""
    monkeypatch.setattr(seen_ids, "RUN", 500)
    peaks = []
    for count in (2_000, 20_000):
        numbers = Random(1)
        tracemalloc.start()
        with closing(SeenIds()) as seen:
            for _ in range(count // 100):
                seen.add([{"_id": f"{numbers.getrandbits(96):024x}"} for _ in range(100)])
                seen.spill(at_least=500)
            assert seen.find_duplicate() is None
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 2 * peaks[0]
