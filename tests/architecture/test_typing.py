"""The types that mypy infers, and the mistakes that it rejects."""

import re
from pathlib import Path

import pytest
from mypy import api

FOLDER = Path(__file__).parent / "typing"


def check(path: Path) -> list[str]:
    out, err, _ = api.run(["--strict", "--no-error-summary", "--hide-error-context", str(path)])
    assert not err, err
    return out.splitlines()


def test_types_are_inferred_as_documented() -> None:
    """Every assert_type holds under mypy --strict."""
    assert check(FOLDER / "accepted.py") == []


def test_mistakes_are_rejected() -> None:
    """Each marked line causes the error that it names, and no other line causes one."""
    path = FOLDER / "rejected.py"
    expected = {
        number: marked[1]
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if (marked := re.search(r"# rejected: (\S+)", line))
    }
    found = dict.fromkeys(expected, "")
    for line in check(path):
        if match := re.search(r":(\d+): error: .*\[([\w-]+)\]$", line):
            found[int(match[1])] = match[2]
    assert found == expected


@pytest.mark.parametrize("name", ["accepted.py", "rejected.py"])
def test_the_examples_exist(name: str) -> None:
    """Neither file of examples is empty, which would pass any check."""
    assert len((FOLDER / name).read_text().splitlines()) > 15
