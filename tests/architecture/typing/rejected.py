"""What type checkers must refuse: each line marked with the error that it must cause."""

from amili_async import AmiliClient, NewCreditorPayment, Payout, RateLimit
from amili_async.errors import PaymentOutcomeUnknown


async def misuse(amili: AmiliClient, payout: Payout, payouts: list[Payout]) -> None:
    """Each of these is a mistake that a type checker can see."""
    AmiliClient("https://api.example.com")  # rejected: call-arg
    AmiliClient("https://api.example.com", "token", auth="x")  # rejected: misc
    amili.payouts.stream(order="amount")  # rejected: call-overload
    amili.payouts.stream(max_items="5")  # rejected: call-overload
    await amili.payouts.get(5)  # rejected: call-overload
    await amili.creditor_payments.create({"amount": 5})  # rejected: arg-type
    payout.amount = None  # rejected: misc
    str(payout.total_amount + 1)  # rejected: operator
    bool(payout.total_amount > 5)  # rejected: operator
    sum(each.total_amount for each in payouts)  # rejected: misc
    sorted(each.payout_date for each in payouts)  # rejected: type-var
    str(payout.payout_date.isoformat())  # rejected: union-attr
    NewCreditorPayment.case.upper()  # rejected: union-attr
    NewCreditorPayment(creditor="x")  # rejected: call-arg
    RateLimit(50)  # rejected: call-arg
    RateLimit(max_wait=2)  # rejected: call-arg
    amili.with_options(max_wait="2")  # rejected: arg-type
    amili.with_options(rate_limit=None)  # rejected: call-arg
    AmiliClient(auth="x", rate_limit=object())  # rejected: arg-type
    PaymentOutcomeUnknown("x", payment=payout)  # rejected: arg-type
    amili.payouts.extract(checkpoint="x")  # rejected: call-overload
    amili.payouts.extract(sort="amount")  # rejected: call-overload
