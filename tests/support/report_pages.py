"""The page as a tree, read by a parser that accepts no tag that is closed wrongly or not at all."""

from datetime import UTC, datetime
from html.parser import HTMLParser
from xml.etree import ElementTree as Xml

from amili_async.cli.reports.reconciliation_page import render_page
from amili_async.reconcile import Reconciliation

MADE_AT = datetime(2025, 10, 3, 8, 15, tzinfo=UTC)
SOURCE = "https://api.example"
VOID = {"meta", "wbr"}
"""The tags on the page that are never closed."""


class Reader(HTMLParser):
    """Builds the tree."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._builder = Xml.TreeBuilder()
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), tag
        self._builder.start(tag, {name: value or "" for name, value in attrs})
        if tag in VOID:
            self._builder.end(tag)
        else:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert "svg" in self._open, f"<{tag}/> closes nothing in HTML"
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        self._builder.end(tag)

    def handle_data(self, data: str) -> None:
        if self._open:
            self._builder.data(data)
        else:
            assert not data.strip()

    def finish(self) -> Xml.Element:
        self.close()
        assert self._open == []
        return self._builder.close()


def write(*reconciliations: Reconciliation) -> str:
    """The page of them, as text."""
    return render_page(reconciliations, made_at=MADE_AT, source=SOURCE)


def read(page: str) -> Xml.Element:
    """The page as a tree."""
    reader = Reader()
    reader.feed(page)
    return reader.finish()


def find(element: Xml.Element, kind: str) -> list[Xml.Element]:
    """All in it that have a class."""
    return [each for each in element.iter() if kind in each.attrib.get("class", "").split()]


def say(element: Xml.Element) -> str:
    """Its text."""
    return "".join(element.itertext())


def rows(table: Xml.Element) -> list[list[str]]:
    """The texts of a table's cells."""
    return [[say(cell) for cell in row] for row in table.iter("tr")]
