"""What each way to adapt a base costs, measured: memory of a step, time of an answer, context, the base's bits.

    python -m lorakit.chapters.against_the_others.costs [--repeats 200]

measures it again (about ten minutes on two cores) and writes data/results/rivals_costs.json. Every method is prepared
as a sweep prepares it (`lab.methods`), so what is measured is what was trained.
"""

import argparse

import torch
from torch import nn

from lorakit.chapters.against_the_others.table import page, rivals_table
from lorakit.core.errors import LoRAError
from lorakit.core.merge import merge
from lorakit.files.note import checksum_of
from lorakit.lab.bases.load import load_base
from lorakit.lab.kinds import COSTS, KINDS
from lorakit.lab.methods import Prepared, prepare
from lorakit.lab.record import write
from lorakit.lab.sweep import Run
from lorakit.lab.tasks import TASKS
from lorakit.lab.tasks.task import Task, collate, encode_all
from lorakit.rivals.prefix import usable_context
from lorakit.study.latency import compare, decode, prefill
from lorakit.study.memory_measured import Measured, count_bytes, make_optimizer, measure_step, step_once

ROWS, LENGTH = 32, 64  # questions in a step of training, tokens that stand before an answer


def questions(tokenizer, task: Task, rows: int) -> dict[str, torch.Tensor]:
    """The first training examples as a batch of tensors, each (rows, longest)."""
    return collate(encode_all(task.train[:rows], tokenizer), tokenizer.pad_token_id)


def fresh(run: Run) -> tuple[nn.Module, Prepared]:
    """A base, and what a sweep makes of it before it trains."""
    base, _ = load_base(run.base)
    return base, prepare(base, run)


def step_memory(run: Run, batch: dict[str, torch.Tensor]) -> tuple[int, Measured]:
    """The peak of one training step with AdamW, in bytes, and its parts; a teacher beside the student counts.

    In float32, with the attention that the model loads with, as in chapter 05.
    """
    base, prepared = fresh(run)
    measured = measure_step(prepared.model, lambda: prepared.objective(prepared.model, batch)[0])
    beside = 0 if prepared.model is base else count_bytes([*base.parameters(), *base.buffers()])
    return measured.peak + beside, measured


def base_unchanged(run: Run, batch: dict[str, torch.Tensor], lr: float = 1e-3) -> bool:
    """Whether two real steps leave every bit of the base's weights as it was, by SHA-256 before and after.

    Where a student is trained, the base is its teacher, and that stays; but the student is what answers. Raises
    LoRAError if nothing trained at all.
    """
    base, _ = load_base(run.base)
    held = dict(base.named_parameters())  # the tensors themselves: a method may give them other names
    prepared = prepare(base, run)
    before = digest(held)
    model = prepared.model.train()
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    started = digest(trained)
    optimizer = make_optimizer(model, "adamw", lr)
    for _ in range(2):
        step_once(lambda: prepared.objective(model, batch)[0], optimizer)
    if digest(trained) == started:
        raise LoRAError(f"{run}: two steps moved nothing, so they prove nothing")
    return digest(held) == before


def digest(tensors: dict[str, torch.Tensor]) -> str:
    """SHA-256 over the bits of the tensors."""
    return checksum_of({name: tensor.detach().cpu() for name, tensor in tensors.items()}, "")


def deployed(run: Run) -> nn.Module:
    """The model that answers once training has ended, in eval mode, without what only training needed.

    What trains and began at zero gets small random values, so that no product with zeros is timed.
    """
    _, prepared = fresh(run)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in prepared.model.parameters():
            if p.requires_grad and not p.any():
                p.copy_(0.02 * torch.randn(p.shape, generator=generator))
    prepared.finish()
    return prepared.model.eval()


def share_weights(model: nn.Module, base: nn.Module) -> None:
    """For timing alone: let `model` compute on the base's own tensors wherever names and shapes agree.

    Or the base, timed twice in each round, finds its weights in the processor's cache and the others do not: mere
    copies of it were 8 % slower. What it computes may change (a merged model's weights are the base's again), the
    time of it does not.
    """
    own = dict(model.named_parameters())
    for name, p in base.named_parameters():
        if name in own and own[name].shape == p.shape:
            own[name].data = p.data


def trainable(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def measure_costs(repeats: int) -> dict:
    """Every kind's costs as plain data; `lab.kinds.costs` reads it. Minutes on two cores."""
    base, tokenizer = load_base("nano")
    batch = questions(tokenizer, TASKS["text_to_sql"](), ROWS)
    models = {"base": base, **{key: deployed(kind.run) for key, kind in KINDS.items()}}
    models["merged"] = deployed(KINDS["lora"].run)
    merge(models["merged"])
    for model in models.values():
        share_weights(model, base)
    times = {
        job: compare({name: make(model, 1, LENGTH) for name, model in models.items()}, repeats, device=base.device)
        for job, make in (("prefill", prefill), ("decode", decode))
    }

    def over_base(name):  # by job: the ratio to the base and its 95 % interval
        return {job: (c.jobs[name].ratio, *c.jobs[name].interval) for job, c in times.items()}

    costs = {
        key: {
            "trained": trainable(fresh(kind.run)[1].model),
            "kept": trainable(models[key]),
            "parameters": sum(p.numel() for p in models[key].parameters()),
            "memory": step_memory(kind.run, batch)[0],
            "context": usable_context(models[key]),
            "unchanged": base_unchanged(kind.run, batch),
            **over_base(key),
        }
        for key, kind in KINDS.items()
    }
    return {
        "base": sum(p.numel() for p in base.parameters()),
        "rows_in_step": ROWS,
        "length": LENGTH,
        "rounds": repeats,
        "base_ms": {job: 1e3 * c.jobs["base"].median for job, c in times.items()},
        "noise": {job: c.noise for job, c in times.items()},
        "merged": over_base("merged"),
        "rows": costs,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=200, help="rounds of the timing")
    options = parser.parse_args()
    found = measure_costs(options.repeats)
    device = "cuda" if torch.cuda.is_available() else "cpu"  # as load_base takes it
    write(COSTS, found, f"python -m {__spec__.name} --repeats {options.repeats}", device)
    print(page(rivals_table(found=found)).to_string())


if __name__ == "__main__":
    main()
