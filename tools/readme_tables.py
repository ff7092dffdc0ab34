"""The README's tables of recorded sweeps, written between its marks: `python tools/readme_tables.py`.

<!-- ranks --> rank and placement on two tasks; <!-- rivals --> LoRA beside other ways to adapt the base.
"""

import re
import sys
from pathlib import Path

from lorakit.chapters.against_the_others import table as rivals
from lorakit.chapters.rank_and_alpha.rank_sweep import RankSweep
from lorakit.lab import records

sys.path.insert(0, str(Path(__file__).parent))
from markdown_table import markdown_table  # noqa: E402

README = Path(__file__).parents[1] / "README.md"


def ranks() -> str:
    """A row for each rank and placement: mean (lowest to highest) over its seeds, and how far it is from full."""
    bases = records.load("bases")
    sql, python = (RankSweep.of(records.load(f"rank_{task}"), bases) for task in ("text_to_sql", "python"))
    rows = [["base", 0, f"{sql.base:.1f} %", f"{python.base:.2f}", ""]]
    for name, row in python.table.iloc[::-1].iterrows():
        there = sql.table.loc[name] if name in sql.table.index else None
        shown = "" if there is None else f"{there['mean']:.1f} % ({there['low']:.1f} to {there['high']:.1f})"
        behind = ""
        if name != "full":
            place, r = name.split(", r = ")
            mean, low, high = (-value for value in python.gain((place, int(r)), "full"))
            behind = f"{mean:.2f} ({high:.2f} to {low:.2f})"
        label = "full fine-tuning" if name == "full" else f"LoRA, {name}"
        bits = f"{row['mean']:.2f} ({row['low']:.2f} to {row['high']:.2f})"
        rows.append([label, f"{int(row['parameters']):,}", shown, bits, behind])
    head = ["", "trained parameters", "text-to-SQL, right", "Python, bits per byte", "behind full, bits (95 %)"]
    return markdown_table(head, rows, numbers=True)


def against() -> str:
    """A row for each way to adapt the base: accuracy, bits per byte, and the time of a token over the base's."""
    found, python = rivals.rivals_table(), rivals.scores(rivals.recorded("python"))
    rows = []
    for key, row in found.drop(index="distill").iterrows():
        bits = f"{python['test'][key]:.2f}" if key in python.index else ""
        rows.append(
            [row["method"], f"{row['trained']:,}", f"{rivals.percent(row, 'test')} %", bits, f"{row['decode']:.2f}"]
        )
    head = ["", "trained parameters", "text-to-SQL, right", "Python, bits per byte", "time for a token"]
    return markdown_table(head, rows, numbers=True)


def filled(text: str) -> str:
    """The README with both tables as the records have them."""
    for mark, made in (("ranks", ranks()), ("rivals", against())):
        text = re.sub(
            rf"<!-- {mark} -->\n.*?<!-- /{mark} -->", f"<!-- {mark} -->\n{made}\n<!-- /{mark} -->", text, flags=re.S
        )
    return text


if __name__ == "__main__":
    README.write_text(filled(README.read_text(encoding="utf-8")), encoding="utf-8")
