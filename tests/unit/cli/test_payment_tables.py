"""The outcomes of payments: their names, descriptions, tables and exit codes."""

import io
import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from amili_async import CreatedPayment, NewCreditorPayment, PaymentOutcome
from amili_async.cli.console import PlainConsole
from amili_async.cli.payment_csv import PaymentRow
from amili_async.cli.reports.payment_outcomes import NOT_COMPLETED, OutcomeCounts, OutcomeKind, ReportedOutcome
from amili_async.cli.reports.payment_tables import print_plan, print_problems
from amili_async.errors import (
    AmiliError,
    AuthenticationError,
    BudgetExhausted,
    ConfigurationError,
    ConnectionFailed,
    Forbidden,
    PaymentNotSent,
    PaymentOutcomeUnknown,
    RateLimited,
    ReferenceTaken,
    RegisteredTwice,
    ServerFault,
    TimedOut,
    ValidationFailed,
)
from tests.support import payments

ID = "6776478033d4049c0400dd72"
OTHER = payments.CREDITOR
HOSTILE = "\x1b[31m[red]:smile:\n\u202e"
"""A colour, markup, an emoji, a second line and reversed letters, if it were obeyed."""
SHOWN = r"\x1b[31m[red]:smile:\n\u202e"
GOOD = (OutcomeKind.REGISTERED, OutcomeKind.FOUND)


def make_payment(**changes: Any) -> NewCreditorPayment:
    booked = datetime(2025, 7, 4, tzinfo=UTC)
    own = {"amount": Decimal("1234.50"), "creditor_payment_reference": "PAY-1", "bank_transaction_date": booked}
    return payments.make_payment(**(own | changes))


PAYMENT = make_payment()


def created(line: int | None = 7, payment: NewCreditorPayment = PAYMENT, **fields: Any) -> ReportedOutcome:
    known = {"payment_status": "completed"} | fields
    outcome = PaymentOutcome(payment=payment, created=CreatedPayment(id=ID, **known))
    return ReportedOutcome(line=line, outcome=outcome)


def failed(error: Exception, *, cause: Exception | None = None, line: int = 7, **changes: Any) -> ReportedOutcome:
    error.__cause__ = cause
    return ReportedOutcome(line=line, outcome=PaymentOutcome(payment=make_payment(**changes), error=error))


def unknown(*matches: str, cause: Exception | None = None) -> ReportedOutcome:
    return failed(PaymentOutcomeUnknown("Do not send it", payment=PAYMENT, matches=matches), cause=cause)


def taken(*matches: str) -> ReportedOutcome:
    return failed(ReferenceTaken("it differs in amount; .matches has the ids", payment=PAYMENT, matches=matches))


def make_console(width: int) -> tuple[PlainConsole, io.StringIO]:
    console, file = PlainConsole(), io.StringIO()
    console.file, console.width = file, width
    return console, file


def show(*problems: ReportedOutcome, width: int = 80) -> str:
    """The printed tables of problems."""
    console, file = make_console(width)
    print_problems(console, problems)
    return file.getvalue()


def plan(*rows: PaymentRow, width: int = 120) -> str:
    """The printed plan."""
    console, file = make_console(width)
    print_plan(console, rows)
    return file.getvalue()


def in_one_line(text: str) -> str:
    return " ".join(text.split())


def test_each_outcome_has_its_name_and_its_exit_code() -> None:
    """Rejected is what the API rejected; not sent is what can simply be sent again; everything else is unknown."""
    for reported, kind, code in (
        (created(), OutcomeKind.REGISTERED, 0),
        (created(was_found=True), OutcomeKind.FOUND, 0),
        (failed(ValidationFailed("no", status=422)), OutcomeKind.REJECTED, 1),
        (failed(Forbidden("no", status=403)), OutcomeKind.REJECTED, 1),
        (taken(ID), OutcomeKind.TAKEN, 1),
        (failed(RegisteredTwice("no", payment=PAYMENT, matches=(ID, ID))), OutcomeKind.TWICE, 1),
        (failed(PaymentNotSent("no", payment=PAYMENT)), OutcomeKind.NOT_SENT, 3),
        (failed(ConnectionFailed("no", was_sent=False)), OutcomeKind.NOT_SENT, 3),
        (failed(ServerFault("of the token", status=500, request="POST /authenticates")), OutcomeKind.NOT_SENT, 3),
        (failed(RateLimited("no", status=429)), OutcomeKind.NOT_SENT, 3),
        (failed(BudgetExhausted("no", status=429)), OutcomeKind.NOT_SENT, 3),
        (failed(AuthenticationError("no", status=401)), OutcomeKind.NOT_SENT, 3),
        (failed(ConfigurationError("closed")), OutcomeKind.NOT_SENT, 3),
        (unknown(), OutcomeKind.UNKNOWN, 3),
        (failed(RuntimeError("hemlig")), OutcomeKind.UNKNOWN, 3),
    ):
        counts = OutcomeCounts(1)
        counts.add(reported)
        assert (reported.kind, reported.section, counts.exit_code) == (kind, kind, code)
        assert json.loads(reported.encode())["outcome"] == kind


def test_a_payment_that_is_not_completed_is_exit_code_1() -> None:
    """It is registered all the same and has its own section of the report."""
    statuses = (("completed", True), (None, True), ("warning", False), ("neu", False))
    for was_found, kind in ((False, OutcomeKind.REGISTERED), (True, OutcomeKind.FOUND)):
        for status, is_completed in statuses:
            reported, counts = created(status=status, was_found=was_found), OutcomeCounts(1)
            counts.add(reported)
            assert (reported.kind, reported.section) == (kind, kind if is_completed else NOT_COMPLETED)
            assert counts.exit_code == (0 if is_completed else 1)


def test_the_worst_outcome_decides_the_exit_code() -> None:
    """3 wins over 1, and 1 over 0; without payments it is 0."""
    counts = OutcomeCounts(5)
    assert counts.exit_code == 0
    for reported, code in ((created(), 0), (taken(ID), 1), (created(), 1), (unknown(), 3), (taken(ID), 3)):
        counts.add(reported)
        assert counts.exit_code == code
    assert counts.reported == 5


def test_the_summary_counts_each_outcome() -> None:
    """In one line, with the number of unknown outcomes and the source."""
    assert OutcomeCounts(0, "https://api.example").summarize() == "no payments"
    assert OutcomeCounts(1, "a").summarize() == "1 payment; the outcome of 1 is unknown (a)"
    outcomes = [created(), created(was_found=True), created(status="error"), taken(ID), unknown(), created()]
    outcomes += [failed(Forbidden("no", status=403)), failed(ConnectionFailed("no", was_sent=False))]
    counted = (
        "2 registered, 1 already registered, 1 unknown, 1 registered, but not completed, 1 rejected, "
        "1 with a taken reference, 1 not sent"
    )
    for total, summary in (
        (8, f"8 payments: {counted}"),
        (1008, f"1,008 payments: {counted}; the outcome of 1,000 is unknown"),
    ):
        counts = OutcomeCounts(total)
        for reported in outcomes:
            counts.add(reported)
        assert counts.summarize() == summary


def test_a_registered_payment_as_json() -> None:
    """What the API sent, with exact digits; absent values are null."""
    payment = make_payment(creditor_payment_reference='P"Å')
    full = created(payment=payment, status="warning", status_reason_locale="a.b", settled_amount=Decimal("10.00"))
    assert full.encode().decode() == (
        '{"line":7,"creditor_payment_reference":"P\\"Å","outcome":"registered",'
        f'"id":"{ID}","status":"warning","status_reason":null,"status_reason_locale":"a.b","settled_amount":10.00,"error":null}}\n'
    )
    assert json.loads(created(None, payment_status=None, settled_amount=Decimal("NaN")).encode()) == {
        "line": None,
        "creditor_payment_reference": "PAY-1",
        "outcome": "registered",
        "id": ID,
        **dict.fromkeys(("status", "status_reason", "status_reason_locale", "settled_amount", "error")),
    }


def test_the_status_that_is_not_completed_is_shown() -> None:
    """Where the API sends two."""
    for status, payment_status, shown in (
        ("completed", "completed", "completed"),
        ("completed", "error", "error"),
        ("warning", "completed", "warning"),
        (None, "completed", "completed"),
        ("completed", None, "completed"),
        (None, None, None),
    ):
        line: Any = created(status=status, payment_status=payment_status).encode()
        assert json.loads(line)["status"] == shown


def test_a_failed_payment_as_json() -> None:
    """The reason in words; the fields of registered payments are null."""
    line = json.loads(failed(Forbidden("it was answered with 403", status=403), line=9).encode())
    assert line == {
        "line": 9,
        "creditor_payment_reference": "PAY-1",
        "outcome": "rejected",
        "error": "it was answered with 403",
        **dict.fromkeys(("id", "status", "status_reason", "status_reason_locale", "settled_amount")),
    }


def test_each_outcome_is_described() -> None:
    """With the ids and fields that an investigation needs; of foreign errors only the name."""
    issues = {"case": ("is closed", "is old"), "amount": ("is low",)}
    fault = AmiliError("a 503").with_headers({"X-Request-ID": "abc-123"})
    for reported, description in (
        (failed(ValidationFailed("no", status=422, issues=issues)), "case: is closed, is old; amount: is low"),
        (failed(Forbidden("it was answered with 403", status=403)), "it was answered with 403"),
        (taken(ID, OTHER), f"it differs in amount: {ID}, {OTHER}"),
        (unknown(cause=TimedOut("no answer")), "no usable answer (no answer)"),
        (unknown(cause=ValueError("hemlig")), "no usable answer"),
        (unknown(ID, OTHER), f"no usable answer; 2 identical payments found: {ID}, {OTHER}"),
        (failed(PaymentNotSent("not sent", payment=PAYMENT), cause=AmiliError("a 503")), "not sent (a 503)"),
        (failed(PaymentNotSent("not sent", payment=PAYMENT)), "not sent"),
        (failed(PaymentNotSent("not sent (a 503)", payment=PAYMENT), cause=AmiliError("a 503")), "not sent (a 503)"),
        (failed(PaymentNotSent("not sent", payment=PAYMENT), cause=fault), "not sent (a 503 (request id abc-123))"),
        (
            failed(PaymentNotSent(f"not sent ({fault})", payment=PAYMENT), cause=fault),
            "not sent (a 503 (request id abc-123))",
        ),
        (unknown(cause=fault), "no usable answer (a 503 (request id abc-123))"),
        (failed(ConnectionFailed("no route", was_sent=False)), "no route"),
        (failed(RuntimeError("hemlig")), "unexpected error: RuntimeError"),
        (
            created(status="warning", status_reason_locale="reason.partly", settled_amount=Decimal(1000)),
            f"warning: reason.partly; 1,000.00 settled; id {ID}",
        ),
        (created(payment_status=None), f"id {ID}"),
    ):
        assert reported.describe() == description


def test_the_server_cannot_flood_the_report() -> None:
    """Its texts are cut."""
    reported = failed(ValidationFailed("no", status=422, issues={f"f{number}": ("x" * 300,) for number in range(9)}))
    assert len(reported.describe()) == 400


def test_each_section_has_its_advice() -> None:
    """Above the line, the reference, the amount and what happened."""
    twice = RegisteredTwice("2 like it; no", payment=PAYMENT, matches=(ID, ID))
    for reported, heading, advice in (
        (unknown(), "Unknown: it may be registered. Wait", "run the same command again with the same reference"),
        (created(status="error"), "Registered, but not completed: ", "they would be registered twice"),
        (failed(Forbidden("no", status=403)), "Rejected: not registered.", "Correct it and run"),
        (taken(ID), "With a taken reference: not sent.", "a unique reference"),
        (failed(twice), "Registered more than once: several identical payments", "cancel all but one"),
        (failed(ConnectionFailed("no", was_sent=False)), "Not sent: not registered by this run.", "Run the same"),
    ):
        shown = show(reported, width=200)
        assert shown.startswith(heading)
        assert advice in in_one_line(shown)
        assert re.search(rf"\n +7  PAY-1 +1,234\.50  {re.escape(reported.describe())}\s*\n\n$", shown)


def test_the_most_urgent_section_is_first() -> None:
    """Unknown payments are before those that only have to be sent again; each section is in the order of the file."""
    rejected = failed(Forbidden("no", status=403), line=2)
    shown = show(failed(ConnectionFailed("no", was_sent=False)), rejected, created(status="error"), unknown())
    order = ["Unknown", "Registered, but", "Rejected", "Not sent"]
    assert re.findall("^(Unknown|Registered, but|Rejected|Not sent)", shown, re.MULTILINE) == order
    lines = [failed(Forbidden(f"no {line}", status=403), line=line) for line in (3, 5, 8)]
    found = re.findall(r"^ +(\d)  PAY-1 +1,234.50  no (\d) *$", show(*lines), re.MULTILINE)
    assert found == [("3", "3"), ("5", "5"), ("8", "8")]


def test_a_common_description_is_shown_once() -> None:
    """Above the payments, each of which is listed."""
    shown = show(*(failed(ConnectionFailed("no route", was_sent=False), line=line) for line in (2, 3, 4)))
    assert shown.count("no route") == 1
    assert "What happened" not in shown
    assert re.findall(r"^ +(\d)  PAY-1 +1,234\.50\s*$", shown, re.MULTILINE) == ["2", "3", "4"]


def test_nothing_is_cut_in_a_narrow_terminal() -> None:
    """Long references are folded, and no line is wider than the terminal."""
    reference = "R" + "0123456789" * 12
    reported = failed(Forbidden("A" * 99, status=403), creditor_payment_reference=reference)
    for width in (30, 80):
        shown = show(reported, width=width)
        assert max(map(len, shown.splitlines())) <= width
        assert "…" not in shown
        assert sum(shown.count(digit) for digit in "0123456789") == 12 * 10 + len("7") + len("123450")
        assert shown.count("A") == 99 + shown.count("Am")
        assert ("1,234.50" in shown) or width == 30


def test_text_of_records_cannot_steer_the_terminal() -> None:
    """Neither in tables nor in descriptions; markup in a reference stays text."""
    registered = created(payment=make_payment(creditor_payment_reference="[red]:smile:[/red]"), status=HOSTILE)
    rejected = failed(ValidationFailed("no", status=422, issues={HOSTILE: (HOSTILE,)}))
    shown = show(registered, rejected, width=200)
    assert "[red]:smile:[/red]" in shown
    assert shown.count(SHOWN) == 3
    assert all(letter.isprintable() or letter == "\n" for letter in shown)


def test_a_plan_shows_every_payment_and_the_total() -> None:
    """Line, reference, creditor, case or invoice, day and amount; the total is exact."""
    by_invoice = make_payment(
        case=None,
        invoice_number="INV [b]1",
        amount=Decimal("0.01"),
        bank_transaction_date=datetime(2025, 7, 4, 8, tzinfo=UTC),
        creditor_payment_reference="PAY-2",
    )
    shown = plan(PaymentRow(line=2, payment=PAYMENT), PaymentRow(line=11, payment=by_invoice)).splitlines()
    assert shown[0].split("  ")[0] == "Line"
    assert shown[2].split() == ["2", "PAY-1", OTHER, payments.CASE, "2025-07-04", "1,234.50"]
    assert shown[3].split() == ["11", "PAY-2", OTHER, "INV", "[b]1", "2025-07-04T08:00:00Z", "0.01"]
    assert shown[4:] == ["", "2 payments, 1,234.51 SEK in total; nothing was sent"]


def test_a_plan_names_the_columns_that_it_drops() -> None:
    """A narrow terminal drops the creditor first; a payment from options has no line; an empty plan is a sentence."""
    shown = plan(PaymentRow(payment=PAYMENT), width=70)
    assert "Case or invoice" in shown
    assert shown.endswith("\nnot shown, because the terminal is too narrow: Creditor\n")
    assert re.search(r"^ +PAY-1 ", shown, re.MULTILINE)
    assert plan(width=70) == "no payments, 0.00 SEK in total; nothing was sent\n"


def test_a_long_reference_drops_no_column() -> None:
    """It is folded instead."""
    long = make_payment(creditor_payment_reference="R" * 255)
    shown = plan(PaymentRow(line=2, payment=long), width=110)
    assert "not shown" not in shown
    assert shown.count("R") == 255 + shown.count("Reference")
    assert max(map(len, shown.splitlines())) <= 110
