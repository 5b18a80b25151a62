"""What the tests of the wire share: answers, and a look at everything that an error lets out."""

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
    """An answer: bytes as they are, anything else as JSON; headers in any case, as they come from aiohttp."""
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return Response(status=status, headers=CIMultiDict(headers or {}), body=raw)


def told_by(error: BaseException) -> str:
    """All that an error shows to a reader or a log, with what led to it."""
    parts: list[str] = []
    chain: BaseException | None = error
    while chain is not None:
        parts += [str(chain), repr(chain), *getattr(chain, "__notes__", ())]
        chain = chain.__cause__ or chain.__context__
    return "\n".join(parts)


class _AnswerOfAiohttp(aiohttp.ClientResponse):
    """What aioresponses 0.7.9 makes, with the argument that aiohttp has wanted since 3.14."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("stream_writer", Mock())
        super().__init__(*args, **kwargs)


class Server:
    """Answers in the place of aiohttp's transport, and what was asked of it."""

    def __init__(self, mock: aioresponses) -> None:
        self._mock = mock

    def answers(self, url: str, method: str = "GET", **answer: Any) -> None:
        """Plan an answer (or an exception) for the next request to this URL."""
        self._mock.add(url, method=method, response_class=_AnswerOfAiohttp, **answer)

    @property
    def received(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Method, URL and arguments of each request, in order of first use."""
        return [
            (method, str(url), call.kwargs) for (method, url), calls in self._mock.requests.items() for call in calls
        ]


@pytest.fixture
def server() -> Iterator[Server]:
    """Nothing reaches the network while this is in use."""
    with aioresponses() as mock:
        yield Server(mock)
