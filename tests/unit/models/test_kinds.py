"""What the API documents of each field, which the annotations of the records must express."""

from amili_async.models.kinds import CATEGORICAL_FIELDS, KINDS, MONEY

DOCUMENTED = {
    "an id": "_id creditor payout account case file_import_report partner "
    "references.case references.debt_collection references.enforcement",
    "a date": "_created _updated payout_date booking_date state_date bank_transaction_date client_registration_date "
    "finance_period_start_date finance_period_end_date latest_state_date",
    "a number": "amount vat_amount total_amount settled_amount finance_period_day creditor_number",
    "text": "_etag currency payout_reference finance_category finance_interval creditor_name article state "
    "payout_interval reference_number invoice_number invoice_numbers origin status status_reason_locale "
    "creditor_payment_reference case_invoice_number case_reference_number _status _payment_status name organization_no "
    "non_swedish_organization_no description standard_debt_description default_letter_locale debt.invoice_number",
    "true or false": "ready_for_payout is_active always_use_standard_debt_description added_to_erp_system",
    "an object": "summary references agreement_address sender_address invoice_address payout_details case_config debt",
}


def test_each_documented_field_has_its_kind() -> None:
    """The kinds are those of the API's documentation, and only `closed`, of which it has none, has none."""
    assert {name: kind for kind, names in DOCUMENTED.items() for name in names.split()} == KINDS


def test_money_and_categories_are_annotated() -> None:
    """The fields of money, and those that hold one of a few words, are those of the API's documentation."""
    assert MONEY == ("amount", "vat_amount", "total_amount", "settled_amount")
    words = "article currency finance_category finance_interval origin payout_interval state status"
    assert {*words.split(), "_status", "_payment_status"} == CATEGORICAL_FIELDS
