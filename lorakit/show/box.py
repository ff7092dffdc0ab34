"""Coloured boxes of text for checks and quizzes: `code` between backticks is set as code, and all else escaped."""

import html

from lorakit.show.style import MARKS


def box(mark: str, text: str, title: str = "") -> str:
    """HTML of a box in the colours of `mark` (✓, ✗ or ○), with a title in bold; a screen reader says it."""
    ink, paper = MARKS[mark]
    look = f"border-left:5px solid {ink};background:{paper};color:#111;padding:8px 12px;font-size:15px;margin:2px 0"
    heading = f'<b style="color:{ink}">{html.escape(title)}</b><br>' if title else ""
    lines = code_spans(text).replace("\n", "<br>")
    return f'<div style="{look}" role="status">{heading}{lines}</div>'


def code_spans(text: str) -> str:
    """Escaped HTML in which `code` between backticks is set as code."""
    parts = html.escape(text, quote=False).split("`")
    return "".join(
        f"<code style='background:none;color:inherit;font-size:0.95em'>{part}</code>" if i % 2 else part
        for i, part in enumerate(parts)
    )
