"""What is saved of an export, and what is rejected when it is read."""

from pathlib import Path

import msgspec
import pytest

from amili_async.errors import ConfigurationError
from amili_async.export.journal import ExportSpec, ExportState, FinishedExport, check_spec, load, save

SPEC = ExportSpec(resource="finance--payouts", format=".csv", fields=("_id", "amount"))
STATE = ExportState(spec=SPEC, overwrite=False, since=False, spool_length=47, checkpoint=msgspec.Raw(b'{"version":1}'))
NO_UTF_8 = b'{"version":1,"spec":{"resource":"\xff"}}'
FINISHED = FinishedExport(spec=SPEC, rows=3, size=99, rounded=1, manifest=msgspec.Raw(b'{"rows":3}'))


def test_saved_documents_are_read_unchanged(tmp_path: Path) -> None:
    """State and manifest are read as they were saved, and no other file is left."""
    for type_, written in ((ExportState, STATE), (FinishedExport, FINISHED)):
        path = tmp_path / type_.__name__
        save(path, written)
        found = load(path, type_)  # type: ignore[type-var]
        assert msgspec.json.decode(msgspec.json.encode(found)) == msgspec.json.decode(msgspec.json.encode(written))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ExportState", "FinishedExport"]


def test_a_missing_file_is_no_state(tmp_path: Path) -> None:
    """Without a file there is no unfinished export."""
    assert load(tmp_path / "a", ExportState) is None


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"version":1}', b'{"version":1,"spec":{},"rows":"x"}', NO_UTF_8]
)
@pytest.mark.parametrize("type_", [ExportState, FinishedExport])
def test_a_file_with_other_content_is_rejected(content: bytes, type_: type[ExportState], tmp_path: Path) -> None:
    """The error names the file."""
    path = tmp_path / "a.csv.checkpoint.json"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"a\.csv\.checkpoint\.json is not the"):
        load(path, type_)


def test_another_version_is_rejected(tmp_path: Path) -> None:
    """A file of another release is not interpreted."""
    path = tmp_path / "a.json"
    save(path, msgspec.structs.replace(STATE, version=2))
    with pytest.raises(
        ConfigurationError, match=r"a\.json has version 2, but this release reads version 1: start again"
    ):
        load(path, ExportState)


def test_a_save_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk the old content is kept, and no other file is left."""
    path = tmp_path / "a.json"
    save(path, STATE)

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space"):
        save(path, msgspec.structs.replace(STATE, spool_length=99))
    found = load(path, ExportState)
    assert found is not None
    assert found.spool_length == STATE.spool_length
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "resource",
            "creditor--payments",
            "with resource=finance--payouts, not resource=creditor--payments: request the same resource",
        ),
        ("format", ".ndjson", "with format=.csv, not format=.ndjson: request the same format"),
        ("fields", None, "with fields=_id,amount, not fields=all: request the same fields"),
    ],
)
def test_the_option_that_differs_is_named(name: str, value: object, message: str) -> None:
    """Resuming with another option is rejected with its old and its new value."""
    check_spec(SPEC, SPEC, what=Path("a"))
    with pytest.raises(ConfigurationError, match=message):
        check_spec(msgspec.structs.replace(SPEC, **{name: value}), SPEC, what=Path("a"))
