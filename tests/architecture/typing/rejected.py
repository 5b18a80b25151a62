"""What type checkers must reject: each line marked with the code of mypy's error, and a checker that accepts it.

ty accepts an unknown option of `Unpack[…]`, by intent (astral-sh/ty#4212): for it a TypedDict is open unless it is
declared with `closed=True` (PEP 728), which Python before 3.15 does not have.
"""

from amili_async import AmiliClient, NewCreditorPayment, Payout, RateLimit
from amili_async.errors import PaymentOutcomeUnknown
from amili_async.testing import Sandbox


async def misuse(amili: AmiliClient, payout: Payout, payouts: list[Payout]) -> None:
    """Each of these is a mistake that a type checker can see."""
    AmiliClient("https://api.example.com")  # rejected: call-arg
    AmiliClient("https://api.example.com", "token", auth="x")  # rejected: misc
    amili.payouts.stream(order="amount")  # rejected: call-overload; not by ty
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
    amili.with_options(rate_limit=None)  # rejected: call-arg; not by ty
    AmiliClient(auth="x", rate_limit=object())  # rejected: arg-type
    PaymentOutcomeUnknown("x", payment=payout)  # rejected: arg-type
    amili.payouts.extract(checkpoint="x")  # rejected: call-overload
    amili.payouts.extract(sort="amount")  # rejected: call-overload; not by ty


def insert(sandbox: Sandbox, payout: Payout) -> None:
    """Mistakes of a test that uses the sandbox."""
    sandbox.insert(payout, {"currency": "EUR"})  # rejected: call-overload
    sandbox.insert({"currency": "EUR"})  # rejected: call-overload
    sandbox.insert(Payout(id="x", amount="5"))  # rejected: arg-type
    Sandbox(payouts="5")  # rejected: arg-type
    sandbox.connect(page_size="5")  # rejected: arg-type
