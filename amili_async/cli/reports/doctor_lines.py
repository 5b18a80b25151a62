"""What `amili doctor` prints: some lines per check as soon as it is made, or one JSON document."""

import textwrap
from collections import Counter
from collections.abc import Sequence

import msgspec
from rich.text import Text

from amili_async.cli.console import PlainConsole, printable
from amili_async.cli.diagnosis.check import Check, CheckStatus
from amili_async.cli.diagnosis.doctor import NEEDS
from amili_async.cli.exit_codes import reword

_STYLES = {
    CheckStatus.OK: "green",
    CheckStatus.WARNING: "yellow",
    CheckStatus.FAILED: "bold red",
    CheckStatus.SKIPPED: "dim",
}
_FIELDS = "_fields"
_STATUS_WIDTH = max(map(len, CheckStatus)) + 2
_NAME_WIDTH = max(len(name) for name in NEEDS if not name.endswith(_FIELDS)) + 2


class CheckPrinter:
    """Prints each check on stdout: its status as a word, also where there is no colour."""

    def __init__(self) -> None:
        self._console = PlainConsole()
        self._counts: Counter[CheckStatus] = Counter()

    def add(self, check: Check) -> None:
        """Print one check, and below it what to do; that fields of a resource are skipped follows from its own line."""
        if check.status is CheckStatus.SKIPPED and check.name.endswith(_FIELDS):
            return
        self._counts[check.status] += 1
        # A check of fields is printed below that of its resource.
        name = "  fields" if check.name.endswith(_FIELDS) else check.name.replace("_", " ")
        message = [printable(check.message), *([f"To do: {printable(check.advice)}"] if check.advice else [])]
        indent = _STATUS_WIDTH + _NAME_WIDTH
        lines = [line for text in message for line in textwrap.wrap(text, max(20, self._console.width - indent))]
        line = Text(f"{check.status:{_STATUS_WIDTH}}", style=_STYLES[check.status])
        line.append(f"{name:{_NAME_WIDTH}}", style="default")
        line.append(f"\n{'':{indent}}".join(lines), style="default")
        self._console.print(line, soft_wrap=True)

    def finish(self) -> None:
        """Print how many checks ended in each way."""
        counts = [f"{self._counts[status]} {status}" for status in CheckStatus if self._counts[status]]
        self._console.print(Text(f"\n{', '.join(counts)}"), soft_wrap=True)


def in_words(check: Check) -> Check:
    """A check in the words of the command line."""
    return msgspec.structs.replace(check, message=reword(check.message), advice=reword(check.advice))


def encode_checks(checks: Sequence[Check]) -> bytes:
    """One JSON document; its names, and those of the checks, are the same in each release."""
    found = {check.status for check in checks}
    worst = next((status for status in (CheckStatus.FAILED, CheckStatus.WARNING) if status in found), CheckStatus.OK)
    return msgspec.json.format(msgspec.json.encode({"status": worst, "checks": checks}), indent=2) + b"\n"
