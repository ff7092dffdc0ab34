"""Chapter 07's table: every way to adapt the base with its accuracy from the sweeps and its costs as measured.

    python -m lorakit.chapters.against_the_others.table [--repeats 200] [--questions 100]

measures the costs again (about ten minutes on two cores); the accuracies come from `make results`.
"""

import argparse
import html
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lorakit.chapters.against_the_others.kinds import KINDS, Kind, at_best_rate, recorded
from lorakit.core.errors import LoRAError
from lorakit.lab.old_records import Summary, summarise
from lorakit.lab.places import RESULTS

COSTS = RESULTS / "rivals_costs.json"
COLUMNS = ("method", "trained", "valid. %", "test % (seeds)", "step, MB", "prompt", "token", "context",
           "base", "merge", "mix")  # fmt: skip
Times = tuple[float, float, float]  # the ratio to the base's, and its 95 % interval


@dataclass(frozen=True)
class Rival:
    """One row: accuracies in percent over seeds at the method's own learning rate; memory in bytes.

    trained    numbers that train; `kept`: those stored for one task; `parameters`: of the model that answers
    prefill    time of reading a prompt, over the base's; `decode`: of writing a token
    context    positions left for the prompt and its answer
    unchanged  whether two steps left every bit of the base as it was
    """

    key: str
    kind: Kind
    lr: float
    validation: Summary
    test: Summary
    trained: int
    kept: int
    parameters: int
    base: int
    memory: int
    prefill: Times
    decode: Times
    context: int
    unchanged: bool

    @property
    def name(self) -> str:
        return self.kind.name

    @property
    def share(self) -> float:
        """Trained numbers in percent of the base's parameters."""
        return 100 * self.trained / self.base

    @property
    def left(self) -> str:
        """What became of the base: "frozen", "changed", or "replaced" where a student answers."""
        if self.kind.run.method == "distill":
            return "replaced"
        return "frozen" if self.unchanged else "changed"

    def cells(self) -> tuple[str, ...]:
        return (
            self.name,
            f"{self.trained:,} ({self.share:.3g} %)",
            f"{self.validation.mean:.1f}",
            percent(self.test),
            f"{self.memory / 1e6:.0f}",
            f"{self.prefill[0]:.2f}",
            f"{self.decode[0]:.2f}",
            str(self.context),
            self.left,
            self.kind.merge,
            self.kind.mix,
        )


def percent(s: Summary) -> str:
    """Mean and range over seeds: "78.2 (77.4–78.6)"; a single seed is said to be one."""
    return f"{s.mean:.1f} ({s.low:.1f}–{s.high:.1f})" if s.n > 1 else f"{s.mean:.1f} (1 seed)"


@dataclass(frozen=True)
class RivalsTable:
    """The rows by key, and what the costs were measured on. Prints, and renders as HTML."""

    rows: dict[str, Rival]
    costs: dict

    def __getitem__(self, key: str) -> Rival:
        return self.rows[key]

    def __iter__(self):
        return iter(self.rows.values())

    def __contains__(self, key: str) -> bool:
        return key in self.rows

    @property
    def footer(self) -> str:
        c = self.costs
        noise = ", ".join(
            f"{name} ± {100 * value:.1f} %"
            for name, value in zip(("prompt", "token"), c["noise"].values(), strict=True)
        )
        return (
            f"step: memory at its peak, {c['rows_in_step']} questions. Times over the base's: prompt, to read "
            f"{c['length']} tokens; token, to write one (noise: {noise}). LoRA once merged: prompt "
            f"{c['merged']['prefill'][0]:.2f}, token {c['merged']['decode'][0]:.2f}. "
            f"Device: {c['device']}, {c['threads']} thread{'s' * (c['threads'] > 1)}, {c['date']}"
        )

    def __str__(self) -> str:
        table = [COLUMNS, *(row.cells() for row in self)]
        widths = [max(len(cells[i]) for cells in table) for i in range(len(COLUMNS))]
        lines = []
        for cells in table:
            first, *rest = (f"{c:{'<' if i == 0 else '>'}{widths[i]}}" for i, c in enumerate(cells))
            lines.append("  ".join([first, *rest]).rstrip())
        return "\n".join([*lines, self.footer])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        def line(cells, tag, style=""):
            look = "padding:4px;font-size:13px;white-space:nowrap;text-align:"
            parts = (f"<{tag} style='{look}{'right' if i else 'left'}'>{html.escape(c)}</{tag}>"
                     for i, c in enumerate(cells))  # fmt: skip
            return f"<tr{style}>{''.join(parts)}</tr>"

        bold = " style='font-weight:bold'"
        body = "".join(line(row.cells(), "td", bold if row.key == "lora" else "") for row in self)
        foot = f"<div style='font-size:13px'>{html.escape(self.footer)}</div>"
        return f"<table><thead>{line(COLUMNS, 'th')}</thead><tbody>{body}</tbody></table>{foot}"


def load_costs(path: str | Path = COSTS) -> dict:
    """The recorded costs. Raises LoRAError where they are missing."""
    if not Path(path).is_file():
        raise LoRAError(
            f"{Path(path).name} is missing: python -m lorakit.chapters.against_the_others.table makes it, in minutes"
        )
    return json.loads(Path(path).read_text(encoding="utf-8"))


def rivals_table(runs: Mapping[str, Sequence[dict]] | None = None, costs: dict | None = None) -> RivalsTable:
    """The table from recorded runs by kind and recorded costs; kinds that lack either are left out."""
    runs = recorded() if runs is None else runs
    costs = load_costs() if costs is None else costs
    rows = {}
    for key in KINDS:
        if key in runs and key in costs["rows"]:
            rate, chosen = at_best_rate(runs[key])
            scores = {split: over_seeds(chosen, f"{split}.execution", 100) for split in ("validation", "test")}
            cost = dict(costs["rows"][key])
            times = {name: tuple(cost.pop(name)) for name in ("prefill", "decode")}
            rows[key] = Rival(key, KINDS[key], rate, **scores, **times, base=costs["base"], **cost)
    return RivalsTable(rows, costs)


def over_seeds(rows: Sequence[dict], metric: str, factor: float = 1.0) -> Summary:
    """A metric over the rows (seeds) as one Summary, times `factor`."""
    (s,) = summarise(rows, ("method",), metric)
    return Summary(s.key, factor * s.mean, factor * s.low, factor * s.high, factor * s.std, s.n)


def main(arguments: list[str] | None = None) -> int:
    from lorakit.chapters.against_the_others.costs import measure_costs
    from lorakit.chapters.against_the_others.pruned import pruned_scores
    from lorakit.lab.tasks import TASKS

    parser = argparse.ArgumentParser(
        prog="python -m lorakit.chapters.against_the_others.table", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--repeats", type=int, default=200, help="rounds of the timing")
    parser.add_argument("--questions", type=int, default=100, help="that a pruned model answers")
    parser.add_argument("--device", help="cpu, cuda (default: a GPU where there is one)")
    parser.add_argument("--out", type=Path, default=COSTS)
    options = parser.parse_args(arguments)
    command = f"python -m {__spec__.name} --repeats {options.repeats} --questions {options.questions}"
    found = {"command": command, **measure_costs(options.repeats, options.device)}
    scores = pruned_scores(TASKS["text_to_sql"](), limit=options.questions, device=options.device)
    found["pruning"] = {"questions": options.questions, "rows": scores}
    options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(rivals_table(costs=found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
