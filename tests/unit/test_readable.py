"""Numbers, money, dates and durations as people read them."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

from amili_async.readable import show_count, show_date, show_duration, show_money


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


def test_a_duration_has_one_unit() -> None:
    """Seconds, minutes or hours."""
    for seconds, shown in ((0.0, "1 s"), (89.4, "89 s"), (90.0, "2 min"), (540.0, "9 min"), (36_000.0, "10.0 h")):
        assert show_duration(seconds) == shown
