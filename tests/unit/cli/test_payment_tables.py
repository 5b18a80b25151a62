"""What is said of payments, and which exit code it comes to."""

import io
import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from msgspec import UNSET

from amili_async import CreatedPayment, NewCreditorPayment, PaymentOutcome
from amili_async.cli.console import Screen
from amili_async.cli.payment_csv import PaymentRow
from amili_async.cli.reports.payment_outcomes import NOT_COMPLETED, Kind, Tally, Told
from amili_async.cli.reports.payment_tables import print_plan, print_troubled
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

ID = "6776478033d4049c0400dd72"
OTHER = "674dbeb208847b9501cc9138"
HOSTILE = "\x1b[31m[red]:smile:\n\u202e"
"""What would be a colour, markup, an emoji, a second line, and letters that run backwards."""
SHOWN = r"\x1b[31m[red]:smile:\n\u202e"
GOOD = (Kind.REGISTERED, Kind.FOUND)


def make_payment(**changes: Any) -> NewCreditorPayment:
    fields: dict[str, Any] = {
        "creditor": OTHER,
        "case": "68678eda88b9226bb78d7169",
        "amount": Decimal("1234.50"),
        "bank_transaction_date": datetime(2025, 7, 4, tzinfo=UTC),
        "creditor_payment_reference": "PAY-1",
    }
    return NewCreditorPayment(**(fields | changes))


PAYMENT = make_payment()


def created(line: int | None = 7, payment: NewCreditorPayment = PAYMENT, **fields: Any) -> Told:
    known = {"payment_status": "completed"} | fields
    return Told(line=line, outcome=PaymentOutcome(payment=payment, created=CreatedPayment(id=ID, **known)))


def failed(error: Exception, *, cause: Exception | None = None, line: int = 7, **changes: Any) -> Told:
    error.__cause__ = cause
    return Told(line=line, outcome=PaymentOutcome(payment=make_payment(**changes), error=error))


def unknown(*matches: str, cause: Exception | None = None) -> Told:
    return failed(PaymentOutcomeUnknown("Do not send it", payment=PAYMENT, matches=matches), cause=cause)


def taken(*matches: str) -> Told:
    return failed(ReferenceTaken("it differs in amount; .matches has the ids", payment=PAYMENT, matches=matches))


def show(*troubled: Told, width: int = 80) -> str:
    """What is printed of them."""
    screen = Screen()
    screen.file = file = io.StringIO()
    screen.width = width
    print_troubled(screen, troubled)
    return file.getvalue()


def plan(*rows: PaymentRow, width: int = 120) -> str:
    """What is printed of payments that are to be registered."""
    screen = Screen()
    screen.file = file = io.StringIO()
    screen.width = width
    print_plan(screen, rows)
    return file.getvalue()


def in_one_line(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("told", "kind", "code"),
    [
        (created(), Kind.REGISTERED, 0),
        (created(was_found=True), Kind.FOUND, 0),
        (failed(ValidationFailed("no", status=422)), Kind.REFUSED, 1),
        (failed(Forbidden("no", status=403)), Kind.REFUSED, 1),
        (taken(ID), Kind.TAKEN, 1),
        (failed(RegisteredTwice("no", payment=PAYMENT, matches=(ID, ID))), Kind.TWICE, 1),
        (failed(PaymentNotSent("no", payment=PAYMENT)), Kind.NOT_SENT, 3),
        (failed(ConnectionFailed("no", was_sent=False)), Kind.NOT_SENT, 3),
        (failed(ServerFault("of the token", status=500, request="POST /authenticates")), Kind.NOT_SENT, 3),
        (failed(RateLimited("no", status=429)), Kind.NOT_SENT, 3),
        (failed(BudgetExhausted("no", status=429)), Kind.NOT_SENT, 3),
        (failed(AuthenticationError("no", status=401)), Kind.NOT_SENT, 3),
        (failed(ConfigurationError("closed")), Kind.NOT_SENT, 3),
        (unknown(), Kind.UNKNOWN, 3),
        (failed(RuntimeError("hemlig")), Kind.UNKNOWN, 3),
    ],
)
def test_each_outcome_has_its_name_and_its_exit_code(told: Told, kind: Kind, code: int) -> None:
    """Refused is what the API said no to; not sent is what may simply be tried again; else it is unknown."""
    tally = Tally()
    tally.add(told)
    assert (told.kind, told.section, tally.exit_code) == (kind, kind, code)
    assert json.loads(told.encode())["outcome"] == kind


@pytest.mark.parametrize(
    ("status", "is_completed"), [("completed", True), (UNSET, True), (None, True), ("warning", False), ("neu", False)]
)
@pytest.mark.parametrize("was_found", [False, True])
def test_what_is_not_completed_is_exit_code_1(status: Any, is_completed: bool, was_found: bool) -> None:
    """It is registered all the same, and has a part of the report for itself."""
    told, tally = created(status=status, was_found=was_found), Tally()
    tally.add(told)
    kind = Kind.FOUND if was_found else Kind.REGISTERED
    assert (told.kind, told.section) == (kind, kind if is_completed else NOT_COMPLETED)
    assert tally.exit_code == (0 if is_completed else 1)


def test_the_worst_outcome_decides_the_exit_code() -> None:
    """Three wins over one, and one over nought; without payments all is well."""
    tally = Tally()
    assert tally.exit_code == 0
    for told, code in ((created(), 0), (taken(ID), 1), (created(), 1), (unknown(), 3), (taken(ID), 3)):
        tally.add(told)
        assert tally.exit_code == code
    assert tally.told == 5


def test_the_conclusion_counts_each() -> None:
    """In one line, and with what is not known."""
    tally = Tally()
    assert tally.conclude(0) == "no payments"
    assert tally.conclude(1) == "1 payment; what became of 1 is not known"
    for told in (created(), created(was_found=True), created(status="error"), taken(ID), unknown(), created()):
        tally.add(told)
    tally.add(failed(Forbidden("no", status=403)))
    tally.add(failed(ConnectionFailed("no", was_sent=False)))
    counted = (
        "2 registered, 1 found registered already, 1 unknown, 1 registered, but not completed, 1 refused, "
        "1 with a reference that is taken, 1 not sent"
    )
    assert tally.conclude(8) == f"8 payments: {counted}"
    assert tally.conclude(1008) == f"1,008 payments: {counted}; what became of 1,000 is not known"


def test_a_registered_payment_as_json() -> None:
    """What the API told of it, with exact digits; what it did not tell is null."""
    payment = make_payment(creditor_payment_reference='P"Å')
    full = created(payment=payment, status="warning", status_reason_locale="a.b", settled_amount=Decimal("10.00"))
    assert full.encode().decode() == (
        '{"line":7,"creditor_payment_reference":"P\\"Å","outcome":"registered",'
        f'"id":"{ID}","status":"warning","status_reason_locale":"a.b","settled_amount":10.00,"error":null}}\n'
    )
    assert json.loads(created(None, payment_status=UNSET, settled_amount=Decimal("NaN")).encode()) == {
        "line": None,
        "creditor_payment_reference": "PAY-1",
        "outcome": "registered",
        "id": ID,
        **dict.fromkeys(("status", "status_reason_locale", "settled_amount", "error")),
    }


@pytest.mark.parametrize(
    ("status", "payment_status", "told"),
    [
        ("completed", "completed", "completed"),
        ("completed", "error", "error"),
        ("warning", "completed", "warning"),
        (UNSET, "completed", "completed"),
        ("completed", None, "completed"),
        (None, UNSET, None),
    ],
)
def test_the_status_is_the_one_that_is_not_right(status: Any, payment_status: Any, told: str | None) -> None:
    """Where the API tells two."""
    line = created(status=status, payment_status=payment_status).encode()
    assert json.loads(line)["status"] == told


def test_a_failed_payment_as_json() -> None:
    """The reason in words, and nothing that is only known of registered ones."""
    line = json.loads(failed(Forbidden("it was answered with 403", status=403), line=9).encode())
    assert line == {
        "line": 9,
        "creditor_payment_reference": "PAY-1",
        "outcome": "refused",
        "error": "it was answered with 403",
        **dict.fromkeys(("id", "status", "status_reason_locale", "settled_amount")),
    }


@pytest.mark.parametrize(
    ("told", "says"),
    [
        (
            failed(ValidationFailed("no", status=422, issues={"case": ("is closed", "is old"), "amount": ("is low",)})),
            "case: is closed, is old; amount: is low",
        ),
        (failed(Forbidden("it was answered with 403", status=403)), "it was answered with 403"),
        (taken(ID, OTHER), f"it differs in amount: {ID}, {OTHER}"),
        (unknown(cause=TimedOut("no answer came")), "no usable answer came (no answer came)"),
        (unknown(cause=ValueError("hemlig")), "no usable answer came"),
        (unknown(ID, OTHER), f"no usable answer came, and 2 payments are just like it: {ID}, {OTHER}"),
        (failed(PaymentNotSent("not sent", payment=PAYMENT), cause=AmiliError("a 503")), "not sent (a 503)"),
        (failed(PaymentNotSent("not sent", payment=PAYMENT)), "not sent"),
        (failed(ConnectionFailed("nobody answers", was_sent=False)), "nobody answers"),
        (failed(RuntimeError("hemlig")), "something that nobody foresaw: RuntimeError"),
        (
            created(status="warning", status_reason_locale="reason.partly", settled_amount=Decimal(1000)),
            f"warning: reason.partly; 1,000.00 settled; its id is {ID}",
        ),
        (created(payment_status=UNSET), f"its id is {ID}"),
    ],
)
def test_what_happened_is_put_in_words(told: Told, says: str) -> None:
    """With the ids and the fields that are needed to look into it; of strange errors only the name."""
    assert told.describe() == says


def test_the_server_cannot_flood_the_report() -> None:
    """Long words of it are cut."""
    told = failed(ValidationFailed("no", status=422, issues={f"f{number}": ("x" * 300,) for number in range(9)}))
    assert len(told.describe()) == 400


@pytest.mark.parametrize(
    ("told", "heading", "advice"),
    [
        (unknown(), "Unknown: may be registered, or not.", "some minutes from now, with the same reference"),
        (created(status="error"), "Registered, but not completed: ", "they would be registered twice"),
        (failed(Forbidden("no", status=403)), "Refused: certainly not registered.", "Correct it and run"),
        (taken(ID), "With a reference that is taken: not sent.", "a reference of its own"),
        (
            failed(RegisteredTwice("2 like it; no", payment=PAYMENT, matches=(ID, ID))),
            "Registered more than once: several payments just like it are registered;",
            "Have Amili take back all but one",
        ),
        (
            failed(ConnectionFailed("no", was_sent=False)),
            "Not sent: not registered by this run.",
            "Run the same command",
        ),
    ],
)
def test_each_trouble_has_a_part_with_what_to_do(told: Told, heading: str, advice: str) -> None:
    """And the line, the reference, the amount and what happened."""
    shown = show(told, width=200)
    assert shown.startswith(heading)
    assert advice in in_one_line(shown)
    assert re.search(rf"\n +7  PAY-1 +1,234\.50  {re.escape(told.describe())}\s*\n\n$", shown)


def test_the_most_urgent_comes_first() -> None:
    """What is unknown, before what only has to be sent again; in each part the order of the file."""
    refused = failed(Forbidden("no", status=403), line=2)
    shown = show(failed(ConnectionFailed("no", was_sent=False)), refused, created(status="error"), unknown())
    order = ["Unknown", "Registered, but", "Refused", "Not sent"]
    assert re.findall("^(Unknown|Registered, but|Refused|Not sent)", shown, re.MULTILINE) == order
    lines = [failed(Forbidden(f"no {line}", status=403), line=line) for line in (3, 5, 8)]
    found = re.findall(r"^ +(\d)  PAY-1 +1,234.50  no (\d) *$", show(*lines), re.MULTILINE)
    assert found == [("3", "3"), ("5", "5"), ("8", "8")]


def test_what_happened_to_all_is_said_once() -> None:
    """Above the payments, each of which is there."""
    shown = show(*(failed(ConnectionFailed("nobody answers", was_sent=False), line=line) for line in (2, 3, 4)))
    assert shown.count("nobody answers") == 1
    assert "What happened" not in shown
    assert re.findall(r"^ +(\d)  PAY-1 +1,234\.50\s*$", shown, re.MULTILINE) == ["2", "3", "4"]


@pytest.mark.parametrize("width", [30, 80])
def test_nothing_is_cut_in_a_narrow_terminal(width: int) -> None:
    """Long references are folded, and no line is wider than the terminal."""
    reference = "R" + "0123456789" * 12
    told = failed(Forbidden("A" * 99, status=403), creditor_payment_reference=reference)
    shown = show(told, width=width)
    assert max(map(len, shown.splitlines())) <= width
    assert "…" not in shown
    assert sum(shown.count(digit) for digit in "0123456789") == 12 * 10 + len("7") + len("123450")
    assert shown.count("A") == 99 + shown.count("Am")
    assert ("1,234.50" in shown) or width == 30


def test_what_records_hold_steers_no_terminal() -> None:
    """Not in tables, and not in words; markup in a reference stays text."""
    told = created(payment=make_payment(creditor_payment_reference="[red]:smile:[/red]"), status=HOSTILE)
    refused = failed(ValidationFailed("no", status=422, issues={HOSTILE: (HOSTILE,)}))
    shown = show(told, refused, width=200)
    assert "[red]:smile:[/red]" in shown
    assert shown.count(SHOWN) == 3
    assert all(letter.isprintable() or letter == "\n" for letter in shown)


def test_a_plan_shows_every_payment_and_the_total() -> None:
    """Line, reference, creditor, case or invoice, day and amount; the total is exact."""
    by_invoice = make_payment(
        case=UNSET,
        invoice_number="INV [b]1",
        amount=Decimal("0.01"),
        bank_transaction_date=datetime(2025, 7, 4, 8, tzinfo=UTC),
        creditor_payment_reference="PAY-2",
    )
    shown = plan(PaymentRow(line=2, payment=PAYMENT), PaymentRow(line=11, payment=by_invoice)).splitlines()
    assert shown[0].split("  ")[0] == "Line"
    assert shown[2].split() == ["2", "PAY-1", OTHER, "68678eda88b9226bb78d7169", "2025-07-04", "1,234.50"]
    assert shown[3].split() == ["11", "PAY-2", OTHER, "INV", "[b]1", "2025-07-04T08:00:00Z", "0.01"]
    assert shown[4:] == ["", "2 payments, 1,234.51 SEK in all; nothing was sent"]


def test_a_plan_says_what_it_leaves_out() -> None:
    """In a narrow terminal the creditor goes first; a payment from options has no line; an empty plan is a sentence."""
    shown = plan(PaymentRow(payment=PAYMENT), width=70)
    assert "Case or invoice" in shown
    assert shown.endswith("\nnot shown, for want of room: Creditor\n")
    assert re.search(r"^ +PAY-1 ", shown, re.MULTILINE)
    assert plan(width=70) == "no payments, 0.00 SEK in all; nothing was sent\n"


def test_a_long_reference_takes_no_column_away() -> None:
    """It is folded instead."""
    long = make_payment(creditor_payment_reference="R" * 255)
    shown = plan(PaymentRow(line=2, payment=long), width=110)
    assert "not shown" not in shown
    assert shown.count("R") == 255 + shown.count("Reference")
    assert max(map(len, shown.splitlines())) <= 110
