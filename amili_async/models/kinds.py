"""What kind of value each documented field holds, for those who compare with it or write it to a file."""

_NAMES_OF_KIND = {
    "an id": "_id creditor payout account case file_import_report "
    "references.case references.debt_collection references.enforcement",
    "a date": "_created _updated payout_date booking_date state_date bank_transaction_date client_registration_date "
    "finance_period_start_date finance_period_end_date",
    "a number": "amount vat_amount total_amount settled_amount finance_period_day",
    "text": "_etag currency payout_reference finance_category finance_interval creditor_name article state "
    "payout_interval reference_number invoice_number invoice_numbers origin status status_reason_locale "
    "creditor_payment_reference case_invoice_number case_reference_number _status _payment_status",
    "true or false": "ready_for_payout",
    "an object": "summary references",
}
KINDS = {name: kind for kind, names in _NAMES_OF_KIND.items() for name in names.split()}
"""What the documented fields hold; a value of another kind matches nothing, and the API does not say so."""

MONEY = ("amount", "vat_amount", "total_amount", "settled_amount")
"""The fields that hold money."""
