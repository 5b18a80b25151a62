"""What became of a payment: one of seven things, and what to say of it.

The law: only what is certain is called registered or not registered; all else is unknown.
"""

from collections import Counter
from enum import StrEnum
from typing import Any

from msgspec import UNSET, Struct

from amili_async.cli.exit_codes import GOOD, NOT_RIGHT, REFUSED
from amili_async.cli.reports.reconciliation_overview import count_things
from amili_async.cli.values import show_money, show_text
from amili_async.errors import (
    AmiliError,
    ApiError,
    PaymentNotSent,
    PaymentOutcomeUnknown,
    RateLimited,
    ReferenceTaken,
    RegisteredTwice,
)
from amili_async.models import CreatedPayment, PaymentStatus
from amili_async.models.encoding import encode_json
from amili_async.payments import PaymentOutcome

NOT_COMPLETED = "registered, but not completed"
"""What is told of those whose status is not `completed`."""
_LONGEST_DESCRIPTION = 400


class Kind(StrEnum):
    """What became of a payment."""

    REGISTERED = "registered"
    FOUND = "found"
    REFUSED = "refused"
    TAKEN = "taken"
    TWICE = "registered_twice"
    NOT_SENT = "not_sent"
    UNKNOWN = "unknown"


_IN_WORDS: dict[str, str] = {
    Kind.FOUND: "found registered already",
    Kind.TAKEN: "with a reference that is taken",
    Kind.TWICE: "registered more than once",
    Kind.NOT_SENT: "not sent",
}
ADVICE: dict[str, str] = {
    Kind.TWICE: "several payments just like it are registered; nothing was sent now. Have Amili take back all but one.",
    Kind.UNKNOWN: "may be registered, or not. Run the same command again some minutes from now, with the same "
    "reference: what is registered is then found. Do not send it otherwise.",
    NOT_COMPLETED: "Look into these, and do not send them under another reference: they would be registered twice.",
    Kind.REFUSED: "certainly not registered. Correct it and run the same command again.",
    Kind.TAKEN: "not sent. See whether it is the registered payment; if not, give it a reference of its own.",
    Kind.NOT_SENT: "not registered by this run. Run the same command again: what is registered is found then.",
}
"""What to do about each, the most urgent first."""
_SECTIONS = (Kind.REGISTERED, Kind.FOUND, *ADVICE)


class Told(Struct, frozen=True, kw_only=True):
    """A payment, and what became of it."""

    line: int | None = None
    """The line of the file on which it stands; `None` where it came from options."""
    outcome: PaymentOutcome
    """What became of it."""

    @property
    def kind(self) -> Kind:
        """Unknown after `PaymentOutcomeUnknown`, and after an error that nobody foresaw."""
        created, error = self.outcome.created, self.outcome.error
        if created is not None:
            return Kind.FOUND if created.was_found else Kind.REGISTERED
        if isinstance(error, PaymentOutcomeUnknown) or not isinstance(error, AmiliError):
            return Kind.UNKNOWN
        if isinstance(error, ReferenceTaken):
            return Kind.TWICE if isinstance(error, RegisteredTwice) else Kind.TAKEN
        is_no = isinstance(error, ApiError) and not isinstance(error, RateLimited) and error.was_not_processed
        return Kind.REFUSED if is_no else Kind.NOT_SENT

    @property
    def section(self) -> str:
        """The part of the report that tells of it."""
        created = self.outcome.created
        return self.kind if created is None or created.is_completed else NOT_COMPLETED

    def describe(self) -> str:
        """What happened, in words that can be shown."""
        created, error = self.outcome.created, self.outcome.error
        if created is not None:
            return show_text(_describe_created(created))
        return show_text(_describe_error(error)[:_LONGEST_DESCRIPTION])

    def encode(self) -> bytes:
        """A JSON document on a line of its own; what is not known is `null`."""
        created = self.outcome.created
        settled = _pick(created, "settled_amount")
        document = {
            "line": self.line,
            "creditor_payment_reference": self.outcome.payment.creditor_payment_reference,
            "outcome": self.kind,
            "id": _pick(created, "id"),
            "status": created and _find_status(created),
            "status_reason_locale": _pick(created, "status_reason_locale"),
            "settled_amount": settled if settled is not None and settled.is_finite() else None,
            "error": None if created else self.describe(),
        }
        return f"{encode_json(document)}\n".encode()


class Tally:
    """How many payments came to what."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, told: Told) -> None:
        """Count one more."""
        self._counts[told.section] += 1

    @property
    def told(self) -> int:
        """How many there are."""
        return self._counts.total()

    @property
    def is_in_doubt(self) -> bool:
        """Whether one may be registered, or still be on its way."""
        return bool(self._counts[Kind.UNKNOWN])

    @property
    def exit_code(self) -> int:
        """That of the worst."""
        if self._counts.keys() & {Kind.UNKNOWN, Kind.NOT_SENT}:
            return REFUSED
        return NOT_RIGHT if self._counts.keys() - {Kind.REGISTERED, Kind.FOUND} else GOOD

    def conclude(self, total: int) -> str:
        """`57 payments: 54 registered, 2 found registered already, 1 refused`, as far as it is known."""
        counted = count_things(total, "payment")
        parts = [f"{self._counts[each]:,} {name_section(each)}" for each in _SECTIONS if self._counts[each]]
        told = f"{counted}: {', '.join(parts)}" if parts else counted
        missing = total - self.told
        return f"{told}; what became of {missing:,} is not known" if missing else told


def name_section(section: str) -> str:
    """What a section is called."""
    return _IN_WORDS.get(section, section)


def _describe_created(created: CreatedPayment) -> str:
    """Its status with the reason, what was settled, and its id."""
    settled = _pick(created, "settled_amount")
    parts = (
        ": ".join(filter(None, (_find_status(created), _pick(created, "status_reason_locale")))),
        f"{show_money(settled)} settled" if settled is not None else "",
        f"its id is {created.id}",
    )
    return "; ".join(filter(None, parts))


def _find_status(created: CreatedPayment) -> str | None:
    """The one that is not `completed`, if there is such."""
    told = [status for status in (created.status, created.payment_status) if isinstance(status, str)]
    return next((status for status in told if status != PaymentStatus.COMPLETED), next(iter(told), None))


def _describe_error(error: Exception | None) -> str:
    cause = error.__cause__ if error is not None else None
    because = f" ({cause})" if isinstance(cause, AmiliError) else ""
    match error:
        case PaymentOutcomeUnknown(matches=()):
            return f"no usable answer came{because}"
        case PaymentOutcomeUnknown(matches=matches):
            return f"no usable answer came, and {len(matches)} payments are just like it: {', '.join(matches)}"
        case ReferenceTaken(matches=matches):
            return f"{str(error).partition(';')[0]}: {', '.join(matches)}"
        case PaymentNotSent():
            return f"{error}{because}"
        case ApiError(issues=issues) if issues:
            return "; ".join(f"{name}: {', '.join(words)}" for name, words in issues.items())
        case AmiliError():
            return str(error)
        case _:
            return f"something that nobody foresaw: {type(error).__name__}"


def _pick(created: CreatedPayment | None, name: str) -> Any:
    """What the API told, or `None`."""
    value = getattr(created, name, None)
    return None if value is UNSET else value
