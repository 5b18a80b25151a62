"""Single values as a person reads them."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from amili_async.cli.values import printable, show_date, show_money, show_value


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (1064, "1,064.00"),
        (Decimal("1064.0"), "1,064.00"),
        (Decimal("-1234567.5"), "-1,234,567.50"),
        (Decimal("0.125"), "0.125"),
        (Decimal("0.1250"), "0.125"),
        (Decimal("12345678901234567890123456789.01"), "12,345,678,901,234,567,890,123,456,789.01"),
        (Decimal("1E+3"), "1,000.00"),
    ],
)
def test_money_has_two_decimals_and_is_never_rounded(amount: Any, shown: str) -> None:
    """More decimals than two are shown where there are more."""
    assert show_money(amount) == shown


def test_a_midnight_is_a_day() -> None:
    """Only midnight in UTC is shortened; any other zone is brought to UTC first."""
    assert show_date(datetime(2025, 6, 13, tzinfo=UTC)) == "2025-06-13"
    assert show_date(datetime(2025, 6, 13, 2, tzinfo=timezone(timedelta(hours=2)))) == "2025-06-13"
    assert show_date(datetime(2025, 6, 13, 8, tzinfo=UTC)) == "2025-06-13T08:00:00Z"


def test_text_cannot_steer_the_terminal() -> None:
    """Escape sequences and line ends are shown, not obeyed; letters stay as they are."""
    assert printable("Åke\x1b[31m\n") == "Åke\\x1b[31m\\n"


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("state", None, "null"),
        ("ready_for_payout", False, "false"),
        ("finance_period_day", 1234, "1234"),
        ("amount", 1234, "1,234.00"),
        ("invoice_numbers", ["INV-1", "INV-2"], "INV-1, INV-2"),
        ("references", {"case": "a"}, '{"case":"a"}'),
        ("creditor_name", "[red]Åke[/red] :smile:", "[red]Åke[/red] :smile:"),
    ],
)
def test_each_kind_of_value_has_its_form(name: str, value: Any, shown: str) -> None:
    """Only money is written as money; text is not taken for markup."""
    assert show_value(name, value).plain == shown
