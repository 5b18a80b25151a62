"""The types that mypy infers, and the mistakes that it rejects."""

import re
import subprocess
import sys

import pytest

from tests.architecture.typing.__main__ import FOLDER, find_disagreements, find_marked


def test_types_are_inferred_and_mistakes_rejected() -> None:
    """Under mypy --strict every assert_type holds; each marked line causes the error named there, no other one does."""
    files = [str(FOLDER / name) for name in ("accepted.py", "rejected.py")]  # in one run, which is slow to begin
    options = ("--strict", "--no-error-summary", "--hide-error-context")
    # Not in this process: mypy leaves three million objects, each of which every later garbage collection would visit.
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", *options, *files], capture_output=True, text=True, check=False
    )
    assert not checked.stderr, checked.stderr
    expected = find_marked("mypy")
    found = dict.fromkeys(expected, "")
    for line in checked.stdout.splitlines():
        if match := re.search(r"rejected\.py:(\d+): error: .*\[([\w-]+)\]$", line):
            found[int(match[1])] = match[2]
        else:
            assert "rejected.py" in line, line
    assert found == expected


@pytest.mark.parametrize("name", ["accepted.py", "rejected.py"])
def test_the_examples_exist(name: str) -> None:
    """Neither file of examples is empty, which would pass any check."""
    assert len((FOLDER / name).read_text().splitlines()) > 15


@pytest.mark.parametrize(
    ("checker", "form"),
    [
        ("mypy", "{file}:{line}: error: Bad  [misc]"),
        ("pyright", "  /home/typing/{file}:{line}:5 - error: Bad (reportCallIssue)\n    /home/x.py:1:1 is worse"),
        ("ty", "typing/{file}:{line}:5: error[missing-argument] Bad"),
    ],
)
def test_the_reports_of_checkers_are_read(checker: str, form: str) -> None:
    """CI compares each checker with the marks: an error too few and one too many are disagreements."""
    marked = sorted(find_marked(checker))
    lines = [form.format(file="rejected.py", line=line) for line in marked]
    assert find_disagreements(checker, "\n".join(lines)) == []
    assert find_disagreements(checker, "\n".join(lines[1:])) == [f"rejected.py:{marked[0]}: {checker} finds no error"]
    lines.append(form.format(file="accepted.py", line=3))
    assert find_disagreements(checker, "\n".join(lines)) == [f"accepted.py:3: {checker} finds an error"]
