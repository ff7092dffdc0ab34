"""Make the recorded results: `python -m lorakit.chapters.results [name ...] [--processes 2] [--ray [ADDRESS]]`.

Each chapter declares its sweeps in its experiments.py. At the class budget their records go to data/results, at the
others to runs/results-<budget>. Runs that are recorded there already are not done again, so the command goes on where
it was stopped; a last line of `<name>: n runs` means whole.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd

import lorakit as lk
from lorakit.chapters.experiment import Experiment
from lorakit.chapters.rooms import modules
from lorakit.lab import record
from lorakit.lab.budget import budget
from lorakit.lab.json_lines import append, read
from lorakit.lab.places import RESULTS
from lorakit.lab.sweep import Run, sweep

CHAPTER = {made.name: room for room, module in modules("experiments").items() for made in module.EXPERIMENTS}
# Chapter 08's adapters come first: one of them is the teacher of chapter 07's student.
EXPERIMENTS = {made.name: made for module in modules("experiments").values() for made in module.EXPERIMENTS}
EXPERIMENTS = {"adapters": EXPERIMENTS["adapters"]} | EXPERIMENTS
# Records in .jsonl that a chapter's own program makes, in a form of their own.
COMMANDS = {"reward": "python -m lorakit.chapters.reward.record"}
HEAD = """# Recorded results

Written by `make results`; one sweep alone: `make results RESULTS=rank_text_to_sql`. Every line of a
.jsonl file is one fine-tuning: its configuration, seed, metrics on validation and test, seconds, device and
versions; `lorakit/chapters/<chapter>/experiments.py` declares those of the first table, `lorakit.lab.records` reads
them. Seconds were taken with other work on the machine: compare times only where a chapter or benchmark measures them
side by side.

| sweep | chapter | what | runs | seeds | steps | device | date |
| --- | --- | --- | ---: | ---: | --- | --- | --- |
"""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m lorakit.chapters.results", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"which sweeps (default: all): {', '.join(EXPERIMENTS)}")
    parser.add_argument("--processes", type=int, default=1, help="runs at a time, one thread each")
    ray = "spread the runs with Ray: over this machine's cores, or the cluster at ADDRESS (auto: its own)"
    parser.add_argument("--ray", nargs="?", const="local", metavar="ADDRESS", help=ray)
    parser.add_argument("--device", help="cpu, cuda (default: a GPU where there is one)")
    parser.add_argument("--out", type=Path, help="the folder for the records")
    options = parser.parse_args(arguments)
    out = options.out or (RESULTS if budget() == "class" else Path("runs") / f"results-{budget()}")
    if unknown := set(options.names) - set(EXPERIMENTS):
        parser.error(f"no sweep named {', '.join(sorted(unknown))}; there are {', '.join(EXPERIMENTS)}")
    failed = 0
    for name in options.names or EXPERIMENTS:
        try:
            rows = make(EXPERIMENTS[name], out, options.processes, options.device, options.ray)
            print(f"{name}: {len(rows)} runs in {out / name}.jsonl", flush=True)
        except lk.LoRAError as error:  # data that is not here must not stop the sweeps that need none
            print(f"{name}: {error}", file=sys.stderr, flush=True)
            failed = 1
        except KeyboardInterrupt:
            print("stopped: the finished runs are kept, the same command goes on", file=sys.stderr)
            return 130
    if out.is_dir():
        (out / "README.md").write_text(index(out), encoding="utf-8")
    return failed


def make(experiment: Experiment, out: Path, processes: int = 1, device=None, cluster: str | None = None) -> list[dict]:
    """Do what is missing of one experiment; returns its records, each once.

    A run that another sweep in the folder has recorded is copied from there, unless its adapter is to be kept.
    """
    file = out / f"{experiment.name}.jsonl"

    def keep(run):
        name = experiment.keep(run)
        return out.parent / "adapters" / name if name else None

    if any(map(outdated, read(file))):
        raise lk.LoRAError(f"{file} is from before the rules of a fair comparison: move it away, and run this again")
    rows: list[dict] = []
    while set(runs := experiment.wanted(rows)) - {Run.of(row) for row in rows}:
        others = [out / f"{name}.jsonl" for name in EXPERIMENTS]  # records of another form lie there too
        known = {Run.of(row): row for other in others for row in read(other) if not outdated(row)}
        copied = set(known) - {Run.of(row) for row in read(file)}
        append(file, *(known[run] for run in dict.fromkeys(runs) if run in copied and keep(run) is None))
        rows = sweep(runs, file, processes=processes, keep=keep, device=device, cluster=cluster)
    if not any("metrics" in row for row in rows):
        raise lk.LoRAError(f"every run of {experiment.name} diverged: look at {file}")
    return rows


def outdated(row: dict) -> bool:
    """Whether a record's validation was that of a split which the task no longer has: it must not choose any more."""
    return "validation_of" in row


def index(out: Path) -> str:
    """What lies in a folder of results, as markdown: which command made each file, when, on what."""
    sweeps = [sweep_line(file) for file in sorted(out.glob("*.jsonl"))]
    others = [command_line(file) for file in sorted(out.glob("*.json*"))]
    head = "\n| file | command | device | date |\n| --- | --- | --- | --- |\n"
    return HEAD + "".join(sweeps) + (head + "".join(others) if any(others) else "")


def sweep_line(file: Path) -> str:
    rows, made = read(file), EXPERIMENTS.get(file.stem)
    if not rows or not made:
        return ""
    runs = pd.DataFrame([row["run"] | row for row in rows])
    said = [", ".join(map(str, sorted(runs[name].unique()))) for name in ("steps", "device", "date")]
    cells = (file.name, CHAPTER.get(made.name, ""), made.what, len(runs), runs["seed"].nunique(), *said)
    return f"| {' | '.join(map(str, cells))} |\n"


def command_line(file: Path) -> str:
    command = COMMANDS.get(file.stem)
    if file.suffix == ".jsonl" and not command:  # a sweep's
        return ""
    found = (read(file) or [{}])[-1] if command else record.read(file)
    command = command or found.get("command", "")
    return f"| {file.name} | `{command}` | {found.get('device', '')} | {found.get('date', '')} |\n"


if __name__ == "__main__":
    sys.exit(main())
