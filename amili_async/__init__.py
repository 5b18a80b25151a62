"""Async SDK for the finance side of the Amili API: payouts, payout specifications and creditor payments.

The package is a stack of layers; imports only go down, and `client.py` alone wires them.

    cli/  __main__.py                       the command `amili`
    testing.py  dask.py  dlt.py             for users' tests, clusters and pipelines
    client.py  environment.py               AmiliClient, and its options from environment variables
    export/  payments/  reconciliation/     files; registering payments; payouts against their specifications
    shared/                                 what processes with one key share: rate limiter, token, claims
    payouts.py  creditors.py  cases.py      what these resources have besides
    resources.py                            Resource: get, page, count, stream, extract, split, sweep, plan
    streams.py  extraction/                 records in the order of a sort; every record exactly once
    deliveries.py  handlers.py  tables.py   records acknowledged by workers; handled one by one; as Arrow tables
    _paging/                                prefetch window; offset and keyset pagination; partitioned scan
    _wire/                                  one request: listing, pipeline, retry, token, rate limiter, session
    conditions.py  filters.py  query.py     what to ask for, checked before it is sent
    models/                                 records, and how JSON becomes one
    auth.py  policies.py  observers/  events.py  errors.py  response_head.py     what you pass in or get back
    notebooks.py  meter.py  readable.py     what a notebook shows; progress, numbers, money and dates in words
    sandbox/                                an Amili in the process; shares no code with the rest

One page of a stream: `Stream` takes pages from its `PrefetchWindow` (`_paging/prefetch.py`), which keeps requests in
flight ahead of the consumer. `_wire/listing.py` makes the request. `_wire/pipeline.py` carries it: a token
(`token_provider.py`), a permit (`rate_limiter.py`, whose rules are in `sliding_window.py`), one attempt (`session.py`,
the only file that knows aiohttp), then the check of status and body (`protocol.py`, `error_responses.py`). After a 401
the pipeline replaces the rejected token and sends once more; after a transient failure `retry.py` attempts again.
`calls.py` reports each step to the observers.
`decoding.py` decodes the page when the consumer takes it.

One page of an extraction: `_paging/scan.py` requests ranges of `_id` concurrently; `partition.py` knows which ids are
left, and `scan_checks.py` verifies that the server honours ranges. `extraction/checkpoint.py` covers what was taken.
`export/` appends each batch to a spool (`spool.py`) and records in `journal.py` how much of it is durable; `commit.py`
makes the file appear. `export/formats/` has the writers of ndjson, csv and Parquet. With `deliveries()` and
`for_each()` the checkpoint covers what was finished instead; `extraction/split.py` cuts an extraction into parts.

One payment: `payments/create.py` sends it once. If the outcome is unknown, `payments/lookup.py` searches for it; it is
returned, or `PaymentOutcomeUnknown` is raised, and it is never sent again. `payments/batch.py` looks a list up first.
"""

from amili_async.auth import ApiCodeCredentials, AuthTokenProvider, Signer, Token, TokenSource, TokenStore
from amili_async.cases import Cases
from amili_async.client import AmiliClient
from amili_async.conditions import Condition, Field, Where, field
from amili_async.creditors import Creditors
from amili_async.deliveries import Delivery
from amili_async.environment import SANDBOX_URL, CallOptions, ClientOptions
from amili_async.errors import AmiliError
from amili_async.events import Event, Observer
from amili_async.extraction import Checkpoint, Extraction, Manifest, Part, Plan, Since, Split, Verdict
from amili_async.models import (
    Article,
    Case,
    CaseState,
    Category,
    CreatedPayment,
    Creditor,
    CreditorPayment,
    FinanceCategory,
    Id,
    Money,
    NewCreditorPayment,
    PaymentStatus,
    Payout,
    PayoutSpecification,
    PayoutSummary,
    Portable,
    Record,
    Timestamp,
)
from amili_async.pages import Page
from amili_async.payments import Claims, CreditorPayments, PaymentOutcome
from amili_async.payouts import Payouts
from amili_async.policies import Priority, Quota, RateLimit, RateLimiter, RetryPolicy
from amili_async.query import Projection, Sort
from amili_async.reconciliation.comparison import (
    Difference,
    DifferenceKind,
    Reconciliation,
    Specification,
    Sums,
    reconcile_payout,
)
from amili_async.resources import ExtractOptions, PageOptions, Resource, StreamOptions
from amili_async.response_head import Headers, ResponseHead
from amili_async.stream_checkpoint import StreamCheckpoint
from amili_async.streams import Stream

__all__ = [
    "SANDBOX_URL",
    "AmiliClient",
    "AmiliError",
    "ApiCodeCredentials",
    "Article",
    "AuthTokenProvider",
    "CallOptions",
    "Case",
    "CaseState",
    "Cases",
    "Category",
    "Checkpoint",
    "Claims",
    "ClientOptions",
    "Condition",
    "CreatedPayment",
    "Creditor",
    "CreditorPayment",
    "CreditorPayments",
    "Creditors",
    "Delivery",
    "Difference",
    "DifferenceKind",
    "Event",
    "ExtractOptions",
    "Extraction",
    "Field",
    "FinanceCategory",
    "Headers",
    "Id",
    "Manifest",
    "Money",
    "NewCreditorPayment",
    "Observer",
    "Page",
    "PageOptions",
    "Part",
    "PaymentOutcome",
    "PaymentStatus",
    "Payout",
    "PayoutSpecification",
    "PayoutSummary",
    "Payouts",
    "Plan",
    "Portable",
    "Priority",
    "Projection",
    "Quota",
    "RateLimit",
    "RateLimiter",
    "Reconciliation",
    "Record",
    "Resource",
    "ResponseHead",
    "RetryPolicy",
    "Signer",
    "Since",
    "Sort",
    "Specification",
    "Split",
    "Stream",
    "StreamCheckpoint",
    "StreamOptions",
    "Sums",
    "Timestamp",
    "Token",
    "TokenSource",
    "TokenStore",
    "Verdict",
    "Where",
    "errors",
    "events",
    "field",
    "reconcile_payout",
]
