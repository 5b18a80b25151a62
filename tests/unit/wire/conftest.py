"""What the tests of the wire share: responses, and all texts of an error."""

from collections.abc import Iterator, Mapping
from typing import Any
from unittest.mock import Mock

import aiohttp
import msgspec
import pytest
from aioresponses import aioresponses
from multidict import CIMultiDict

from amili_async._wire.protocol import Response


def answer(body: Any = b"", *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A response: bytes unchanged, anything else as JSON; headers regardless of case, as from aiohttp."""
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return Response(status=status, headers=CIMultiDict(headers or {}), body=raw)


def texts_of(error: BaseException) -> str:
    """All texts of an error and of its causes, as a traceback or a log would show them."""
    parts: list[str] = []
    chain: BaseException | None = error
    while chain is not None:
        parts += [str(chain), repr(chain), *getattr(chain, "__notes__", ())]
        chain = chain.__cause__ or chain.__context__
    return "\n".join(parts)


class _AnswerOfAiohttp(aiohttp.ClientResponse):
    """The response of aioresponses 0.7.9, with an argument that aiohttp requires since 3.14."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("stream_writer", Mock())
        super().__init__(*args, **kwargs)


class Server:
    """Responses in place of aiohttp's transport, and the requests that it got."""

    def __init__(self, mock: aioresponses) -> None:
        self._mock = mock

    def answers(self, url: str, method: str = "GET", **answer: Any) -> None:
        """Plan a response (or an exception) for the next request to this URL."""
        self._mock.add(url, method=method, response_class=_AnswerOfAiohttp, **answer)

    @property
    def received(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Method, URL and arguments of each request, in order of first use."""
        return [
            (method, str(url), call.kwargs) for (method, url), calls in self._mock.requests.items() for call in calls
        ]


@pytest.fixture
def server() -> Iterator[Server]:
    """Mocks aiohttp's transport: nothing reaches the network."""
    with aioresponses() as mock:
        yield Server(mock)
