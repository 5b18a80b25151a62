"""What tests do to requests on their way: rows that change just before one is carried out, and pages that lie."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, TypeAlias

from .answers import Answer
from .endpoints import Asked
from .journal import ReceivedRequest

Meanwhile: TypeAlias = Callable[[ReceivedRequest], object]
FalseQuery: TypeAlias = Callable[[ReceivedRequest], Mapping[str, str]]
FalsePage: TypeAlias = Callable[[ReceivedRequest, dict[str, Any]], dict[str, Any]]


class Interference:
    """Carries requests out, with whatever is to happen meanwhile."""

    def __init__(self, answer: Callable[[Asked], Answer]) -> None:
        self._answer = answer
        self.meanwhile: Meanwhile | None = None
        self.query: FalseQuery | None = None
        self.page: FalsePage | None = None

    def carry_out(self, asked: Asked, received: ReceivedRequest) -> Answer:
        """Answer a request that was *received* in the form in which it now is *asked*."""
        if self.meanwhile is not None:
            self.meanwhile(received)
        if self.query is not None and asked.query:
            asked = replace(asked, query=self.query(received))
        answer = self._answer(asked)
        if self.page is None or not answer.body.startswith(b'{"_items":'):
            return answer
        return _replace_page(answer, self.page(received, json.loads(answer.body, parse_float=Decimal)))


def _replace_page(answer: Answer, page: dict[str, Any]) -> Answer:
    """The answer with another page in it, which the header that repeats the total does not contradict."""
    total = page.get("_meta", {}).get("total")
    headers = {name: value for name, value in answer.headers.items() if name != "X-Total-Count"}
    return Answer.of(page, headers=headers if total is None else {**headers, "X-Total-Count": str(total)})
