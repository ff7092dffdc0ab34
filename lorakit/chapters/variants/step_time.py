"""How long a step of each variant takes over LoRA's: `python -m lorakit.chapters.variants.step_time`, two minutes.

Forward, backward and AdamW's step on one batch of eight functions, all by hand, in turns, in seconds of one CPU core,
which other work on the machine changes little; written to data/results/variants_time.json.
"""

import argparse
import time

import torch

from lorakit.chapters.variants.table import LORA, METHODS, TIMES
from lorakit.lab import record
from lorakit.lab.bases.load import load_base
from lorakit.lab.tasks import TASKS
from lorakit.lab.tasks.task import collate, encode_all
from lorakit.rivals.variants import attach
from lorakit.rivals.variants.lora_plus import parameter_groups
from lorakit.study.latency import Comparison, compare

RANKS = {"lora_fa": 8, "vera": 1024}  # the others: 4


def step_of(method: str):
    """A training step of a method of the sweep, to be called again and again."""
    model, tokenizer = load_base("nano", device="cpu")
    attach(model, "lora" if method == "lora_plus" else method, ("mlp",), RANKS.get(method, 4), 16)
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(parameter_groups(named, 1e-5, 16 if method == "lora_plus" else 1))
    batch = collate(encode_all(TASKS["python"]().train[:8], tokenizer), tokenizer.pad_token_id)

    def step():
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def measure(repeats: int) -> Comparison:
    names = {"lora": LORA, "rslora": "rsLoRA"} | METHODS
    jobs = {name: step_of(method) for method, name in names.items()}
    return compare(jobs, repeats=repeats, clock=time.process_time)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=30)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = measure(options.repeats)
    rows = {
        name: {"ms": round(1e3 * job.median, 2), "ratio": round(job.ratio, 3), "interval": job.interval}
        for name, job in found.jobs.items()
    }
    print(found)
    command = "python -m lorakit.chapters.variants.step_time"
    record.write(TIMES, {"noise": found.noise, "steps": rows}, command)
