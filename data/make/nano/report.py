"""Nano's table: full fine-tuning and LoRA of several ranks on text-to-SQL, each at its own best learning rate.

    python -m data.make.nano.report [--processes 2] [--work runs/nano]

Learning rates are chosen on the validation split with one seed; the table is over three seeds of the test split.
Finished runs are kept in <work>/results.jsonl and not run again. Writes data/results/nano_text_to_sql.json and
the table in data/nano/README.md.
"""

import argparse
import json
import multiprocessing
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from lorakit.lab.places import DATA
from lorakit.lab.record import versions

STEPS, BATCH, SEEDS = 200, 32, (0, 1, 2)
BASES = ["nano", "nano-early"]
# (r, targets); r = 0 is full fine-tuning
SHAPES = [(0, "c_attn"), *((r, "c_attn") for r in (1, 2, 4, 8, 64)), (8, "all-linear")]
EARLY_SHAPES = [(0, "c_attn"), (8, "c_attn")]
# The learning rates tried on validation. With alpha = 2 r a large rank takes larger steps, so it is tuned on its own.
RATES = {0: (2e-4, 5e-4, 1e-3), 8: (5e-3, 1e-2, 2e-2), 64: (5e-3, 1e-2)}
PRECISION = "auto"  # bf16 products, weights in fp32: 1.7 times as fast on a CPU that has bf16 instructions


@dataclass(frozen=True)
class Run:
    """One fine-tuning: r = 0 stands for full fine-tuning."""

    base: str
    r: int
    targets: str
    lr: float
    seed: int
    split: str  # where it is scored

    @property
    def method(self) -> str:
        return f"LoRA r = {self.r}, {self.targets}" if self.r else "full fine-tuning"


def train_and_score(run: Run) -> dict:
    """Fine-tune a fresh base and score it; alpha is 2 r, so that one learning rate serves every rank."""
    import lorakit as lk
    from lorakit import lab

    model, tokenizer = lk.load_base(run.base, device="cpu")
    if run.r:
        lk.inject(model, lk.LoRAConfig(r=run.r, alpha=2 * run.r, targets=(run.targets,)), name="sql", seed=run.seed)
    else:
        model.requires_grad_(True)
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    task = lab.text_to_sql()
    history = lab.fit(
        model,
        tokenizer,
        task,
        steps=STEPS,
        batch_size=BATCH,
        lr=run.lr,
        seed=run.seed,
        precision=PRECISION,
        progress=False,
    )
    scores = lab.evaluate(model, tokenizer, task, run.split)
    scores.pop("answers")
    return {**asdict(run), **scores, "trainable": trainable, "train_seconds": round(history.seconds, 1),
            "last_loss": round(statistics.fmean(history.losses[-10:]), 4)}  # fmt: skip


def single_thread():
    import torch

    torch.set_num_threads(1)  # two runs side by side use two cores better than one run on both


def do_all(runs: list[Run], kept: Path, processes: int) -> list[dict]:
    """The results of `runs`, in order; those in the file `kept` are taken from there, new ones appended."""
    done = {}
    if kept.exists():
        for row in map(json.loads, kept.read_text().splitlines()):
            done[Run(**{k: row[k] for k in Run.__dataclass_fields__})] = row
    missing = [run for run in dict.fromkeys(runs) if run not in done]
    if missing:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(processes, len(missing)), context, single_thread) as pool:
            started = time.monotonic()
            for run, row in zip(missing, pool.map(train_and_score, missing), strict=True):
                done[run] = row
                with kept.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print(f"{time.monotonic() - started:6.0f} s  {run.base}: {run.method}, lr {run.lr:g}, seed {run.seed}: "
                      f"{100 * row['execution']:.1f} % ({run.split})", flush=True)  # fmt: skip
    return [done[run] for run in runs]


def best_rates(base: str, kept: Path, processes: int) -> dict[int, float]:
    """For each tuned rank (c_attn; 0: full fine-tuning) the rate with the most right results on validation."""
    tuned = {r: rates for r, rates in RATES.items() if base == "nano" or r != 64}
    runs = [Run(base, r, "c_attn", lr, 0, "validation") for r, rates in tuned.items() for lr in rates]
    scores = {(row["r"], row["lr"]): row["execution"] for row in do_all(runs, kept, processes)}
    return {r: max(rates, key=lambda lr: scores[r, lr]) for r, rates in tuned.items()}


def final_runs(base: str, rates: dict[int, float], seeds=SEEDS) -> list[Run]:
    """The runs of the table; the small ranks share the rate that was found with r = 8."""
    shapes = SHAPES if base == "nano" else EARLY_SHAPES
    return [Run(base, r, targets, rates.get(r, rates[8]), seed, "test") for seed in seeds for r, targets in shapes]


def table(rows: list[dict]) -> list[dict]:
    """One line per base and method: mean and range over the seeds, fractions 0..1."""
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        run = Run(**{k: row[k] for k in Run.__dataclass_fields__})
        groups.setdefault((run.base, run.method, run.lr), []).append(row)
    out = []
    for (base, method, lr), group in groups.items():
        execution, exact = ([row[metric] for row in group] for metric in ("execution", "exact"))
        out.append({"base": base, "method": method, "trainable": group[0]["trainable"], "lr": lr,
                    "seeds": len(group),
                    "execution": statistics.fmean(execution), "execution_range": [min(execution), max(execution)],
                    "exact": statistics.fmean(exact),
                    "train_seconds": statistics.fmean(r["train_seconds"] for r in group)})  # fmt: skip
    return out


def markdown(lines: list[dict]) -> str:
    head = (
        "| base | method | trainable | learning rate | seeds | right result (test) | lowest - highest | exact SQL |\n"
    )
    head += "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n"
    cells = []
    for x in lines:
        low, high = (100 * share for share in x["execution_range"])
        cells.append(
            f"| {x['base']} | {x['method']} | {x['trainable']:,} | {x['lr']:g} | {x['seeds']} "
            f"| {100 * x['execution']:.1f} % | {low:.1f} - {high:.1f} | {100 * x['exact']:.1f} % |\n"
        )
    return head + "".join(cells)


def between(text: str, mark: str, new: str) -> str:
    """`text` with what stands between `<!-- mark -->` and `<!-- /mark -->` replaced."""
    before, _, rest = text.partition(f"<!-- {mark} -->")
    _, _, after = rest.partition(f"<!-- /{mark} -->")
    return f"{before}<!-- {mark} -->\n{new}<!-- /{mark} -->{after}"


def publish(kept: Path):
    """Write the results file and the card's table from the finished runs."""
    rows = [json.loads(line) for line in kept.read_text().splitlines()]
    tuned, final = ([row for row in rows if row["split"] == split] for split in ("validation", "test"))
    order = {shape: place for place, shape in enumerate(SHAPES)}
    final.sort(key=lambda row: (BASES.index(row["base"]), order[row["r"], row["targets"]], row["lr"], row["seed"]))
    lines = table(final)
    card = DATA / "nano" / "README.md"
    if card.exists():
        card.write_text(between(card.read_text(), "table", markdown(lines)))
    record = {
        "command": "python -m data.make.nano.report",
        "date": datetime.now(UTC).date().isoformat(),
        "device": "cpu, 1 thread per run, two runs at a time beside other work",
        "versions": versions(),
        "settings": {"steps": STEPS, "batch_size": BATCH, "alpha": "2 r", "schedule": "cosine", "precision": PRECISION},
        "table": lines,
        "tuning": tuned,
        "runs": final,
    }
    results = DATA / "results" / "nano_text_to_sql.json"
    results.parent.mkdir(parents=True, exist_ok=True)
    results.write_text(json.dumps(record, indent=1) + "\n")
    print(markdown(lines))


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("runs/nano"), help="finished runs are kept here")
    parser.add_argument("--processes", type=int, default=2, help="runs at a time, one thread each")
    parser.add_argument("--bases", nargs="*", default=BASES, help="which bases to run; none: publish what is finished")
    args = parser.parse_args(argv)
    args.work.mkdir(parents=True, exist_ok=True)
    kept = args.work / "results.jsonl"
    for base in args.bases:
        do_all(final_runs(base, best_rates(base, kept, args.processes)), kept, args.processes)
    publish(kept)


if __name__ == "__main__":
    main()
