"""Reconciliations for programs: one line of JSON or one row of CSV per payout, with exact digits."""

from decimal import Decimal
from typing import Any

from amili_async.cli.excel import ExcelCsv
from amili_async.cli.reports.reconciliation_words import describe_difference
from amili_async.export.formats import Csv
from amili_async.export.records import encode_lines
from amili_async.reconciliation.comparison import COLUMNS, Difference, Reconciliation

_PAYOUT_FIELDS = ("payout_reference", "payout_date", "finance_category", "creditor", "currency")
_PERIOD = ("finance_period_start_date", "finance_period_end_date")
_SIDES = ("stated", "found")
CSV_COLUMNS = (
    *("payout", *_PAYOUT_FIELDS, "specifications"),
    *(f"{side}_{column}" for side in _SIDES for column in COLUMNS),
    *("agrees", "unsettled", "differences", "differences_in_words"),
)
"""The header of the CSV."""


class JsonRows:
    """One document per line; unknown values are `null`, dates are ISO 8601."""

    header = b""

    def encode(self, reconciliation: Reconciliation) -> bytes:
        document = {
            "payout": reconciliation.payout_id,
            **_pick(reconciliation, *_PAYOUT_FIELDS, *_PERIOD),
            "agrees": reconciliation.agrees,
            "unsettled": reconciliation.unsettled,
            "specifications": reconciliation.sums.count,
            **_sides(reconciliation),
            "articles": reconciliation.articles,
            "differences": [_encode_difference(difference) for difference in reconciliation.differences],
        }
        return encode_lines([document])


class CsvRows:
    """The dialect of `amili export`, which writes text unchanged, because the file is for programs.

    Only the column of words is composed here, so only it must not begin like a formula.
    """

    def __init__(self, *, is_excel: bool = False) -> None:
        self._dialect = ExcelCsv(CSV_COLUMNS) if is_excel else Csv(CSV_COLUMNS)
        self.header = self._dialect.header

    def encode(self, reconciliation: Reconciliation) -> bytes:
        sides = _sides(reconciliation)
        row = {
            "payout": reconciliation.payout_id,
            **_pick(reconciliation, *_PAYOUT_FIELDS),
            "specifications": reconciliation.sums.count,
            **{f"{side}_{column}": sides[side][column] for side in _SIDES for column in COLUMNS},
            "agrees": reconciliation.agrees,
            "unsettled": reconciliation.unsettled,
            "differences": len(reconciliation.differences),
            "differences_in_words": "; ".join(map(describe_difference, reconciliation.differences)),
        }
        return self._dialect.encode([row])


def _pick(reconciliation: Reconciliation, *names: str) -> dict[str, Any]:
    """Fields of the payout; `None` where it lacks them or does not exist."""
    values = {name: getattr(reconciliation.payout, name, None) for name in names}
    # JSON has no infinity and no NaN, which Eve stores and sends if one was posted.
    return {
        name: None if isinstance(value, Decimal) and not value.is_finite() else value for name, value in values.items()
    }


def _sides(reconciliation: Reconciliation) -> dict[str, dict[str, Any]]:
    """The sums that the payout states, and those of its specifications."""
    found = {column: getattr(reconciliation.sums, column) for column in COLUMNS}
    return {"stated": _pick(reconciliation, *COLUMNS), "found": found}


def _encode_difference(difference: Difference) -> dict[str, Any]:
    """A difference without its payout, which the line contains already."""
    names = ("kind", "specification", "article", "field", "stated", "found", "is_noise")
    return {name: getattr(difference, name) for name in names}
