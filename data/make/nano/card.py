"""The measured parts of nano's model card: what training cost and reached, and what the model writes.

python -m data.make.nano.card [--work runs/nano]      # rewrites two sections of data/nano/README.md
"""

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path

from data.make.nano.training import STEPS_PER_SHARD, TOKENS_PER_STEP
from lorakit.lab.places import DATA

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


def curve(log: Path) -> list[dict]:
    """The rows of log.jsonl in order of steps; where a part was trained again after an interruption, the last."""
    rows = {row["step"]: row for row in map(json.loads, log.read_text().splitlines())}
    return [rows[step] for step in sorted(rows)]


def training_section(rows: list[dict], early_shards: int) -> str:
    """Tokens, time, speed and held-out losses of both models."""
    measured = [row for row in rows if "validation" in row]
    stages = {"nano-early": early_shards * STEPS_PER_SHARD, "nano": rows[-1]["step"]}
    lines = [
        "| model | steps | tokens | held-out loss: English | structure | pairs |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, step in stages.items():
        at = max((row for row in measured if row["step"] <= step), key=lambda row: row["step"])
        loss = at["validation"]
        lines.append(f"| {name} | {step:,} | {step * TOKENS_PER_STEP:,} | {loss['english']:.3f} "
                     f"| {loss['unpaired']:.3f} | {loss['paired']:.3f} |")  # fmt: skip
    return "\n".join(lines) + "\n"


def samples_section(model, tokenizer) -> str:
    """What the bare model writes greedily after each of PROMPTS."""
    from lorakit.lab.evaluate import generate_answers

    answers = generate_answers(model, tokenizer, list(PROMPTS), max_new_tokens=40)
    blocks = (f"{prompt}⟶ {answer}" for prompt, answer in zip(PROMPTS, answers, strict=True))
    return "```text\n" + "\n\n".join(blocks) + "\n```\n"


def main(argv=None):
    from data.make.nano.report import between
    from data.make.nano.training import Plan
    from lorakit.lab.bases.load import load_base
    from lorakit.lab.record import versions

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("runs/nano"), help="where pretraining left its log")
    args = parser.parse_args(argv)
    rows = curve(args.work / "run" / "log.jsonl")
    card = DATA / "nano" / "README.md"
    text = between(card.read_text(), "training", training_section(rows, Plan().early_shards))
    card.write_text(between(text, "samples", samples_section(*load_base("nano"))))
    record = {
        "command": "python -m data.make.nano.pretrain", "date": datetime.now(UTC).date().isoformat(),
        "device": "cpu, 2 cores",
        "versions": versions(), "tokens_per_step": TOKENS_PER_STEP, "log": rows,
    }  # fmt: skip
    results = DATA / "results" / "nano_pretraining.json"
    results.parent.mkdir(parents=True, exist_ok=True)
    results.write_text(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
