"""Single values as people read them."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from amili_async.cli.console import printable
from amili_async.cli.values import show_count, show_date, show_money, show_value


def test_money_has_at_least_two_decimals_and_is_never_rounded() -> None:
    """All further decimals are shown."""
    amounts: tuple[tuple[int | Decimal, str], ...] = (
        (1064, "1,064.00"),
        (Decimal("1064.0"), "1,064.00"),
        (Decimal("-1234567.5"), "-1,234,567.50"),
        (Decimal("0.125"), "0.125"),
        (Decimal("0.1250"), "0.125"),
        (Decimal("12345678901234567890123456789.01"), "12,345,678,901,234,567,890,123,456,789.01"),
        (Decimal("1E+3"), "1,000.00"),
        (Decimal("1E+39"), f"1{',000' * 13}.00"),
        (Decimal("1E+41"), "1E+41"),
        (Decimal("-1.50E-60"), "-1.5E-60"),
        (Decimal("1E+100000000"), "1E+100000000"),
        (Decimal("0E+100000000"), "0.00"),
        (Decimal("NaN"), "NaN"),
    )
    for amount, shown in amounts:
        assert show_money(amount) == shown


def test_a_midnight_is_a_day() -> None:
    """Only midnight in UTC is shortened; other zones are converted to UTC first."""
    assert show_date(datetime(2025, 6, 13, tzinfo=UTC)) == "2025-06-13"
    assert show_date(datetime(2025, 6, 13, 2, tzinfo=timezone(timedelta(hours=2)))) == "2025-06-13"
    assert show_date(datetime(2025, 6, 13, 8, tzinfo=UTC)) == "2025-06-13T08:00:00Z"


def test_one_thing_is_singular() -> None:
    """None and many are plural."""
    shown = [show_count(number, "payout") for number in (0, 1, 2, 1_000)]
    assert shown == ["no payouts", "1 payout", "2 payouts", "1,000 payouts"]


def test_text_cannot_steer_the_terminal() -> None:
    """Escape sequences and line ends are shown, not obeyed; letters stay unchanged."""
    assert printable("Åke\x1b[31m\n") == "Åke\\x1b[31m\\n"


def test_each_kind_of_value_has_its_form() -> None:
    """Only money is shown as money; text is not read as markup."""
    values: tuple[tuple[str, Any, str], ...] = (
        ("state", None, "null"),
        ("ready_for_payout", False, "false"),
        ("finance_period_day", 1234, "1234"),
        ("amount", 1234, "1,234.00"),
        ("invoice_numbers", ["INV-1", "INV-2"], "INV-1, INV-2"),
        ("references", {"case": "a"}, '{"case":"a"}'),
        ("creditor_name", "[red]Åke[/red] :smile:", "[red]Åke[/red] :smile:"),
    )
    for name, value, shown in values:
        assert show_value(name, value).plain == shown
