"""The bytes of a file depend on its rows alone, not on the batches or the files that they arrived in."""

import io
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amili_async import PayoutSpecification
from amili_async.export.formats import Format, format_for, parquet
from amili_async.export.spool import Frame, open_spool
from tests.support.export_records import make_line

SUFFIXES = [".ndjson", ".csv", ".parquet"]


@pytest.fixture(autouse=True, scope="module")
def _small_groups() -> Iterator[None]:
    """Several row groups, and several batches in each, of a few rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet, "READ_BATCH", 4)
        patch.setattr(parquet, "ROW_GROUP", 8)
        yield


def make_format(suffix: str) -> Format:
    return format_for(Path(f"a{suffix}"), None, PayoutSpecification)


def write_whole(file_format: Format, records: Sequence[Any]) -> bytes:
    """All rows as one frame, in order."""
    file = io.BytesIO()
    frames = [Frame(len(records), file_format.encode(records))] if records else []
    assert file_format.write(file, lambda: iter(frames)) == len(records)
    return file.getvalue()


@st.composite
def batches(draw: st.DrawFn) -> tuple[int, list[range]]:
    """A number of rows, cut into batches in any order."""
    count = draw(st.integers(0, 40))
    cuts = sorted(draw(st.sets(st.integers(1, max(1, count - 1)), max_size=8)))
    edges = [0, *(cut for cut in cuts if cut < count), count]
    pieces = [range(start, end) for start, end in pairwise(edges) if start < end]
    return count, draw(st.permutations(pieces))


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(deadline=None)
@given(arrived=batches())
def test_order_and_size_of_the_batches_do_not_change_the_file(
    suffix: str, arrived: tuple[int, list[range]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Batches that pass through the spool make the same bytes as all rows at once."""
    count, pieces = arrived
    file_format = make_format(suffix)
    spool = open_spool(tmp_path_factory.mktemp("order") / "a.part")
    spool.clear()
    for piece in pieces:
        records = [make_line(place) for place in piece]
        spool.append(bytes.fromhex(records[0].id), Frame(len(records), file_format.encode(records)))
    file = io.BytesIO()
    assert file_format.write(file, spool.frames) == count
    spool.remove()
    assert file.getvalue() == write_whole(file_format, [make_line(place) for place in range(count)])


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(deadline=None)
@given(
    old=st.sets(st.integers(0, 30)),
    new=st.sets(st.integers(0, 30)),
    removed=st.sets(st.integers(0, 30), max_size=5),
    size=st.integers(1, 7),
)
def test_a_merged_file_equals_one_written_at_once(
    suffix: str,
    old: set[int],
    new: set[int],
    removed: set[int],
    size: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """New rows replace old ones and removed ones are left out, as if the remaining rows were written at once."""
    file_format = make_format(suffix)
    path = tmp_path_factory.mktemp("merge") / f"a{suffix}"
    path.write_bytes(write_whole(file_format, [make_line(place) for place in sorted(old)]))
    fresh = [make_line(place, 1) for place in sorted(new)]
    frames = [
        Frame(len(part), file_format.encode(part))
        for part in (fresh[at : at + size] for at in range(0, len(fresh), size))
    ]
    removed_ids = frozenset(make_line(place).id for place in removed)
    file = io.BytesIO()
    rows = file_format.write(file, lambda: file_format.merge(path, iter(frames), removed_ids))
    kept = sorted((old | new) - removed)
    assert rows == len(kept)
    assert file.getvalue() == write_whole(file_format, [make_line(place, int(place in new)) for place in kept])
    assert list(file_format.read_ids(path)) == [make_line(place).id for place in sorted(old)]


@pytest.mark.parametrize("places", [(2, 1), (1, 3, 2), (1, 1), (1, 2, 3, 4, 4), (1, 2, 3, 4, 5, 5)])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_in_another_order_is_not_merged(suffix: str, places: tuple[int, ...], tmp_path: Path) -> None:
    """Rows that do not ascend by `_id`, or have it twice, raise, since merging them would be wrong."""
    file_format = make_format(suffix)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(write_whole(file_format, [make_line(place) for place in places]))
    with pytest.raises(ValueError, match="ascend"):
        list(file_format.merge(path, iter(()), frozenset()))
