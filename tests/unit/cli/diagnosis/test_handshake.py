"""Why a certificate is not trusted, in words."""

import ssl
from datetime import UTC, datetime, timedelta

import pytest

from amili_async.cli.diagnosis.handshake import Certificate, explain_certificate

NOW = datetime(2026, 1, 10, tzinfo=UTC)
DAY = timedelta(days=1)


def explain(code: int, *, is_known: bool = True, starts: datetime = NOW - DAY, ends: datetime = NOW + DAY) -> str:
    certificate = Certificate(issuer="Root", names=("a.example", "b.example"), starts=starts, ends=ends)
    message, advice = explain_certificate(
        code, "words", certificate if is_known else None, host="api.example", now=NOW.timestamp()
    )
    return f"{message}: {advice}"


@pytest.mark.parametrize(
    ("code", "options", "text"),
    [
        (10, {"ends": NOW - DAY}, "it expired on 2026-01-09 (issued by Root): check this machine's clock; "),
        (10, {}, "a certificate of its chain has expired (issued by Root): "),
        (10, {"is_known": False}, "a certificate of its chain has expired: "),
        (9, {"starts": NOW + DAY, "ends": NOW + 2 * DAY}, "it is not valid before 2026-01-11 (issued by Root): "),
        (18, {}, "it is self-signed (issued by Root): if it is your company's proxy, or a server of your own, set AMI"),
        (19, {}, "its issuer is not known on this machine (issued by Root): "),
        (20, {"is_known": False}, "its issuer is not known on this machine: "),
        (62, {}, "it is for a.example, b.example and not for api.example (issued by Root): check the host in AMILI_B"),
        (64, {"is_known": False}, "it is not for api.example: "),
        (85, {}, "it, or that of its issuer, is malformed: words (issued by Root): Python 3.13 and later reject this"),
        (23, {}, "words (issued by Root): show this line to the server's owner"),
    ],
)
def test_each_reason_in_words(code: int, options: dict[str, object], text: str) -> None:
    """With date, hosts and issuer where they are known, and what to do."""
    assert explain(code, **options).startswith(text)  # type: ignore[arg-type]


def test_the_strict_rules_are_those_of_openssl() -> None:
    """Python 3.13 sets the flag by default."""
    assert ssl.VERIFY_X509_STRICT
