"""The page of a reconciliation as a tree, read by a parser that rejects unclosed and wrongly closed tags."""

from datetime import UTC, datetime
from html.parser import HTMLParser
from xml.etree import ElementTree as Xml

from amili_async.cli.reports.reconciliation_page import render_page
from amili_async.cli.reports.reconciliation_words import Overview
from amili_async.reconciliation.comparison import Reconciliation

MADE_AT = datetime(2025, 10, 3, 8, 15, tzinfo=UTC)
SOURCE = "https://api.example"
VOID = {"meta"}
"""Tags that HTML never closes."""


class TreeReader(HTMLParser):
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


def write(*reconciliations: Reconciliation, made_at: datetime = MADE_AT, source: str = SOURCE) -> str:
    """The page of *reconciliations*, as text."""
    overview = Overview()
    for each in reconciliations:
        overview.add(each)
    return render_page(reconciliations, overview, made_at=made_at, source=source)


def read(page: str) -> Xml.Element:
    """The page as a tree."""
    reader = TreeReader()
    reader.feed(page)
    return reader.finish()


def find(element: Xml.Element, kind: str) -> list[Xml.Element]:
    """All elements within *element* that have the class *kind*."""
    return [each for each in element.iter() if kind in each.attrib.get("class", "").split()]


def text_of(element: Xml.Element) -> str:
    """The text, with each run of blanks as one."""
    return " ".join("".join(element.itertext()).split())


def rows(table: Xml.Element) -> list[list[str]]:
    """The texts of a table's cells."""
    return [[text_of(cell) for cell in row] for row in table.iter("tr")]


def facts(element: Xml.Element) -> list[dict[str, str]]:
    """The names and values of each list of facts."""
    return [{text_of(entry[0]): text_of(entry[1]) for entry in listed} for listed in element.iter("dl")]
