"""How long a step of each variant takes over LoRA's: `python -m lorakit.chapters.variants.step_time`, two minutes.

Forward, backward and AdamW's step on one batch of eight functions, all by hand, in turns, in seconds of one CPU core,
which other work on the machine changes little; written to data/results/variants_time.json.
"""

import time
from dataclasses import asdict

import pandas as pd
import torch

from lorakit.chapters.variants.experiments import variants
from lorakit.chapters.variants.table import TIMES, TWICE, named
from lorakit.lab import record
from lorakit.lab.bases.load import load_base
from lorakit.lab.sweep import Run
from lorakit.lab.tasks import TASKS
from lorakit.lab.tasks.task import collate, encode_all
from lorakit.rivals.variants import attach
from lorakit.rivals.variants.lora_plus import parameter_groups
from lorakit.study.latency import Comparison, compare


def step_of(run: Run):
    """A training step of a run of the sweep, to be called again and again."""
    model, tokenizer = load_base("nano", device="cpu")
    layer = "rslora" if run.use_rslora else "lora" if run.method == "lora_plus" else run.method
    attach(model, layer, run.targets, run.r, run.alpha)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(parameter_groups(trained, 1e-5, run.size or 1))
    batch = collate(encode_all(TASKS["python"]().train[:8], tokenizer), tokenizer.pad_token_id)

    def step():
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def measure(repeats: int) -> Comparison:
    runs = variants()
    names = named(pd.DataFrame(map(asdict, runs)))["variant"]
    jobs = {name: step_of(run) for name, run in zip(names, runs, strict=True) if name != TWICE}
    return compare(jobs, repeats=repeats, clock=time.process_time)


if __name__ == "__main__":
    torch.set_num_threads(1)
    found = measure(repeats=30)
    rows = {
        name: {"ms": round(1e3 * job.median, 2), "ratio": round(job.ratio, 3), "interval": job.interval}
        for name, job in found.jobs.items()
    }
    print(found)
    command = "python -m lorakit.chapters.variants.step_time"
    record.write(TIMES, {"noise": found.noise, "steps": rows}, command)
