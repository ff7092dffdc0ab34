"""The measured parts of nano's model card: what training cost, what LoRA does on it, what the bare model writes.

Called at the end of `make nano`. Finished fine-tunings are kept in <work>/results.jsonl and not run again.
"""

from pathlib import Path

import pandas as pd

from lorakit.lab import record, records
from lorakit.lab.bases.load import load_base
from lorakit.lab.evaluate import generate_answers
from lorakit.lab.json_lines import read
from lorakit.lab.places import DATA, RESULTS
from lorakit.lab.sweep import Run, sweep

CARD = DATA / "nano" / "README.md"
PROMPTS = (
    "It is a truth universally acknowledged, that",
    "kettle (noun):",
    "table: river (name, length, country)\nsql:",
    "table: river (name, length, country)\nquestion: what is the length of Brelanth?\njson:",
    "table: river (name, length, country)\nquestion: what is the length of Brelanth?\nkeywords:",
    "table: river (name, length, country)\nquestion: how many rivers with length over 412?\npandas:",
    "sql: SELECT MAX(price) FROM hotel WHERE city = 'Oslo'\nquestion:",
    "table: river (name, length, country)\nquestion: what is the length of Brelanth?\nsql:",
)
# What is fine-tuned on each base: (r, targets); r = 0 is full fine-tuning.
SHAPES = {
    "nano": [(0, ""), *((r, "c_attn") for r in (1, 2, 4, 8, 64)), (8, "all-linear")],
    "nano-early": [(0, ""), (8, "c_attn")],
}
# The learning rates tried on validation, with one seed; other shapes share the rate of r = 8. With alpha = 2 r a large
# rank takes larger steps, so it is tuned on its own.
RATES = {(0, ""): (2e-4, 5e-4, 1e-3), (8, "c_attn"): (5e-3, 1e-2, 2e-2), (64, "c_attn"): (5e-3, 1e-2)}
SEEDS = (0, 1, 2)


def fine_tuning(base: str, r: int, targets: str, lr: float, seed: int) -> Run:
    how = {"method": "lora", "r": r, "alpha": 2 * r, "targets": (targets,)} if r else {"method": "full"}
    return Run(base=base, lr=lr, seed=seed, steps=200, batch_size=32, **how)


def fine_tunings(file: Path) -> list[dict]:
    """The records of every base and shape at its own best learning rate, over the seeds; kept in `file`."""
    tuned = [
        fine_tuning(base, *shape, lr, 0)
        for base, shapes in SHAPES.items()
        for shape in shapes
        for lr in RATES.get(shape, ())
    ]
    runs = records.frame(sweep(tuned, file, processes=2))
    best = records.best_lr(runs, ["base", "r"], "validation_execution")
    chosen = [
        fine_tuning(base, *shape, best[base, shape[0] if shape in RATES else 8], seed)
        for base, shapes in SHAPES.items()
        for shape in shapes
        for seed in SEEDS
    ]
    return sweep(chosen, file, processes=2)


def table_section(runs: pd.DataFrame) -> str:
    """A line for each base and method: mean and range of the right results over the seeds."""
    lines = [
        "| base | method | trainable | learning rate | seeds | right result (test) | lowest - highest | exact SQL |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for (base, r, targets, lr), group in runs.groupby(["base", "r", "targets", "lr"], sort=False):
        method = f"LoRA r = {r}, {targets}" if r else "full fine-tuning"
        right, exact = 100 * group["test_execution"], 100 * group["test_exact"]
        lines.append(
            f"| {base} | {method} | {group['trainable'].iloc[0]:,} | {lr:g} | {len(group)} | {right.mean():.1f} % "
            f"| {right.min():.1f} - {right.max():.1f} | {exact.mean():.1f} % |"
        )
    return "\n".join(lines) + "\n"


def training_section(log: list[dict], early_steps: int) -> str:
    """Tokens and held-out losses of both models."""
    lines = [
        "| model | steps | tokens | held-out loss: English | structure | pairs |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    at = {row["step"]: row for row in log}
    for name, row in (("nano-early", at[early_steps]), ("nano", at[max(at)])):
        losses = " | ".join(f"{row['validation'][group]:.3f}" for group in ("english", "unpaired", "paired"))
        lines.append(f"| {name} | {row['step']:,} | {row['tokens']:,} | {losses} |")
    return "\n".join(lines) + "\n"


def samples_section(model, tokenizer) -> str:
    """What the bare model writes greedily after each of PROMPTS."""
    answers = generate_answers(model, tokenizer, list(PROMPTS), max_new_tokens=40)
    blocks = (f"{prompt}⟶ {answer}" for prompt, answer in zip(PROMPTS, answers, strict=True))
    return "```text\n" + "\n\n".join(blocks) + "\n```\n"


def between(text: str, mark: str, new: str) -> str:
    """`text` with what stands between `<!-- mark -->` and `<!-- /mark -->` replaced."""
    before, begin, rest = text.partition(f"<!-- {mark} -->\n")
    _, end, after = rest.partition(f"<!-- /{mark} -->")
    return before + begin + new + end + after


def write(work: Path, early_steps: int) -> None:
    """Fine-tune, then write the card's three sections, and what they were made from into data/results."""
    log = read(work / "run" / "log.jsonl")
    runs = fine_tunings(work / "results.jsonl")
    text = between(CARD.read_text(), "training", training_section(log, early_steps))
    text = between(text, "table", table_section(records.frame(runs)))
    CARD.write_text(between(text, "samples", samples_section(*load_base("nano"))))
    record.write(RESULTS / "nano_pretraining.json", {"log": log}, "make nano")
    record.write(RESULTS / "nano_text_to_sql.json", {"runs": runs}, "make nano")
