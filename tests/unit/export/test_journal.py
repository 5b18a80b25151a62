"""What is written down of an export, and what is refused when it is read."""

from pathlib import Path

import msgspec
import pytest

from amili_async.errors import ConfigurationError
from amili_async.export.journal import ExportSpec, ExportState, FinishedExport, check_same, load, save

PLAN = ExportSpec(resource="finance--payouts", format=".csv", fields=("_id", "amount"))
STATE = ExportState(plan=PLAN, overwrite=False, since=False, length=47, checkpoint=msgspec.Raw(b'{"version":1}'))
NO_UTF_8 = b'{"version":1,"plan":{"resource":"\xff"}}'
SUMMARY = FinishedExport(plan=PLAN, rows=3, size=99, manifest=msgspec.Raw(b'{"rows":3}'))


def test_what_was_saved_is_read(tmp_path: Path) -> None:
    """Both files come back as they were, and nothing else is left."""
    for form, written in ((ExportState, STATE), (FinishedExport, SUMMARY)):
        path = tmp_path / form.__name__
        save(path, written)
        found = load(path, form)  # type: ignore[type-var]
        assert msgspec.json.decode(msgspec.json.encode(found)) == msgspec.json.decode(msgspec.json.encode(written))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ExportState", "FinishedExport"]


def test_what_is_not_there_is_nothing(tmp_path: Path) -> None:
    """No file is no state."""
    assert load(tmp_path / "a", ExportState) is None


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"version":1}', b'{"version":1,"plan":{},"rows":"x"}', NO_UTF_8]
)
@pytest.mark.parametrize("form", [ExportState, FinishedExport])
def test_another_file_of_that_name_is_refused(content: bytes, form: type[ExportState], tmp_path: Path) -> None:
    """The sentence names the file."""
    path = tmp_path / "a.csv.checkpoint.json"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"a\.csv\.checkpoint\.json is not the"):
        load(path, form)


def test_another_version_is_refused(tmp_path: Path) -> None:
    """A file of a later release is not read as if it were ours."""
    path = tmp_path / "a.json"
    save(path, msgspec.structs.replace(STATE, version=2))
    with pytest.raises(ConfigurationError, match="another version"):
        load(path, ExportState)


def test_a_save_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk costs the new contents, never the old ones, and leaves nothing behind."""
    path = tmp_path / "a.json"
    save(path, STATE)

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space"):
        save(path, msgspec.structs.replace(STATE, length=99))
    found = load(path, ExportState)
    assert found is not None
    assert found.length == STATE.length
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("resource", "creditor--payments", "resource was finance--payouts, and is creditor--payments now"),
        ("format", ".ndjson", "format was .csv, and is .ndjson now"),
        ("fields", None, "fields was _id,amount, and is not chosen now"),
    ],
)
def test_what_differs_is_named(name: str, value: object, said: str) -> None:
    """Going on with something else is refused, and the sentence says what was and what is."""
    check_same(PLAN, PLAN, what=Path("a"))
    with pytest.raises(ConfigurationError, match=said):
        check_same(msgspec.structs.replace(PLAN, **{name: value}), PLAN, what=Path("a"))
