"""The frame of every page we write: nothing fetched, no script but ours, light and dark."""

import base64
import hashlib
from typing import Final

from longllava_domains.html.elements import Html, element
from longllava_domains.provenance import RESEARCH_NOTICE

# Nothing is loaded from anywhere, and nothing runs but a script of ours, by its digest.
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --faint: #59636e; --line: #d1d9e0;
  --mark: #0b5cad; --warn: #8a3b00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --paper: #0d1117; --faint: #9198a1;
  --line: #3d444d; --mark: #6cb6ff; --warn: #f0a35e; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
.note { border-left: 4px solid var(--warn); padding: .2rem .8rem; margin: .4rem 0; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; margin: .5rem 0; }
caption { text-align: left; color: var(--faint); padding-bottom: .3rem; }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .8rem .25rem 0; text-align: left; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
svg { max-width: 100%; height: auto; } svg text { fill: var(--ink); font-size: 12px; }
svg .axis { stroke: var(--line); } svg .guide { stroke: var(--faint); stroke-dasharray: 4 4; }
svg .bar { fill: var(--mark); } svg .whisker { stroke: var(--ink); }
th button { all: unset; cursor: pointer; text-decoration: underline dotted; }
th button:focus-visible { outline: 2px solid var(--mark); }
th[aria-sort=ascending]::after { content: " \\2191"; }
th[aria-sort=descending]::after { content: " \\2193"; }
td.key { font-family: ui-monospace, monospace; font-size: .8rem; }
footer { margin-top: 3rem; color: var(--faint); border-top: 1px solid var(--line); }
details summary { cursor: pointer; color: var(--mark); }
"""


def page(title: str, *body: Html, script: str = "", notice: str = RESEARCH_NOTICE) -> str:
    """Return a complete document with the research notice at its foot.

    Args:
        title: Of the window and the first heading.
        *body: What stands between heading and foot.
        script: The one script that may run, such as `SORTING`; the page reads without it, too.
        notice: Of research use, at the foot.
    """
    policy, last = _POLICY, Html("")
    if script:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        policy += f"; script-src 'sha256-{digest}'"
        last = element("script", Html(script))
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("title", title),
        element("style", Html(_STYLE)),
    )
    main = element("main", element("h1", title), *body)
    foot = element("footer", element("p", notice))
    return (
        f"<!doctype html>\n{element('html', head, element('body', main, foot, last), lang='en')}\n"
    )
