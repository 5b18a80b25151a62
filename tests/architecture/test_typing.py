"""The types as a type checker sees them: what must be inferred, and what must be refused."""

import re
from pathlib import Path

import pytest
from mypy import api

FOLDER = Path(__file__).parent / "typing"


def check(path: Path) -> list[str]:
    out, err, _ = api.run(["--strict", "--no-error-summary", "--hide-error-context", str(path)])
    assert not err, err
    return out.splitlines()


def test_types_are_inferred_as_promised() -> None:
    """Every assert_type holds under mypy --strict."""
    assert check(FOLDER / "accepted.py") == []


def test_mistakes_are_refused() -> None:
    """Each marked line causes the error that it names, and no other line causes any."""
    path = FOLDER / "refused.py"
    expected = {
        number: marked[1]
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if (marked := re.search(r"# refused: (\S+)", line))
    }
    found = dict.fromkeys(expected, "")
    for line in check(path):
        if match := re.search(r":(\d+): error: .*\[([\w-]+)\]$", line):
            found[int(match[1])] = match[2]
    assert found == expected


@pytest.mark.parametrize("name", ["accepted.py", "refused.py"])
def test_the_examples_are_there(name: str) -> None:
    """An empty file would pass any check."""
    assert len((FOLDER / name).read_text().splitlines()) > 15
