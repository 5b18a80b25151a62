"""What is written down of an export: where an unfinished one stands, and what a finished one holds."""

from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Raw, Struct

from amili_async.errors import ConfigurationError
from amili_async.export.beside import replace_file
from amili_async.models.decoding import decode_json

VERSION = 1
"""Of both files; another one is refused."""

_ANEW = "begin anew with overwrite (--force)"
AGAIN = f"go on with resume (--resume), or {_ANEW}"


NOTHING = Raw(b"null")
"""Stands for no checkpoint."""


class Terms(Struct, frozen=True, kw_only=True):
    """What must be the same for an export to go on, or for a file to be brought up to date."""

    resource: str
    """The API's path of it."""
    format: str
    """The suffix of the file, which stands for its format."""
    fields: tuple[str, ...] | None
    """The fields that were chosen; `None` for all of the record's."""


class Summary(Struct, frozen=True, kw_only=True):
    """What a finished export says of itself."""

    version: int = VERSION
    """Of this form."""
    plan: Terms
    """What was exported."""
    rows: int
    """How many records are in the file."""
    size: int
    """The bytes of the file, by which a change is noticed."""
    manifest: Raw
    """The extraction's manifest: where the file was brought up to date, of the changes alone."""


class State(Struct, frozen=True, kw_only=True):
    """Where an unfinished export stands."""

    version: int = VERSION
    """Of this form."""
    plan: Terms
    """What is being exported."""
    overwrite: bool
    """Whether the target may be replaced."""
    since: bool
    """Whether the target is brought up to date, rather than made."""
    sweep: bool = False
    """Whether rows that are gone are left out."""
    length: int
    """How many bytes of the spool the checkpoint covers."""
    checkpoint: Raw = NOTHING
    """The extraction's checkpoint; there in every state that was saved."""
    changed: int | None = None
    """How many rows were new or had changed; told once the whole file is there, where it is brought up to date."""
    finished: Summary | None = None
    """What is to be said of the file: there once it is whole and on the disk, be it under its name or beside it."""


T = TypeVar("T", State, Summary)


class _Versioned(Struct):
    version: int


def save(path: Path, state: State | Summary) -> None:
    """Replace the file, so that it is the old one or this one at any moment."""
    replace_file(path, msgspec.json.format(msgspec.json.encode(state), indent=2) + b"\n")


def load(path: Path, form: type[T]) -> T | None:
    """What was written down; `None` where nothing is, `ConfigurationError` where it is something else."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    versioned = decode_json(content, _Versioned)
    if versioned is not None and versioned.version != VERSION:
        raise ConfigurationError(f"{path} was written by another version of amili-async: {_ANEW}")
    written = decode_json(content, form)
    if written is None:
        what = "of an unfinished export" if form is State else "of an export"
        raise ConfigurationError(f"{path} is not the {form.__name__.lower()} {what}: {_ANEW}")
    return written


def check_same(plan: Terms, before: Terms, *, what: Path) -> None:
    """`ConfigurationError` says in what the export that is asked for differs from the one that *what* tells of."""
    for name in plan.__struct_fields__:
        if getattr(plan, name) != getattr(before, name):
            raise ConfigurationError(
                f"{what} is of another export: {name} was {_show(getattr(before, name))}, "
                f"and is {_show(getattr(plan, name))} now"
            )


def _show(value: str | tuple[str, ...] | None) -> str:
    return "not chosen" if value is None else value if isinstance(value, str) else ",".join(value)
