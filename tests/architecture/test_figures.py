"""The size of the package: few files, short functions, and a reason at each line that needs one."""

from tests.architecture.figures import measure
from tests.architecture.source import PACKAGE

MOST_FILES = 208
MOST_LINES = 25_200
LEAST_COMMENTS = 0.015


def test_the_package_stays_within_its_size() -> None:
    """Files and lines stay below the limits that the project sets itself."""
    figures = measure(PACKAGE)
    assert figures.files <= MOST_FILES
    assert figures.lines <= MOST_LINES


def test_no_function_is_long() -> None:
    """A function has at most forty lines besides its docstring; the options of a command do not count."""
    assert measure(PACKAGE).longest_functions == []


def test_comments_give_reasons() -> None:
    """At least three lines in two hundred carry a comment for the reader."""
    assert measure(PACKAGE).comments >= LEAST_COMMENTS
