"""Which base URLs are accepted, and what is returned of them."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from amili_async._wire.base_url import check_base_url
from amili_async.errors import ConfigurationError
from tests.unit.wire.conftest import texts_of

CANARY = "CANARY"


@pytest.mark.parametrize(
    ("url", "checked"),
    [
        ("https://api-sandbox.amili.se", "https://api-sandbox.amili.se"),
        ("https://api-sandbox.amili.se/", "https://api-sandbox.amili.se"),
        ("https://example.com:8443/api/v1//", "https://example.com:8443/api/v1"),
        ("HTTPS://example.com", "https://example.com"),
        ("http://localhost:5000", "http://localhost:5000"),
        ("http://sandbox.localhost", "http://sandbox.localhost"),
        ("http://127.0.0.1:1", "http://127.0.0.1:1"),
        ("http://127.8.9.1", "http://127.8.9.1"),
        ("http://[::1]:5000", "http://[::1]:5000"),
        ("https://[2001:db8::1]", "https://[2001:db8::1]"),
    ],
)
def test_a_base_url_is_accepted(url: str, checked: str) -> None:
    """Any https host and http on loopback, without the final slash."""
    assert check_base_url(url) == checked


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "http://notlocalhost",
        "http://0.0.0.0",
        "http://128.0.0.1",
        "http://[::ffff:127.0.0.1]",
        "http://[::2]",
        "http://127.1",
        "ftp://example.com",
        "example.com",
        "//example.com",
        "https://",
        "https:///path",
        "https:example.com",
        "",
        " https://example.com",
        "https://example.com ",
        "https://exam ple.com",
        "https://example.com\n",
        "https://example\t.com",
        "https://example.com\\@evil.example",
        "https://[::1",
        "https://example.com:port",
        "https://example.com:99999",
        "https://example.com:0",
        f"https://{CANARY}@example.com",
        f"https://user:{CANARY}@example.com",
        "https://@example.com",
        "https://:@example.com",
        f"https://example.com?token={CANARY}",
        f"https://example.com/#{CANARY}",
        None,
        b"https://example.com",
        5,
    ],
)
def test_a_base_url_is_rejected(url: Any) -> None:
    """A URL that would expose the credential, or is not a URL, raises without being quoted."""
    with pytest.raises(ConfigurationError, match=r"^base_url must") as caught:
        check_base_url(url)
    assert CANARY not in texts_of(caught.value)


@given(st.text())
@example("https://[x]")
@example("http://[")
@example("https://\ud800")
def test_no_text_breaks_the_check_of_the_base_url(url: str) -> None:
    """Any text is either accepted or a `ConfigurationError`."""
    for candidate in (url, f"https://{url}", f"http://{url}:80/"):
        try:
            checked = check_base_url(candidate)
        except ConfigurationError:
            continue
        assert checked.startswith(("https://", "http://"))
