"""The outcome of a payment, one of seven, and its description.

Invariant: a payment is called registered or not registered only where that is certain; everything else is unknown.
"""

from collections import Counter
from enum import StrEnum

from msgspec import Struct

from amili_async.cli.console import printable
from amili_async.cli.exit_codes import API_FAILED, PROBLEM, SUCCESS
from amili_async.errors import (
    AmiliError,
    ApiError,
    PaymentNotSent,
    PaymentOutcomeUnknown,
    RateLimited,
    ReferenceTaken,
    RegisteredTwice,
)
from amili_async.export.records import encode_lines
from amili_async.models import CreatedPayment, PaymentStatus
from amili_async.payments import PaymentOutcome
from amili_async.readable import show_count, show_money

NOT_COMPLETED = "registered, but not completed"
"""The section of payments whose status is not `completed`."""
_MAX_DESCRIPTION_LENGTH = 400


class OutcomeKind(StrEnum):
    """The outcome of a payment."""

    REGISTERED = "registered"
    FOUND = "found"
    REJECTED = "rejected"
    TAKEN = "taken"
    TWICE = "registered_twice"
    NOT_SENT = "not_sent"
    UNKNOWN = "unknown"


HEADINGS: dict[str, str] = {
    OutcomeKind.FOUND: "already registered",
    OutcomeKind.TAKEN: "with a taken reference",
    OutcomeKind.TWICE: "registered more than once",
    OutcomeKind.NOT_SENT: "not sent",
}
"""The headings of sections that are not named like their kind."""
ADVICE: dict[str, str] = {
    OutcomeKind.TWICE: "several identical payments are registered; nothing was sent. Ask Amili to cancel all but one.",
    OutcomeKind.UNKNOWN: "it may be registered. Wait some minutes, then run the same command again with the same "
    "reference: a registered payment is found. Do not send it in any other way.",
    NOT_COMPLETED: "check these, and do not send them with another reference: they would be registered twice.",
    OutcomeKind.REJECTED: "not registered. Correct it and run the same command again.",
    OutcomeKind.TAKEN: "not sent. Check whether it is the registered payment; if not, give it a unique reference.",
    OutcomeKind.NOT_SENT: "not registered by this run. Run the same command again: registered payments are found.",
}
"""What to do about each section, the most urgent first."""
_SECTIONS = (OutcomeKind.REGISTERED, OutcomeKind.FOUND, *ADVICE)


class ReportedOutcome(Struct, frozen=True, kw_only=True):
    """A payment and its outcome."""

    line: int | None = None
    """The line of the file on which the payment begins; `None` for a payment from options."""
    outcome: PaymentOutcome
    """The outcome."""
    reason: str | None = None
    """The reason of the payment's status in words."""

    @property
    def kind(self) -> OutcomeKind:
        """Unknown after `PaymentOutcomeUnknown`, and after an error that is none of the package's."""
        created, error = self.outcome.created, self.outcome.error
        if created is not None:
            return OutcomeKind.FOUND if created.was_found else OutcomeKind.REGISTERED
        if isinstance(error, PaymentOutcomeUnknown) or not isinstance(error, AmiliError):
            return OutcomeKind.UNKNOWN
        if isinstance(error, ReferenceTaken):
            return OutcomeKind.TWICE if isinstance(error, RegisteredTwice) else OutcomeKind.TAKEN
        is_final = isinstance(error, ApiError) and not isinstance(error, RateLimited) and error.was_not_processed
        return OutcomeKind.REJECTED if is_final else OutcomeKind.NOT_SENT

    @property
    def section(self) -> str:
        """The section of the report that lists it."""
        created = self.outcome.created
        return self.kind if created is None or created.is_completed else NOT_COMPLETED

    def describe(self) -> str:
        """What happened, as printable text."""
        created, error = self.outcome.created, self.outcome.error
        if created is not None:
            return printable(_describe_created(created, self.reason))
        return printable(_describe_error(error)[:_MAX_DESCRIPTION_LENGTH])

    def encode(self) -> bytes:
        """One line of JSON; an unknown value is `null`."""
        created = self.outcome.created
        settled = None if created is None else created.settled_amount
        document = {
            "line": self.line,
            "creditor_payment_reference": self.outcome.payment.creditor_payment_reference,
            "outcome": self.kind,
            "id": created and created.id,
            "status": created and _decisive_status(created),
            "status_reason": self.reason,
            "status_reason_locale": created and created.status_reason_locale,
            "settled_amount": settled if settled is not None and settled.is_finite() else None,
            "error": None if created else self.describe(),
        }
        return encode_lines([document])


class OutcomeCounts:
    """Counts the outcomes of *total* payments that are sent to *source*."""

    def __init__(self, total: int, source: str = "") -> None:
        self.total = total
        self._source = source
        self._counts: Counter[str] = Counter()

    def add(self, reported: ReportedOutcome) -> None:
        """Count one more."""
        self._counts[reported.section] += 1

    @property
    def reported(self) -> int:
        """How many outcomes were counted."""
        return self._counts.total()

    @property
    def is_in_doubt(self) -> bool:
        """Whether a payment may be registered, now or later."""
        return bool(self._counts[OutcomeKind.UNKNOWN])

    @property
    def exit_code(self) -> int:
        """That of the worst outcome."""
        if self._counts.keys() & {OutcomeKind.UNKNOWN, OutcomeKind.NOT_SENT}:
            return API_FAILED
        return PROBLEM if self._counts.keys() - {OutcomeKind.REGISTERED, OutcomeKind.FOUND} else SUCCESS

    def summarize(self) -> str:
        """`57 payments: 54 registered, 2 already registered, 1 rejected`, with the source."""
        summary = show_count(self.total, "payment")
        parts = [f"{self._counts[each]:,} {HEADINGS.get(each, each)}" for each in _SECTIONS if self._counts[each]]
        if parts:
            summary += f": {', '.join(parts)}"
        if missing := self.total - self.reported:
            summary += f"; the outcome of {missing:,} is unknown"
        return f"{summary} ({self._source})" if self.total and self._source else summary


def _describe_created(created: CreatedPayment, reason: str | None) -> str:
    """Its status with the reason, the settled amount, and its id."""
    settled, because = created.settled_amount, reason or created.status_reason_locale or ""
    parts = (
        ": ".join(filter(None, (_decisive_status(created), because.rstrip(".")))),
        f"{show_money(settled)} settled" if settled is not None else "",
        f"id {created.id}",
    )
    return "; ".join(filter(None, parts))


def _decisive_status(created: CreatedPayment) -> str | None:
    """The first status that is not `completed`, else the first."""
    # One answer can hold both `status` and `_payment_status`, and they can differ.
    known = [status for status in (created.status, created.payment_status) if isinstance(status, str)]
    return next((status for status in known if status != PaymentStatus.COMPLETED), next(iter(known), None))


def _describe_error(error: Exception | None) -> str:
    cause = error.__cause__ if error is not None else None
    because = f" ({cause})" if isinstance(cause, AmiliError) else ""
    match error:
        case PaymentOutcomeUnknown(matches=()):
            return f"no usable answer{because}"
        case PaymentOutcomeUnknown(matches=matches):
            return f"no usable answer; {show_count(len(matches), 'identical payment')} found: {', '.join(matches)}"
        case ReferenceTaken(matches=matches):
            return f"{str(error).partition(';')[0]}: {', '.join(matches)}"
        case PaymentNotSent():
            text = str(error.args[0])  # without the id of the request, which the cause has
            return text if str(cause) in text else f"{text}{because}"
        case ApiError(issues=issues) if issues:
            return "; ".join(f"{name}: {', '.join(words)}" for name, words in issues.items())
        case AmiliError():
            return str(error)
        case _:  # its text may hold anything, credentials included
            return f"unexpected error: {type(error).__name__}"
