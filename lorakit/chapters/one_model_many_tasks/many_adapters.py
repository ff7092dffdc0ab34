"""One base, many adapters: what a change of task takes, how many requests a second, what 1,000 of them occupy.

    python -m lorakit.chapters.one_model_many_tasks.many_adapters    writes data/results/many_adapters_cpu.json

All on nano, on the CPU, in one process, in turns (`study.latency`). Adapters have random weights: neither time nor
memory depends on their values. PEFT is measured beside lorakit where it is installed.
"""

import gc
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from statistics import median

import pandas as pd
import psutil
import torch
from torch import nn

import lorakit as lk
from lorakit.chapters.one_model_many_tasks.serving import mixed, peft_mixed, put_back, swapping, write_tokens
from lorakit.core.state import state_of
from lorakit.lab import record
from lorakit.lab.places import RESULTS
from lorakit.study.latency import Comparison, Job, compare

RECORD = RESULTS / "many_adapters_cpu.json"
ROWS, LENGTH, TOKENS = 16, 32, 8
CONFIG = lk.LoRAConfig(r=4, alpha=8, targets=("mlp",))  # rank and place are the style adapters'


def fill(model: nn.Module, count: int, config: lk.LoRAConfig = CONFIG) -> list[str]:
    """Inject adapters "a0", "a1", … until the model has `count` of them, each with A and B of its own; their names.

    B is drawn too (standard deviation 0.02), so that every adapter answers differently.
    """
    names = [f"a{number}" for number in range(count)]
    there = set(lk.adapter_names(model))
    for number, name in enumerate(names):
        if name not in there:
            lk.inject(model, config, name=name, seed=number)
            generator = torch.Generator().manual_seed(number)
            for layer in state_of(model).layers.values():
                B = layer.active.lora_B.data
                B.copy_(0.02 * torch.randn(B.shape, generator=generator))
    return names


def peft_twin(base: nn.Module, names: Sequence[str]):
    """A PeftModel around a GPT-2 `base` with random adapters on its MLP, as CONFIG has them; None without PEFT."""
    try:
        import peft
    except ImportError:
        return None
    shape = peft.LoraConfig(
        r=CONFIG.r, lora_alpha=CONFIG.alpha, target_modules=["c_fc", "mlp.c_proj"], fan_in_fan_out=True,
        init_lora_weights=False,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what transformers deprecates and PEFT still uses
        theirs = peft.get_peft_model(base, shape, adapter_name=names[0])
        for name in names[1:]:
            theirs.add_adapter(name, shape)
    return theirs.eval()


# -- time


def median_us(action: Callable, arguments: Iterable) -> float:
    """Median microseconds of `action(argument)` over the arguments."""
    times = []
    for argument in arguments:
        began = time.perf_counter()
        action(argument)
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()  # or the time is that of asking for the work
        times.append(time.perf_counter() - began)
    return 1e6 * median(times)


def switch_us(model: nn.Module, names: Sequence[str]) -> float:
    """Median microseconds of one set_adapter, over 300 jumps between random ones of `names`."""
    order = torch.randint(len(names), (300,), generator=torch.Generator().manual_seed(0)).tolist()
    return median_us(lambda name: lk.set_adapter(model, name), [names[i] for i in order])


def change_times(model: nn.Module, names: Sequence[str], theirs=None) -> dict[str, float]:
    """Median µs of a change of task: "switch", "merge" (with the unmerge). Afterwards the model is as before.

    theirs   a PeftModel with adapters of the same names, whose switch is "peft"; or None
    """

    def merge(name):
        lk.set_adapter(model, name)
        lk.merge(model)
        lk.unmerge(model)

    some = [names[i % len(names)] for i in range(20)]
    with put_back(model):
        found = {"switch": switch_us(model, names), "merge": median_us(merge, some)}
    return found if theirs is None else found | {"peft": median_us(theirs.set_adapter, some)}


def throughput(
    model: nn.Module, names: Sequence[str], theirs=None, *, tokens: int = TOKENS, repeats: int = 6
) -> Comparison:
    """ROWS requests arrive together, shared out among the adapters `names`: the ways to answer them, timed in turns.

    Jobs: "one adapter" (all rows want the first one: the measure of the others), "mixed", "swapping", "merging" and,
    with a PeftModel `theirs`, "peft". The unit is a request, so 1 / median is requests per second.
    """
    device = next(model.parameters()).device
    ids = torch.randint(model.config.vocab_size, (ROWS, LENGTH), generator=torch.Generator().manual_seed(0)).to(device)
    wanted = [names[row % len(names)] for row in range(ROWS)]
    lk.set_adapter(model, names[0])
    ways = {
        "one adapter": lambda: write_tokens(model, ids, tokens),
        "mixed": lambda: mixed(model, ids, wanted, tokens),
        "swapping": lambda: swapping(model, ids, wanted, tokens),
        "merging": lambda: swapping(model, ids, wanted, tokens, merged=True),
    }
    if theirs is not None:
        ways["peft"] = lambda: peft_mixed(theirs, ids, wanted, tokens)
    jobs = {name: Job(run, units=ROWS) for name, run in ways.items()}
    return compare(jobs, repeats=repeats, warmup=1, device=device)


# -- memory


def occupied() -> int:
    """Bytes of the machine's memory that this process holds."""
    gc.collect()
    return psutil.Process().memory_info().rss


def resident(model: nn.Module, counts: Sequence[int]) -> pd.DataFrame:
    """Inject adapters up to each of `counts` (rising) and measure at each: a row for every count.

    tensors    bytes of all A and B
    process    bytes that the process has grown by since the first
    inject_s   seconds for all of them so far
    switch_us  microseconds of one set_adapter, the median
    """
    start, rows, spent = occupied(), [], 0.0
    for count in counts:
        began = time.perf_counter()
        names = fill(model, count)
        spent += time.perf_counter() - began
        rows.append(
            {
                "adapters": count,
                "tensors": sum(p.numel() * p.element_size() for name, p in model.named_parameters() if "lora_" in name),
                "process": occupied() - start,
                "inject_s": spent,
                "switch_us": switch_us(model, names),
            }
        )
    return pd.DataFrame(rows)


# -- the record


def measure() -> dict:
    """Everything on a fresh nano, plain data: {"repeats", "change_us", "throughput", "resident"}."""
    model, _ = lk.load_base("nano", device="cpu")
    names, repeats = fill(model, ROWS), 8
    theirs = peft_twin(lk.load_base("nano", device="cpu")[0], names)
    change = change_times(model, names, theirs)
    rows = [
        {"adapters": k, "way": way, "ratio": job.ratio, "interval": job.interval, "noise": compared.noise}
        for k in (1, 2, 4, 8, ROWS)  # different adapters in one batch
        for compared in [throughput(model, names[:k], theirs, repeats=repeats)]
        for way, job in compared.jobs.items()
    ]
    del model, theirs
    memory = resident(lk.load_base("nano", device="cpu")[0], (1, 10, 100, 1000))
    return {"repeats": repeats, "change_us": change, "throughput": rows, "resident": memory.to_dict("records")}


def recorded() -> dict:
    """What `measure` found, with device and date; throughput and resident as DataFrames."""
    found = record.read(RECORD)
    return found | {part: pd.DataFrame(found[part]) for part in ("throughput", "resident")}


if __name__ == "__main__":
    what = f"nano, r = 4 on the MLP; {ROWS} requests of {LENGTH} tokens arrive together, {TOKENS} are written"
    record.write(RECORD, {"what": what, **measure()}, "python -m lorakit.chapters.one_model_many_tasks.many_adapters")
    print(f"written: {RECORD}")
