"""docs/reliability.md: tools/reliability.md with what `make soak` measured filled in: python tools/reliability_page.py

A field such as {kills[adapter][milliseconds]:.1f} is read from data/results/reliability_kills.json, as str.format does.
"""

import json
from pathlib import Path

from markdown_table import markdown_table

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "data" / "results"
PAGE = ROOT / "docs" / "reliability.md"
TEMPLATE = Path(__file__).with_name("reliability.md")


def tables(found: dict) -> dict[str, str]:
    """The page's tables, by the record that they show."""
    kills = []
    for what, record in (
        ("an adapter over another", "adapter"),
        ("the first adapter of a folder", "first_adapter"),
        ("the checkpoint of a training run", "checkpoint"),
    ):
        row, all_of_them = found["kills"][record]["random"], found["kills"]["kills"]
        old, new = row.get("old", row.get("nothing", 0)), row.get("new", 0)
        kills.append((what, all_of_them, row["inside"], old, new, all_of_them - old - new))
    leaks = [
        (name.replace("_", " "), f"{row['cycles']:,}", row["objects_more"], f"{row['mib_more']:.2f}")
        for name, row in found["leaks"]["cycles"].items()
    ]
    worst = [(name, f"{value:.2g}") for name, value in found["conformance"]["worst"].items()]
    shown = {
        "kills": ("SIGKILL while saving; kills; inside a save; left the old; left the new; between two saves", kills),
        "leaks": ("cycle; times; objects more; MiB more", leaks),
        "conformance": ("worst over all models; measured", worst),
    }
    return {name: markdown_table(head.split("; "), rows, numbers=True) for name, (head, rows) in shown.items()}


def derived(found: dict) -> dict:
    """Counts over a record, which none of its fields holds."""
    verbs = [row for row in found["interrupted_verbs"].values() if isinstance(row, dict) and "undone" in row]
    undone, done = (sum(row[how] for row in verbs) for how in ("undone", "done"))
    all_run = found["cell_order"]["notebooks"] >= len(list((ROOT / "notebooks").glob("*.ipynb")))
    later = " Chapters 12 and 13 came after that run, and so did changes to the others: of these it says nothing."
    return {
        "kinds": ", ".join(f"{kind.replace('_', ' ')} {count:,}" for kind, count in found["hostile"]["kinds"].items()),
        "steps": len(found["kills"]["adapter"]["steps"]),
        "stopped": sum(count for how, count in found["interrupts"].items() if how.endswith(": interrupted")),
        "interrupts": undone + done, "verbs": len(verbs), "undone": undone, "done": done,
        "errors": len(found["threads"]["errors"]),
        "not_yet_run": "" if all_run else later,
    }  # fmt: skip


def page() -> str:
    """The page as it should be now."""
    records = {file.stem.removeprefix("reliability_"): file for file in RESULTS.glob("reliability_*.json")}
    found = {name: json.loads(file.read_text(encoding="utf-8")) for name, file in records.items()}
    measured = {}
    for name, row in found.items():
        versions = ", ".join(" ".join(pair) for pair in row["versions"].items())
        measured[name] = f"<sub>Measured {row['date']} on {row['device']}, {versions}.</sub>"
    template = TEMPLATE.read_text(encoding="utf-8")
    return template.format(**found, measured=measured, tables=tables(found), derived=derived(found))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)}: written")
