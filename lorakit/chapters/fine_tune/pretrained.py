"""What a training step of a pretrained LLM costs: operations, time and memory, LoRA beside full fine-tuning.

    python -m lorakit.chapters.fine_tune.pretrained            writes data/results/smollm2_step.json

SmolLM2 (make models) in float32, 8 questions of text-to-SQL in a batch, AdamW, one thread; timed by `study.latency`.
"""

from functools import partial

import pandas as pd
import torch
from torch.utils.flop_counter import FlopCounterMode

import lorakit as lk
from lorakit.chapters.experiment import ALL, QV
from lorakit.lab.evaluate import answer_loss
from lorakit.lab.places import RESULTS
from lorakit.lab.record import read, write
from lorakit.lab.tasks.text_to_sql import text_to_sql
from lorakit.study.latency import compare
from lorakit.study.memory_measured import make_optimizer, measure_step, step_once

RECORD = RESULTS / "smollm2_step.json"
TARGETS = {"full": (), "LoRA r = 8, q and v": QV, "LoRA r = 8, all-linear": ALL}


def measure(base: str = "smollm2", rounds: int = 6) -> list[dict]:
    """A row for each of TARGETS, and full fine-tuning timed again for the noise: trained numbers, operations, seconds;
    peak and what is kept for backward, in bytes.
    """
    task, steps, rows = text_to_sql(), {}, {}
    for name, targets in TARGETS.items():
        model, tokenizer = lk.load_base(base, device="cpu")
        if targets:
            lk.inject(model, lk.LoRAConfig(r=8, alpha=16, targets=targets), seed=0)
        batch = task.collate(task.encode(task.train[:8], tokenizer), tokenizer.pad_token_id)

        def loss(model=model, batch=batch):
            return answer_loss(model, batch)[0]

        with FlopCounterMode(display=False) as counter:
            loss().backward()
        memory = measure_step(model, loss)
        steps[name] = partial(step_once, loss, make_optimizer(model, "adamw"))
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        rows[name] = {"trained": trained, "operations": counter.get_total_flops()}
        rows[name] |= {"peak": memory.peak, "kept": memory.kept}
    rows["full, again"] = rows["full"]
    timed = compare(steps, repeats=rounds, warmup=1).jobs
    return [{"step": name} | row | {"seconds": timed[name].median} for name, row in rows.items()]


def recorded() -> pd.DataFrame:
    """A row for each step: trained numbers; operations, time, peak and what is kept in % of full fine-tuning's."""
    rows = pd.DataFrame(read(RECORD)["rows"]).set_index("step")
    shares = ["operations", "seconds", "peak", "kept"]
    rows[shares] = 100 * rows[shares] / rows.loc["full", shares]
    return rows[["trained", *shares]]


if __name__ == "__main__":
    torch.set_num_threads(1)
    what = "a training step of SmolLM2 in float32, 8 questions, AdamW, one thread"
    write(RECORD, {"what": what, "rows": measure()}, "python -m lorakit.chapters.fine_tune.pretrained")
