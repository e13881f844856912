"""Sessions as one HTML page that loads nothing: its styles stand in it, it has no script, and all text is escaped."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from html import escape
from typing import Final

from ..wire.printable import printable
from . import session_text
from .blocks import Entry
from .session_text import Report
from .sessions import Session

_STYLE: Final = """\
:root{color-scheme:light dark;--faint:#6a6f78;--line:#d9dce1;--soft:#f3f4f6;--user:#1d5fbf;--answer:#1b7a43}
@media(prefers-color-scheme:dark){:root{--faint:#9aa0aa;--line:#363b44;--soft:#22262d;--user:#7fb2ff;--answer:#74d69c}}
body{font:15px/1.45 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.2rem}h2{font-size:1rem;margin:2rem 0 .5rem;overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .6rem;text-align:right;border-top:1px solid var(--line);vertical-align:top}
th{color:var(--faint);font-weight:500}td.text{text-align:left;border-top:0;padding-bottom:.6rem}
td.text div{overflow-wrap:anywhere;white-space:pre-wrap}b{font-weight:600}
.said b{color:var(--user)}.answer b{color:var(--answer)}.faint,p{color:var(--faint)}
.scroll{overflow-x:auto}.problem{background:var(--soft);padding:.5rem .8rem}
"""
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY: Final = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'"


def page(report: Report) -> Iterator[str]:
    """The page, in pieces."""
    yield (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">\n'
        '<meta name="referrer" content="no-referrer">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Sessions in {escape(printable(report.file))}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<h1>{escape(session_text.head(report))}</h1>\n"
    )
    if report.problem:
        yield f'<p class="problem">{escape(printable(report.problem))}</p>\n'
    for session in report.sessions:
        yield from _session(session)
    yield "</body>\n</html>\n"


def _session(session: Session) -> Iterator[str]:
    heads = "".join(f"<th>{escape(head)}</th>" for head in session_text.HEADS)
    yield f'<h2>{escape(session_text.title(session))}</h2>\n<div class="scroll"><table>\n<tr>{heads}</tr>\n'
    for turn, cells in session_text.rows(session):
        yield f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>\n"
        told = [*_texts("said", turn.said), *_texts("answer", turn.answer)]
        end = " · ".join(filter(None, (session_text.remarks(turn), turn.end)))
        told += [f'<div class="faint">{escape(end)}</div>'] if end else []
        yield f'<tr><td class="text" colspan="{len(cells)}">{"".join(told)}</td></tr>\n'
    yield "</table></div>\n"


def _texts(kind: str, entries: list[Entry]) -> Iterator[str]:
    for entry in entries:
        yield f'<div class="{kind}"><b>{escape(entry.title)}</b> {escape(" ".join(entry.lines))}</div>'
