"""One adapted projection alone, where the adapter is what is measured: lorakit beside every peer and beside the limit.

`make bench` times lorakit, by_hand, PEFT and loralib; `make bench-peers`, in an environment of its own, litgpt and
torchtune too. All have the same W0, A and B and must compute the same. A row gives the time that each adds to the
frozen layer, in µs, and the limit: what the update's operations take at the rate of the frozen layer with most tokens,
or, where that is more, what reading A and B takes at the rate at which the frozen layer with one token reads W0.
Results: data/results/bench_layer_<device>.json and a chart in docs/.
"""

import argparse
import copy
import itertools
import math
import sys
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import nn

import lorakit as lk
from lorakit import by_hand
from lorakit.lab import record
from lorakit.lab.places import RESULTS
from lorakit.lab.step import quick_precision
from lorakit.study.latency import Job, compare

R, ALPHA = 8, 16
SHAPES = ((768, 2304), (4096, 4096))  # in, out: GPT-2's c_attn, a projection of a 7B model
TOKENS = (1, 16, 128, 1024)
TINY = (16, 48)  # hardly any arithmetic
KINDS = {torch.float32: "", torch.bfloat16: ", bf16"}
MIXES = ((16, 1), (16, 8), (16, 16), (64, 64))  # rows of a batch that decodes, over so many adapters


def with_lorakit(base: nn.Linear) -> nn.Module:
    return lk.inject(nn.Sequential(base), lk.LoRAConfig(r=R, alpha=ALPHA, targets=("0",)))[0]


def with_peft(base: nn.Linear) -> nn.Module:
    import peft

    config = peft.LoraConfig(r=R, lora_alpha=ALPHA, target_modules=["0"])
    return peft.get_peft_model(nn.Sequential(base), config).base_model.model[0]


def with_loralib(base: nn.Linear) -> nn.Module:
    import loralib

    return loralib.Linear(base.in_features, base.out_features, r=R, lora_alpha=ALPHA, merge_weights=False)


def with_litgpt(base: nn.Linear) -> nn.Module:
    from litgpt.lora import LoRALinear

    return LoRALinear(base.in_features, base.out_features, r=R, lora_alpha=ALPHA)


def with_torchtune(base: nn.Linear) -> nn.Module:
    from torchtune.modules.peft import LoRALinear

    return LoRALinear(base.in_features, base.out_features, rank=R, alpha=ALPHA, use_bias=True)


MAKERS = {
    "lorakit": with_lorakit,
    "by_hand": lambda base: by_hand.LoRALayer(base, R, ALPHA),
    "peft": with_peft,
    "loralib": with_loralib,
    "litgpt": with_litgpt,
    "torchtune": with_torchtune,
}
PACKAGES = ("lorakit", "peft", "loralib", "litgpt", "torchtune")


def contestants(shape: tuple[int, int], dtype: torch.dtype, device: str) -> tuple[dict[str, nn.Module], dict[str, str]]:
    """The frozen layer and everyone's around copies of it, with the same A and B; and why some are not there."""
    torch.manual_seed(0)
    base = nn.Linear(*shape, device=device, dtype=dtype).requires_grad_(False)
    A, B = torch.randn(R, shape[0]) / shape[0] ** 0.5, torch.randn(shape[1], R) / 10
    found, absent = {"frozen": base}, {}
    for name, make in MAKERS.items():
        try:
            layer = make(copy.deepcopy(base))
        except ImportError as error:
            absent[name] = f"not installed here ({error.name})"
            continue
        # lorakit and PEFT choose their adapters' dtype; the others' layers are new ones, of the base's.
        layer = layer.to(device) if name in ("lorakit", "peft") else layer.to(device, dtype)
        for path, tensor in layer.named_parameters():
            # All compute on the same W0: a copy elsewhere in memory was up to a tenth faster or slower.
            known = {"lora_a": A.to(tensor), "lora_b": B.to(tensor), "bias": base.bias.data}
            tensor.data = next((known[part].clone() for part in known if part in path.lower()), base.weight.data)
            tensor.requires_grad_("lora_" in path.lower())
        found[name] = layer
    return found, absent


def forward(layer: nn.Module, x: torch.Tensor, calls: int, around: Callable = nullcontext, **more) -> Job:
    @torch.no_grad()
    def run():
        with around():
            for _ in range(calls):
                layer(x, **more)

    return Job(run, units=calls)


def step(layer: nn.Module, x: torch.Tensor, calls: int) -> Job:
    """Forward and backward; the gradient goes on to x, as in a model."""
    trained = [p for p in layer.parameters() if p.requires_grad]
    gradient = torch.ones_like(layer(x))

    def run():
        for _ in range(calls):
            layer(x).backward(gradient)
            for tensor in (x, *trained):
                tensor.grad = None

    return Job(run, units=calls)


def row(what: str, shape: tuple[int, int], jobs: Callable[[int], dict[str, Job]], options, **facts) -> dict:
    """Times of `jobs(calls)`, in µs, the first of which is the frozen layer's.

    facts: tokens, dtype, and of the update its operations and the numbers that it reads or writes.
    """
    # 20 ms at a time: after a change of contestants the first calls find neither code nor weights in the caches.
    once = compare({"frozen": jobs(1)["frozen"]}, repeats=2, device=options.device) if not options.tiny else None
    calls = max(1, math.ceil(2e-2 / once.jobs["frozen"].median)) if once else 1
    found = compare(jobs(calls), repeats=options.repeats, device=options.device, seconds=options.seconds)
    base = 1e6 * found.jobs["frozen"].median
    others = {name: job for name, job in found.jobs.items() if not name.startswith("frozen")}
    return {
        "what": what, "shape": list(shape), **facts, "frozen": base, "noise": base * found.noise,
        "added": {name: base * (job.ratio - 1) for name, job in others.items()},
        "interval": {name: [base * (end - 1) for end in job.interval] for name, job in others.items()},
    }  # fmt: skip


def one_adapter(shape: tuple[int, int], dtype: torch.dtype, options):
    """Forward and step at each number of tokens."""
    layers, _ = contestants(shape, dtype, options.device)
    ones = torch.ones(1, 2, shape[0], dtype=dtype, device=options.device)
    ours = layers["lorakit"](ones)
    for name in layers.keys() - {"frozen"}:
        apart = (layers[name](ones) - ours).abs().max() / ours.abs().max()
        assert apart < (1e-4 if dtype == torch.float32 else 0.05), f"{name} computes something else: {apart:.1e}"
    for tokens in options.tokens:
        # A step goes over A and B three times: forward, for the gradient of x, for their own.
        for job, times in ((forward, 1), (step, 3)):
            x = torch.randn(1, tokens, shape[0], device=options.device, dtype=dtype, requires_grad=job is step)
            for layer in layers.values():
                layer.train(job is step)

            def jobs(calls, job=job, x=x):
                return {name: job(layer, x, calls) for name, layer in layers.items()}

            facts = {"tokens": tokens, "dtype": str(dtype), **update(shape, times, tokens)}
            yield row(f"{job.__name__}, {tokens} tokens{KINDS[dtype]}", shape, jobs, options, **facts)


def update(shape: tuple[int, int], times: int, tokens: int, adapters: int = 1) -> dict[str, int]:
    """The operations of so many passes of tokens through A and B, and the numbers of all the adapters' A and B."""
    numbers = times * R * sum(shape)
    return {"operations": 2 * tokens * numbers, "numbers": adapters * numbers}


def add_limits(rows: list[dict]) -> None:
    """To the rows of one shape the limit, in µs (see above)."""
    for each in rows:
        same = [row for row in rows if row["what"].startswith("forward") and row["dtype"] == each["dtype"]]
        few, *_, many = sorted(same, key=lambda row: row["tokens"])
        size = math.prod(each["shape"])
        computing = each["operations"] * many["frozen"] / (2 * many["tokens"] * size)
        each["limit"] = max(computing, each["numbers"] * few["frozen"] / size)


def rows_of_adapters(shape: tuple[int, int], dtype: torch.dtype, options):
    """Rows of one token each, over one adapter or many: see MIXES."""
    layers, _ = contestants(shape, dtype, options.device)
    base, names = layers["frozen"], [f"task{n}" for n in range(MIXES[-1][1])]
    ours = nn.Sequential(copy.deepcopy(base))
    for n, name in enumerate(names):
        lk.inject(ours, lk.LoRAConfig(r=R, alpha=ALPHA, targets=("0",)), name=name, seed=n)
    ours.eval()
    theirs = layers.get("peft")
    for name in names if theirs is not None else ():
        import peft

        theirs.update_layer(name, r=R, lora_alpha=ALPHA, config=peft.LoraConfig(r=R, lora_alpha=ALPHA))
    by_index = by_hand.ManyLoRA([by_hand.LoRALayer(base, R, ALPHA) for _ in names])
    by_index.A, by_index.B = by_index.A.to(base.weight), by_index.B.to(base.weight)
    for rows, count in MIXES:
        x, chosen = torch.randn(rows, 1, shape[0]).to(base.weight), [names[n % count] for n in range(rows)]

        def jobs(calls, chosen=chosen, x=x):
            made = {"frozen": forward(base, x, calls)}
            made["lorakit"] = forward(ours, x, calls, lambda: lk.using(ours, chosen))
            by_index.which = torch.arange(len(chosen)) % len(set(chosen))
            made["by_hand"] = forward(by_index, x, calls)
            return made | ({"peft": forward(theirs.eval(), x, calls, adapter_names=chosen)} if theirs else {})

        facts = {"tokens": rows, "dtype": str(dtype), **update(shape, 1, rows, count)}
        yield row(f"{rows} rows, {count} adapters{KINDS[dtype]}", shape, jobs, options, **facts)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1, help="of a CPU")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=3, help="at least, for each row")
    parser.add_argument("--tiny", action="store_true", help="a tiny shape, to see that everything runs")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    warnings.filterwarnings("ignore")
    torch.set_num_threads(options.threads)
    shapes, options.tokens = ((TINY,), (1, 16)) if options.tiny else (SHAPES, TOKENS)
    _, absent = contestants(shapes[0], torch.float32, options.device)
    rows = []
    dtypes = [torch.float32, *([torch.bfloat16] if quick_precision(options.device) == "bf16" else [])]
    for shape in shapes:
        of_shape = []
        for dtype, part in itertools.product(dtypes, (one_adapter, rows_of_adapters)):
            for found in part(shape, dtype, options):
                of_shape.append(found)
                added = ", ".join(f"{name} {value:.1f}" for name, value in found["added"].items())
                print(f"{shape} {found['what']:28} {found['frozen']:9.1f} + {added}", flush=True)
        add_limits(of_shape)
        rows += of_shape
    result = {
        "versions": record.versions(*(name for name in PACKAGES if name not in absent)),
        "absent": absent, "rows": rows,
    }  # fmt: skip
    name = f"bench_layer_{torch.device(options.device).type}"
    command = " ".join(["python -m benchmarks.layer", *(sys.argv[1:] if arguments is None else arguments)])
    record.write(options.out or RESULTS / f"{name}.json", result, command, options.device)
    if options.out is None:
        from benchmarks.chart import draw_layers  # here: a bare GPU machine has neither pandas nor matplotlib

        draw_layers(result, Path(__file__).parents[1] / "docs" / f"{name}.png")


if __name__ == "__main__":
    main()
