"""`python3 -m tests.architecture.typing pyright`: check that a type checker agrees about both programs of this folder.

It must find nothing in `accepted.py`, and in `rejected.py` an error on each marked line and on no other.
"""

import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
CHECKERS = {
    "mypy": ("mypy", "--strict", "--no-error-summary"),
    "pyright": ("pyright",),
    "ty": ("ty", "check", "--output-format", "concise"),
}
"""How each checker is called; the files follow."""


def find_marked(checker: str) -> dict[int, str]:
    """The lines of `rejected.py` on which this checker must find an error, and the code of mypy's."""
    marks = {}
    for number, line in enumerate((FOLDER / "rejected.py").read_text().splitlines(), 1):
        mark = re.search(r"# rejected: ([\w-]+)(?:; not by (\w+))?", line)
        if mark is not None and mark[2] != checker:
            marks[number] = mark[1]
    return marks


def find_disagreements(checker: str, report: str) -> list[str]:
    """Where the report of a checker differs from what the two programs expect."""
    expected = {("rejected.py", line) for line in find_marked(checker)}
    errors = re.findall(r"(\w+\.py):(\d+)(?::\d+)?(?: -|:) error", report)
    found = {(file, int(line)) for file, line in errors}
    unexpected = [f"{file}:{line}: {checker} finds an error" for file, line in sorted(found - expected)]
    return unexpected + [f"{file}:{line}: {checker} finds no error" for file, line in sorted(expected - found)]


def main(checker: str) -> None:
    """Run one checker; the program fails with its report if it disagrees."""
    command = [*CHECKERS[checker], *(str(FOLDER / name) for name in ("accepted.py", "rejected.py"))]
    report = subprocess.run(command, capture_output=True, text=True, check=False)
    if disagreements := find_disagreements(checker, report.stdout):
        raise SystemExit("\n".join((report.stdout, report.stderr, *disagreements)))


if __name__ == "__main__":
    main(sys.argv[1])
