"""One base, many adapters: what a change of task takes, how many requests a second, what 1,000 of them occupy.

    python -m lorakit.chapters.one_model_many_tasks.many_adapters    writes many_adapters_<device>.json

All on nano, in one process, in turns (`study.latency`). Adapters have random weights: neither time nor memory depends
on their values. PEFT is measured beside lorakit where it is installed.
"""

import argparse
import json
import os
import platform
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch
from torch import nn

import lorakit as lk
from lorakit.chapters.one_model_many_tasks.resident import CONFIG, fill, median_seconds, resident, switch_seconds
from lorakit.chapters.one_model_many_tasks.serving import merging, mixed, peft_names, swapping, write_tokens
from lorakit.core.errors import LoRAError
from lorakit.lab.places import RESULTS
from lorakit.lab.record import versions
from lorakit.study.latency import Comparison, Job, compare

ROWS, LENGTH, TOKENS = 16, 32, 8


def change_times(model: nn.Module, names: Sequence[str], theirs=None, switches: int = 200) -> dict[str, float]:
    """Median microseconds of a change of task: "switch", "merge" (with the unmerge before the next), "peft"'s switch.

    theirs   a PeftModel with adapters of the same names, or None
    """

    def merge(name):
        lk.set_adapter(model, name)
        lk.merge(model)
        lk.unmerge(model)

    some = [names[i % len(names)] for i in range(max(10, switches // 10))]
    found = {"switch": switch_seconds(model, names, switches), "merge": median_seconds(merge, some)}
    if theirs is not None:
        found["peft"] = median_seconds(theirs.set_adapter, some)
    return {way: 1e6 * seconds for way, seconds in found.items()}


def throughput(
    model: nn.Module, names: Sequence[str], theirs=None, *, tokens: int = TOKENS, repeats: int = 6, rows: int = ROWS
) -> Comparison:
    """`rows` requests arrive together, shared out among the adapters `names`: the ways to answer them, timed in turns.

    Jobs: "one adapter" (all rows want the first one: the measure of the others), "mixed", "swapping", "merging" and,
    with a PeftModel `theirs`, "peft". The unit is a request, so 1 / median is requests per second.
    """
    device = next(model.parameters()).device
    ids = torch.randint(model.config.vocab_size, (rows, LENGTH), generator=torch.Generator().manual_seed(0)).to(device)
    wanted = [names[row % len(names)] for row in range(rows)]
    model.eval()
    lk.set_adapter(model, names[0])
    ways = {
        "one adapter": lambda: write_tokens(model, ids, tokens),
        "mixed": lambda: mixed(model, ids, wanted, tokens),
        "swapping": lambda: swapping(model, ids, wanted, tokens),
        "merging": lambda: merging(model, ids, wanted, tokens),
    }
    if theirs is not None:
        ways["peft"] = lambda: peft_names(theirs, ids, wanted, tokens)
    jobs = {name: Job(run, units=rows) for name, run in ways.items()}
    return compare(jobs, repeats=repeats, warmup=1, device=device)


def peft_twin(base: nn.Module, names: Sequence[str], config: lk.LoRAConfig = CONFIG):
    """A PeftModel around a GPT-2 `base` with random adapters shaped like `config`'s; None where PEFT is missing."""
    try:
        import peft
    except ImportError:
        return None
    targets = [t for target in config.targets for t in {"mlp": ("c_fc", "mlp.c_proj")}.get(target, (target,))]
    shape = {"r": config.r, "lora_alpha": config.alpha, "target_modules": targets, "fan_in_fan_out": True}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what transformers deprecates and PEFT still uses
        theirs = peft.get_peft_model(base, peft.LoraConfig(**shape, init_lora_weights=False), adapter_name=names[0])
        for name in names[1:]:
            theirs.add_adapter(name, peft.LoraConfig(**shape, init_lora_weights=False))
    return theirs.eval()


def as_rows(among: int, compared: Comparison) -> list[dict]:
    """A comparison as plain data: requests per second, and time to the first job's with its 95 % interval."""
    return [
        {"adapters": among, "way": way, "per_second": 1 / job.median, "ratio": job.ratio,
         "interval": list(job.interval), "noise": compared.noise, "verdict": compared.verdict(way)}
        for way, job in compared.jobs.items()
    ]  # fmt: skip


def measure(device: str, repeats: int, spread: Sequence[int], counts: Sequence[int]) -> dict:
    """Everything on a fresh nano, plain data: {"change_us", "throughput" (for each of `spread`), "resident"}."""
    model, _ = lk.load_base("nano", device=device)
    names = fill(model, max(spread))
    theirs = peft_twin(lk.load_base("nano", device=device)[0], names)
    found = {"change_us": change_times(model, names, theirs), "throughput": []}
    for among in spread:
        found["throughput"] += as_rows(among, throughput(model, names[:among], theirs, repeats=repeats))
    del model, theirs
    return found | {"resident": resident(lk.load_base("nano", device=device)[0], counts)}


def recorded(device: str = "cpu") -> dict:
    """The record of a device, "cpu" or "cuda". Raises LoRAError where it is missing."""
    file = RESULTS / f"many_adapters_{device}.json"
    if not file.is_file():
        raise LoRAError(
            f"{file} is missing: run python -m lorakit.chapters.one_model_many_tasks.many_adapters --device {device}"
        )
    return json.loads(file.read_text("utf-8"))


def main(arguments: list[str] | None = None) -> Path:
    parser = argparse.ArgumentParser(
        prog="python -m lorakit.chapters.one_model_many_tasks.many_adapters", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=8)
    parser.add_argument("--spread", type=int, nargs="+", default=(1, 2, 4, 8, 16), help="adapters in a batch")
    parser.add_argument("--resident", type=int, nargs="+", default=(1, 10, 100, 1000), help="adapters in the model")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    cuda = torch.device(options.device).type == "cuda"
    note = {
        "what": f"nano, r = 4 on the MLP; {ROWS} requests of {LENGTH} tokens arrive together, {TOKENS} are written",
        "command": "python -m lorakit.chapters.one_model_many_tasks.many_adapters"
        + (f" --device {options.device}" if cuda else ""),
        "device": torch.cuda.get_device_name() if cuda else f"{platform.machine()}, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
        "repeats": options.repeats,
        "versions": versions(),
        "date": datetime.now(UTC).date().isoformat(),
    }
    found = note | measure(options.device, options.repeats, options.spread, options.resident)
    found = json.loads(json.dumps(found), parse_float=lambda number: float(f"{float(number):.4g}"))
    out = options.out or RESULTS / f"many_adapters_{'cuda' if cuda else 'cpu'}.json"
    out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return out


if __name__ == "__main__":
    print(f"written: {main()}")
