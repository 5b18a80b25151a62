"""What one check found."""

from enum import StrEnum

from msgspec import Struct


class CheckStatus(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    """It works, but something may surprise, or soon fail."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """It needs what an earlier check found missing."""


class Check(Struct, frozen=True, kw_only=True):
    """The outcome of one check."""

    name: str
    """The same in each release."""
    status: CheckStatus
    message: str
    """What was found."""
    advice: str = ""
    """What to do about it; empty if there is nothing to do."""


def passed(name: str, message: str) -> Check:
    """A check that found nothing wrong."""
    return Check(name=name, status=CheckStatus.OK, message=message)


def warned(name: str, message: str, advice: str) -> Check:
    """A check that found what works and needs attention."""
    return Check(name=name, status=CheckStatus.WARNING, message=message, advice=advice)


def failed(name: str, message: str, advice: str) -> Check:
    """A check that found a fault."""
    return Check(name=name, status=CheckStatus.FAILED, message=message, advice=advice)


def skipped(name: str, reason: str) -> Check:
    """A check that could not be made."""
    return Check(name=name, status=CheckStatus.SKIPPED, message=f"not checked: {reason}")
