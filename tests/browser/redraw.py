"""Measure in the browser how long each widget takes from a key press to its new picture.

    python tests/browser/redraw.py [--presses 12] [--budget class] [03 11 …]

writes data/results/redraw_browser.json and prints the table. The chapters run first, at the size of the budget.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

import pandas as pd

from lorakit.lab.places import RESULTS
from lorakit.lab.record import write
from tests.browser.chromium import find
from tests.browser.conftest import FLAGS, PROJECTOR
from tests.browser.lab_page import Chapter
from tests.browser.lab_server import ROOT, lab_server

FILE = RESULTS / "redraw_browser.json"


def measure(chapter: Chapter, presses: int) -> list[dict]:
    """For each widget with a picture: its title, and the median and the slowest of so many redraws, ms."""
    rows = []
    for box in chapter.explorers():
        times = [chapter.redraw(box) for _ in range(presses + 1)][1:]  # the first one finds everything cold
        title = box.locator(".widget-html-content").first.inner_text()
        rows.append({"widget": title, "median_ms": statistics.median(times), "slowest_ms": max(times)})
    return rows


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chapters", nargs="*", default=[], help="numbers of chapters (default: all)")
    parser.add_argument("--presses", type=int, default=12)
    parser.add_argument("--budget", choices=("fast", "class"), default="class")
    args = parser.parse_args(arguments)
    from playwright.sync_api import sync_playwright

    rows, names = [], sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
    with tempfile.TemporaryDirectory() as place, lab_server(Path(place), args.budget) as server, sync_playwright() as p:
        browser = p.chromium.launch(executable_path=find(), args=FLAGS)
        chapter = Chapter(browser.new_page(viewport=PROJECTOR), server.lab, patience=600)
        for name in [n for n in names if not args.chapters or n[:2] in args.chapters]:
            chapter.open(f"notebooks/{name}")
            chapter.run_all()
            rows += [{"chapter": name[:2], **row} for row in measure(chapter, args.presses)]
            chapter.close()
        found = {"browser": f"Chromium {browser.version}, headless", "rows": rows}
        browser.close()
    print(pd.DataFrame(rows).round(0).to_string(index=False))
    if not args.chapters:  # part of the table is not the table
        write(FILE, found, f"python tests/browser/redraw.py --presses {args.presses} --budget {args.budget}")


if __name__ == "__main__":
    main()
