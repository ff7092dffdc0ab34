"""python -m lorakit.lab.tickets writes data/tasks/tickets.jsonl."""

import argparse
from pathlib import Path

from lorakit.lab.tickets.write import FILE, lines, make_tickets


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m lorakit.lab.tickets", description="Write the bundled tickets.")
    parser.add_argument("--file", type=Path, default=FILE, help="where to write (default: %(default)s)")
    file = parser.parse_args(arguments).file
    tickets = make_tickets()
    file.write_text(lines(tickets), encoding="utf-8")
    print(f"{file}: {len(tickets)} tickets")


main()
