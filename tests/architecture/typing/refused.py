"""What type checkers must refuse: each line marked with the error that it must cause."""

from amili_async import AmiliClient, NewCreditorPayment, Payout, RateLimit


async def misuse(amili: AmiliClient, payout: Payout, payouts: list[Payout]) -> None:
    """Each of these is a mistake that a type checker can see."""
    AmiliClient("https://api.example.com")  # refused: call-arg
    AmiliClient("https://api.example.com", "token", auth="x")  # refused: misc
    amili.payouts.stream(order="amount")  # refused: call-overload
    amili.payouts.stream(max_items="5")  # refused: call-overload
    await amili.payouts.get(5)  # refused: call-overload
    await amili.creditor_payments.create({"amount": 5})  # refused: arg-type
    payout.amount = None  # refused: misc
    str(payout.total_amount + 1)  # refused: operator
    bool(payout.total_amount > 5)  # refused: operator
    sum(each.total_amount for each in payouts)  # refused: misc
    sorted(each.payout_date for each in payouts)  # refused: type-var
    str(payout.payout_date.isoformat())  # refused: union-attr
    NewCreditorPayment.case.upper()  # refused: union-attr
    NewCreditorPayment(creditor="x")  # refused: call-arg
    RateLimit(50)  # refused: call-arg
    amili.payouts.extract(checkpoint="x")  # refused: call-overload
    amili.payouts.extract(sort="amount")  # refused: call-overload
