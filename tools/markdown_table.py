"""Tables for pages that are written by programs."""

from collections.abc import Sequence


def markdown_table(head: Sequence, rows: Sequence[Sequence], numbers: bool = False) -> str:
    """Lines of markdown. numbers: every column but the first is aligned to the right."""
    rule = ["---", *["---:" if numbers else "---"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in (head, rule, *rows))
