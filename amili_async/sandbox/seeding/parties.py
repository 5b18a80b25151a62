"""The rows around payouts and payments: creditors, the cases that both refer to, and the texts of locale keys.

All names, numbers and addresses are invented, those of the debtors too, which the API has in each case.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from ..bson_values import write_date
from .plans import FIRST_DAY, Payee, as_number, random_etag, random_id
from .rows import STATES, automatic_fields

FIRST_CREDITOR_NUMBER = 2_000_037
_TEXTS: Mapping[str, tuple[str, str]] = {
    "creditor_payment.case_closed": ("The case is closed.", "Ärendet är avslutat."),
    "creditor_payment.overpaid": ("More was paid than was owed.", "Mer betalades än vad som var skyldigt."),
    "common__case_cancel": ("Cancel the case", "Avbryt ärendet"),
}


def make_creditors(creditors: Sequence[Payee], *, random: Random) -> list[dict[str, Any]]:
    """One row for each creditor: the second is inactive, and the third belongs to a partner and is not Swedish."""
    account, partner = (random_id(random, FIRST_DAY.timestamp()) for _ in range(2))
    return [
        {
            **_automatic(creditor.id, random),
            **({"partner": partner} if number == 2 else {"account": account}),
            "name": creditor.name,
            **_organization_no(number, random),
            "creditor_number": FIRST_CREDITOR_NUMBER + number,
            "is_active": number != 1,
            "description": f"Creditor {number}",
            "standard_debt_description": "Faktura",
            "always_use_standard_debt_description": number == 0,
            "default_letter_locale": "sv",
            "invoice_address": _make_address(random),
            "sender_address": _make_address(random),
            "payout_details": {"sek": {"bankgiro": f"{random.randint(100, 999)}-{random.randint(1000, 9999)}"}},
            "case_config": {"payout_capital_by_invoice": number % 2 == 0, "payout_interest_by_invoice": False},
        }
        for number, creditor in enumerate(creditors)
    ]


def _organization_no(number: int, random: Random) -> dict[str, str]:
    digits = random.randint(1000, 9999)
    return {"non_swedish_organization_no": f"FI {digits}"} if number == 2 else {"organization_no": f"556012-{digits}"}


def _make_address(random: Random) -> dict[str, str]:
    return {
        "address_line_1": f"Exempelgatan {random.randint(1, 99)}",
        "zip_code": f"{random.randint(100, 989)} {random.randint(10, 99)}",
        "city": "Örebro",
        "country": "SE",
    }


def _automatic(row_id: str, random: Random) -> dict[str, Any]:
    created = datetime.fromtimestamp(int(row_id[:8], 16), UTC)
    return automatic_fields(row_id, random_etag(random), created, created + timedelta(hours=8))


def make_cases(
    specifications: Iterable[Mapping[str, Any]],
    payments: Iterable[Mapping[str, Any]],
    creditors: Iterable[Payee],
    *,
    random: Random,
) -> list[dict[str, Any]]:
    """One row for each case that a specification or a payment refers to, by its id or by the number of its invoice."""
    names = {creditor.id: creditor.name for creditor in creditors}
    sources = (*_find_sources(specifications), *_find_sources(payments))
    return [_make_case(number, source, names, random) for number, source in enumerate(sources)]


def _find_sources(rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str, str, str | None]]:
    """Id of the case (empty if the row names an invoice instead), creditor, invoice number and reference number."""
    for row in rows:
        numbers = (row.get("invoice_number"), row.get("case_invoice_number"), *row.get("invoice_numbers", ()))
        case = row.get("case") or row.get("references", {}).get("case", "")
        if case or "case_invoice_number" in row:
            reference = row.get("reference_number") or row.get("case_reference_number")
            yield case, row["creditor"], next(filter(None, numbers)), reference


def _make_case(
    number: int, source: tuple[str, str, str, str | None], names: Mapping[str, str], random: Random
) -> dict[str, Any]:
    case, creditor, invoice, reference = source
    state, capital = random.choice(STATES), random.randrange(10_000, 900_000)
    entered = FIRST_DAY + timedelta(days=random.randrange(150))
    is_closed = number % 9 == 4
    return {
        **_automatic(case or random_id(random, FIRST_DAY.timestamp()), random),
        "creditor": creditor,
        "creditor_name": names[creditor],
        "customer": random_id(random, FIRST_DAY.timestamp()),
        "customer_name": f"Exempel Person {number}",
        "customer_id_number": f"19121212-{number % 10_000:04}",
        "customer_status": "initialized",
        "reference_number": reference or str(25_000 + number),
        "currency": "SEK",
        "state": state,
        "state_history": [{"state": state, "state_date": write_date(entered)}],
        "status": "initialized" if state == "initializing" else f"{state}_active",
        "latest_state_date": write_date(entered),
        "case_registration": random_id(random, FIRST_DAY.timestamp()),
        "debt": {
            "invoice_number": invoice,
            "debt_reference": f"DEBT-{number:05}",
            "invoice_date": write_date(entered - timedelta(days=60)),
            "initial_capital": as_number(capital, whole_as_int=number % 2 == 0),
            "capital_to_claim": as_number(capital),
            "debt_description": "Faktura",
        },
        "total_remaining_capital_amount": as_number(0 if is_closed else capital),
        # The API's documentation names the field and not its type; it is absent from some of the open cases.
        **({"closed": is_closed} if number % 3 else {}),
    }


def make_locales(*, random: Random) -> list[dict[str, Any]]:
    """The keys that payments have, and one of the documentation, in the languages of its example."""
    return [
        {
            **_automatic(random_id(random, FIRST_DAY.timestamp()), random),
            "application": "ada_agreement",
            "locale_tag": key,
            "description": english,
            "translations": {
                "en": {"translation": english, "comment": ""},
                "sv": {"translation": swedish, "comment": ""},
            },
            "machine_translations": {"fi": {"translation": f"[fi] {english}", "comment": ""}},
            "translation_pending": False,
        }
        for key, (english, swedish) in _TEXTS.items()
    ]
