"""The words of this repository: none that the vocabulary replaces, and one meaning for each name."""

import ast
import re
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

from tests.architecture.source import MODULES, PACKAGE, ROOT, TESTS, find_public_names, parse

REPLACED = {
    r"the law": "invariant",
    r"(comes|goes|moves)": "inserted, deleted, changed",
    r"(on its way|under way)": "in flight, running",
    r"(told|says)": "reported, reports",
    r"(stands twice|doubled)": "appears twice, duplicate",
    r"is refused": "raises, is rejected",
    r"(a turn|gives? back a turn)": "a permit, releases a permit",
    r"meanwhile": "concurrently",
    r"(whoever|who reads)": "the caller, the consumer, the owner",
    r"(nobody|somebody)": "no caller, no process; another client",
    r"at its end": "finished",
    r"mended": "fixed",
    r"a try": "an attempt",
    r"the budget": "the rate limiter",
    r"the reserve": "the retry budget",
}
"""Words that are not used, and what is used instead."""

ANY_REPLACED = re.compile("|".join(REPLACED), re.IGNORECASE)

OTHER_MEANINGS = {
    r"else \"nobody\"": "the operating system's user without rights",
    r"connection is refused": "the operating system's term for a port on which no process listens",
}
"""Where such a word is the plain term of something else."""

ONE_NAME_TWO_THINGS = {
    "Sandbox": "that of `testing` is that of `sandbox`, with records, which the island cannot know",
    "Journal": "the exported rows on disk; the requests that a sandbox received. The sandbox is an island",
}
"""Public-looking names that two modules define, and why they stay."""
MOST_SHARED_NAMES = 10

PLURALS = re.compile(
    r"(?: more| other| further)? (?:attempts|columns|fields|ids|lines|pages|payments|payouts|records|requests|rows|"
    r"seconds|specifications|times)\b"
)
ALWAYS_SEVERAL = {
    "len(same)": "one alone was returned before",
    "len(found)": "one alone was returned before, and none has another text",
    "times": "a column that appears once is no problem",
    "request.method": "no number",
}
"""What precedes a plural in a text and is never 1; constants beside these."""


def find_words(path: Path) -> list[str]:
    """The lines of a file that use a replaced word, each with its place and the word to use."""
    lines = [
        (number, line) for number, line in enumerate(path.read_text().splitlines(), 1) if ANY_REPLACED.search(line)
    ]
    return [
        f"{path.relative_to(ROOT)}:{number}: {found[0]!r}: {better}"
        for number, line in lines
        for words, better in REPLACED.items()
        if (found := re.search(rf"\b{words}\b", line, re.IGNORECASE))
        and not any(re.search(meaning, line, re.IGNORECASE) for meaning in OTHER_MEANINGS)
    ]


def test_no_text_uses_a_replaced_word() -> None:
    """Names, docstrings, comments, messages and the README use the terms of the field."""
    paths = [
        ROOT / "README.md",
        *(path for folder in (PACKAGE, TESTS, ROOT / "benchmarks") for path in sorted(folder.rglob("*.py"))),
    ]
    assert [each for path in paths if path != Path(__file__) for each in find_words(path)] == []


def test_each_public_name_has_one_meaning() -> None:
    """A class, function, constant or alias is defined in one module, or the reason why not is written above."""
    homes: defaultdict[str, list[str]] = defaultdict(list)
    for module, path in MODULES.items():
        for name in find_public_names(path):
            homes[name].append(module)
    shared = {name: modules for name, modules in homes.items() if len(modules) > 1}
    assert {name: modules for name, modules in shared.items() if name not in ONE_NAME_TWO_THINGS} == {}
    assert [name for name in ONE_NAME_TWO_THINGS if name not in shared] == []
    assert len(ONE_NAME_TWO_THINGS) <= MOST_SHARED_NAMES


def find_counted_plurals(path: Path) -> list[str]:
    """The expressions before a plural in the f-strings of a file, each with its place, where it may be 1."""
    found = []
    for text in (node for node in ast.walk(parse(path)) if isinstance(node, ast.JoinedStr)):
        for number, after in pairwise(text.values):
            if isinstance(number, ast.FormattedValue) and isinstance(after, ast.Constant):
                expression = ast.unparse(number.value)
                is_several = expression in ALWAYS_SEVERAL or expression.rpartition(".")[2].isupper()
                if PLURALS.match(str(after.value)) and not is_several:
                    found.append(f"{path.relative_to(ROOT)}:{text.lineno}: {expression}")
    return found


def test_no_text_has_a_plural_after_the_number_one() -> None:
    """A number of things is worded by `show_count`, or so that the noun does not follow the number."""
    assert [each for path in MODULES.values() for each in find_counted_plurals(path)] == []
