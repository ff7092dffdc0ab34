"""What each way to adapt a base costs, measured: memory of a step, time of an answer, context, the base's bits.

Every method is prepared as a sweep prepares it (`lab.methods`), so what is measured is what was trained.
"""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime

import torch
from torch import nn

from lorakit.chapters.against_the_others.kinds import KINDS
from lorakit.core.errors import LoRAError
from lorakit.core.merge import merge
from lorakit.lab.bases.load import load_base
from lorakit.lab.methods import prepare
from lorakit.lab.record import versions
from lorakit.lab.sweep import Run
from lorakit.lab.tasks import TASKS
from lorakit.lab.tasks.task import Task, collate, encode_all
from lorakit.rivals.prefix import usable_context
from lorakit.study.latency import compare, decode, prefill
from lorakit.study.memory_measured import Measured, count_bytes, make_optimizer, measure_step, step_once
from lorakit.study.paired_times import Comparison

JOBS = {"prefill": prefill, "decode": decode}
Batch = Mapping[str, torch.Tensor]


def questions(tokenizer, task: Task, rows: int = 32) -> dict[str, torch.Tensor]:
    """The first training examples as a batch of tensors, each (rows, longest)."""
    return collate(encode_all(task.train[:rows], tokenizer), tokenizer.pad_token_id)


def step_memory(run: Run, batch: Batch, device=None) -> tuple[int, Measured]:
    """The peak of one training step with AdamW, in bytes, and its parts; a teacher beside the student counts.

    In float32, with the attention that the model loads with, as in chapter 05.
    """
    base, _ = load_base(run.base, device=device)
    prepared = prepare(base, run)
    measured = measure_step(prepared.model, lambda: prepared.objective(prepared.model, batch)[0])
    beside = 0 if prepared.model is base else count_bytes([*base.parameters(), *base.buffers()])
    return measured.peak + beside, measured


def base_unchanged(run: Run, batch: Batch, steps: int = 2, lr: float = 1e-3, device=None) -> bool:
    """Whether real steps leave every bit of the base's weights as it was, by SHA-256 before and after.

    Where a student is trained, the base is its teacher, and that stays; but the student is what answers. Raises
    LoRAError if nothing trained at all.
    """
    base, _ = load_base(run.base, device=device)
    held = dict(base.named_parameters())  # the tensors themselves: a method may give them other names
    prepared = prepare(base, run)
    before = digest(held)
    model = prepared.model.train()
    started = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    optimizer = make_optimizer(model, "adamw", lr)
    for _ in range(steps):
        step_once(lambda: prepared.objective(model, batch)[0], optimizer)
    if all(torch.equal(model.get_parameter(name), old) for name, old in started.items()):
        raise LoRAError(f"{run}: {steps} steps moved nothing, so they prove nothing")
    return digest(held) == before


def digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 over the bits of the tensors, in the order of their names."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        found.update(tensors[name].detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def deployed(run: Run, device=None, seed: int = 0) -> nn.Module:
    """The model that answers once training has ended, in eval mode, without what only training needed.

    What trains and began at zero gets small random values, so that no product with zeros is timed.
    """
    prepared = prepare(load_base(run.base, device=device)[0], run)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in prepared.model.parameters():
            if p.requires_grad and not p.any():
                p.copy_(0.02 * torch.randn(p.shape, generator=generator))
    prepared.finish()
    return prepared.model.eval()


def share_weights(model: nn.Module, base: nn.Module) -> int:
    """For timing alone: let `model` compute on the base's own tensors wherever names and shapes agree; how many did.

    Or the base, timed twice in each round, finds its weights in the processor's cache and the others do not: mere
    copies of it were 8 % slower. What it computes may change (a merged model's weights are the base's again), the
    time of it does not.
    """
    own = dict(model.named_parameters())
    pairs = [(own[name], q) for name, q in base.named_parameters() if name in own and own[name].shape == q.shape]
    for p, q in pairs:
        p.data = q.data
    return len(pairs)


def counts(run: Run, device=None) -> dict[str, int]:
    """Numbers that train, and those that are kept for the task when training has ended."""
    prepared = prepare(load_base(run.base, device=device)[0], run)
    trained = trainable(prepared.model)
    prepared.finish()
    return {"trained": trained, "kept": trainable(prepared.model)}


def trainable(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def latencies(models: Mapping[str, nn.Module], length: int = 64, repeats: int = 20, jobs=tuple(JOBS)):
    """By job a Comparison of the models, the base first: one prompt of `length` tokens, or 8 tokens behind it."""
    device = next(next(iter(models.values())).parameters()).device
    found: dict[str, Comparison] = {}
    for job in jobs:
        found[job] = compare({name: JOBS[job](m, 1, length) for name, m in models.items()}, repeats, device=device)
    return found


def as_times(found: Mapping[str, Comparison], name: str) -> dict[str, tuple[float, float, float]]:
    """By job: the ratio to the base and its 95 % interval."""
    return {job: (c.jobs[name].ratio, *c.jobs[name].interval) for job, c in found.items()}


def measure_costs(repeats: int = 40, device=None, rows: int = 32, length: int = 64) -> dict:
    """Every kind's costs as plain data, the contents of data/results/rivals_costs.json. Minutes on two cores."""
    base, tokenizer = load_base("nano", device=device)
    batch = questions(tokenizer, TASKS["text_to_sql"](), rows)
    models = {"base": base, **{key: deployed(kind.run, device) for key, kind in KINDS.items()}}
    models["merged"] = deployed(KINDS["lora"].run, device)
    merge(models["merged"])
    for model in models.values():
        share_weights(model, base)
    times = latencies(models, length, repeats)
    costs = {}
    for key, kind in KINDS.items():
        costs[key] = {
            **counts(kind.run, device),
            "parameters": sum(p.numel() for p in models[key].parameters()),
            "memory": step_memory(kind.run, batch, device)[0],
            "context": usable_context(models[key]),
            "unchanged": base_unchanged(kind.run, batch, device=device),
            **as_times(times, key),
        }
    return {
        "device": torch.cuda.get_device_name(base.device) if base.device.type == "cuda" else base.device.type,
        "threads": torch.get_num_threads(),
        "date": datetime.now(UTC).date().isoformat(),
        "versions": versions(),
        "base": sum(p.numel() for p in base.parameters()),
        "rows_in_step": rows,
        "length": length,
        "rounds": repeats,
        "base_ms": {job: 1e3 * c.jobs["base"].median for job, c in times.items()},
        "noise": {job: c.noise for job, c in times.items()},
        "merged": as_times(times, "merged"),
        "rows": costs,
    }
