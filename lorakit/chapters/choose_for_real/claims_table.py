"""The review's table: each claim, what this student measured, what was recorded, and what to remember."""

import html
from collections.abc import Mapping
from dataclasses import dataclass

from lorakit.chapters.choose_for_real import claims
from lorakit.lab import workbook

OPEN = "not measured here yet"


@dataclass(frozen=True)
class ClaimsTable:
    """Rows of (claim, chapter, yours or None, recorded or None, verdict); shows itself as a table."""

    rows: tuple[tuple[str, str, str | None, str | None, str], ...]

    @property
    def measured(self) -> int:
        """How many claims this student's own values settle."""
        return sum(mine is not None for _, _, mine, _, _ in self.rows)

    def __str__(self) -> str:
        lines = [f"{self.measured} of {len(self.rows)} claims settled with your own values"]
        for says, chapter, mine, recorded, verdict in self.rows:
            lines += [f"{says} (chapter {chapter})", f"    yours     {mine or OPEN}"]
            lines += [f"    recorded  {recorded or '-'}", f"    so        {verdict}"]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        cell = "padding:6px 10px;vertical-align:top;text-align:left;font-size:14px;line-height:1.35"
        head = "".join(f"<th style='{cell}'>{name}</th>" for name in ("", "claim", "yours", "recorded", "so"))
        body = []
        for says, chapter, mine, recorded, verdict in self.rows:
            ink, text = ("#00664B", html.escape(mine)) if mine else ("#767676", f"<i>{OPEN}: chapter {chapter}</i>")
            cells = [
                f"<td style='{cell};color:#767676'>{chapter}</td>",
                f"<td style='{cell}'><b>{html.escape(says)}</b></td>",
                f"<td style='{cell};color:{ink}'>{text}</td>",
                f"<td style='{cell};color:#767676'>{html.escape(recorded or '-')}</td>",
                f"<td style='{cell}'>{html.escape(verdict)}</td>",
            ]
            body.append(f"<tr>{''.join(cells)}</tr>")
        caption = f"{self.measured} of {len(self.rows)} claims settled with your own values"
        return (
            f"<table style='border-collapse:collapse;max-width:980px'><caption style='text-align:left;font-size:16px'>"
            f"<b>{caption}</b></caption><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
        )


def claims_table(mine: Mapping[str, dict] | None = None, recorded: Mapping[str, dict] | None = None) -> ClaimsTable:
    """The table, from the workbook and the recorded run unless other values are given."""
    mine = workbook.read(workbook.MEASURED) if mine is None else mine
    recorded = claims.recorded() if recorded is None else recorded
    return ClaimsTable(tuple((c.says, c.chapter, c.shown(mine), c.shown(recorded), c.verdict) for c in claims.CLAIMS))
