"""How the page looks: on a screen of any width, light or dark, and on paper."""

from typing import Final

LIGHT: Final = {
    "paper": "#ffffff",
    "ink": "#1b1f23",
    "soft": "#59636e",
    "line": "#dde2e7",
    "good": "#17734a",
    "bad": "#b3261e",
}
DARK: Final = {
    "paper": "#14171a",
    "ink": "#e6e9ec",
    "soft": "#9ba5af",
    "line": "#30363d",
    "good": "#4cc38a",
    "bad": "#ff8f80",
}
LIGHT_COLOURS: Final = ("#115f9d", "#d9780f", "#00877f", "#911a5d", "#5797de", "#6b4a12", "#8c9977", "#49258d")
"""The chart's, in the order of the categories: apart for every kind of colour vision."""
DARK_COLOURS: Final = ("#4ba3df", "#eb9d21", "#3dd49a", "#d9559f", "#b3d1f8", "#b5884a", "#9caaa9", "#8b69e3")
"""The same on dark paper."""

_RULES = """
*, *::before, *::after { box-sizing: border-box }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100% }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere;
}
main { max-width: 70rem; margin: 0 auto; padding: 3rem 1.5rem 4rem }
h1, h2, h3, p, ul, dl { margin: 0; padding: 0 }
h1 { font-size: .8rem; font-weight: 600; letter-spacing: .08em; text-transform: uppercase; color: var(--soft) }
h2 { font-size: 1.2rem; line-height: 1.3; font-weight: 600; margin: 3.5rem 0 .35rem }
h3 { font-size: .95rem; font-weight: 600 }
code, .id { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace; font-size: .92em }
.verdict { font-size: 1.75rem; line-height: 1.25; font-weight: 600; letter-spacing: -.01em; margin: .5rem 0 .6rem }
.good { color: var(--good) }
.bad { color: var(--bad) }
.soft { color: var(--soft) }
a { color: inherit; text-underline-offset: .2em }
.counts { display: flex; flex-wrap: wrap; gap: 1.25rem 3rem; margin: 2rem 0 0 }
.counts dt { font-size: .85rem; color: var(--soft) }
.counts dd { margin: 0; font-size: 1.35rem; line-height: 1.3; font-weight: 600 }
.aside { margin-top: 1rem; font-size: .88rem }
.box { overflow-x: auto; margin-top: 1.25rem }
.box:focus-visible { outline: 2px solid var(--soft); outline-offset: 4px }
table { border-collapse: collapse; min-width: 100%; font-size: .9rem; line-height: 1.4 }
caption { text-align: left; color: var(--soft); padding-bottom: .5rem }
th, td { padding: .4rem 0 .4rem 1.4rem; text-align: right; vertical-align: baseline; white-space: nowrap;
  border-bottom: 1px solid var(--line) }
th { font-weight: 600 }
thead th { color: var(--soft); font-weight: 500; white-space: normal; overflow-wrap: normal; vertical-align: bottom }
th:first-child, td:first-child { padding-left: 0 }
tbody th { font-weight: 400 }
tfoot th, tfoot td { font-weight: 600; border-bottom: 0 }
.left { text-align: left }
.all { font-weight: 600 }
.totals th:first-child { text-align: left; position: sticky; left: 0; background: var(--paper); padding-right: .5rem }
.flag { color: var(--bad); font-size: .8rem; font-weight: 600; white-space: nowrap; margin-left: .5rem }
.noise { color: var(--soft); border: 1px solid var(--line); border-radius: 999px; padding: 0 .5rem; font-size: .78rem;
  white-space: nowrap; margin-left: .4rem }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .3rem 1.4rem; margin-top: 1rem; font-size: .88rem }
.legend li { display: flex; align-items: baseline; gap: .5rem }
.swatch { flex: none; overflow: visible }
.chart { display: block; font-size: 12px }
.chart text { fill: var(--soft) }
.chart .label { fill: var(--ink) }
.chart rect { shape-rendering: crispEdges }
.grid { stroke: var(--line); shape-rendering: crispEdges }
.zero { stroke: var(--ink); shape-rendering: crispEdges }
.mark { fill: var(--bad) }
.payout { margin-top: 1.5rem; padding: 1.1rem 1.25rem 1.25rem; border: 1px solid var(--line); border-radius: 10px }
.facts { display: flex; flex-wrap: wrap; gap: .35rem 2rem; margin-top: .5rem; font-size: .9rem }
.facts dt { color: var(--soft); font-size: .8rem }
.facts dd { margin: 0 }
.told { list-style: none; margin-top: .8rem; color: var(--bad) }
.payout .box { margin-top: .8rem }
.compared th:first-child, .compared td:first-child { width: 40% }
.compared th, .compared td { width: 20% }
.payout tr:last-child > * { border-bottom: 0 }
.payout p { margin-top: .6rem; font-size: .85rem }
details { margin-top: 3.5rem }
summary { cursor: pointer; font-size: 1.2rem; line-height: 1.3; font-weight: 600 }
details p { margin-top: .8rem }
@media (max-width: 640px) {
  main { padding: 1.75rem 1rem 3rem }
  .verdict { font-size: 1.4rem }
  .counts { gap: 1rem 2rem }
  .flag { display: block; margin: 0 }
  .facts { display: block }
  .facts div { display: grid; grid-template-columns: 6rem 1fr }
  .minor { display: none }
  th, td { padding-left: 1.1rem }
  .payout { padding: .9rem .8rem 1rem }
  .compared thead { display: none }
  .compared, .compared tbody, .compared tr, .compared th, .compared td { display: block; width: auto }
  .compared tr { padding: .5rem 0; border-bottom: 1px solid var(--line) }
  .compared tr:last-child { border-bottom: 0; padding-bottom: 0 }
  .compared th:first-child, .compared td { width: auto; padding: .05rem 0; border: 0; white-space: normal }
  .compared td { display: flex; justify-content: space-between; gap: 1rem }
  .compared td:empty { display: none }
  .compared td::before { color: var(--soft) }
  .compared td:nth-of-type(1)::before { content: "Stated" }
  .compared td:nth-of-type(2)::before { content: "Found" }
  .compared td:nth-of-type(3)::before { content: "Difference" }
}
@media print {
  @page { margin: 15mm }
  body { font-size: 10pt }
  main { max-width: none; padding: 0 }
  h2 { margin-top: 2rem; break-after: avoid }
  .box { overflow: visible }
  .payout { break-inside: avoid }
  tr, .legend { break-inside: avoid }
  tfoot { display: table-row-group }
  .facts { column-gap: 1.2rem }
  .totals th:first-child { position: static }
  rect, path { print-color-adjust: exact; -webkit-print-color-adjust: exact }
}
"""


def _declare(colours: dict[str, str], series: tuple[str, ...]) -> str:
    named = colours | {f"c{number}": colour for number, colour in enumerate(series)}
    return "; ".join(f"--{name}: {colour}" for name, colour in named.items())


STYLE: Final = "\n".join(
    (
        f":root {{ color-scheme: light dark; {_declare(LIGHT, LIGHT_COLOURS)} }}",
        f"@media screen and (prefers-color-scheme: dark) {{ :root {{ {_declare(DARK, DARK_COLOURS)} }} }}",
        *(f".c{number} {{ fill: var(--c{number}) }}" for number in range(len(LIGHT_COLOURS))),
        _RULES,
    )
)
"""The style sheet."""
