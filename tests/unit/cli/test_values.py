"""Single values as people read them."""

from typing import Any

from amili_async.cli.console import printable
from amili_async.cli.values import show_value


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
