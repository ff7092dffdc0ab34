"""What grows with resident adapters and with depth: `make bench` runs it, and writes bench_scaling_cpu.json.

Medians in ms: switching, and entering and leaving `using` for one adapter and for a batch of eight rows; for depth also
injecting. And the memory of the process that an adapter takes beside what its numbers take.
"""

import argparse
import sys
from itertools import count
from pathlib import Path

import psutil
from torch import nn

import lorakit as lk
from benchmarks.chart import draw_scaling
from lorakit.lab import record
from lorakit.lab.bases.shapes import random_gpt2
from lorakit.lab.places import RESULTS
from lorakit.study.latency import compare
from lorakit.study.parameters import Decoder

RESIDENT, DEPTHS, TINY = (1, 10, 100, 1000), (12, 24, 48, 96), (1, 2)
CONFIG = lk.LoRAConfig(r=4, targets=("c_attn",))


def decoder(layers: int) -> nn.Module:
    """A GPT-2 as deep as asked and nano's width."""
    shape = Decoder(layers=layers, width=256, heads=4, vocabulary=300, context=64, inner=1024)
    return random_gpt2(shape, dropout=0.0).eval()


def milliseconds(model: nn.Module, names: list[str]) -> dict[str, float]:
    """Of a switch to the next adapter, and of `using` for one name and for eight rows."""
    turn, rows = count(), [names[n % len(names)] for n in range(8)]

    def use(chosen: str | list[str]) -> None:
        with lk.using(model, chosen):
            pass

    jobs = {
        "switch": lambda: lk.set_adapter(model, names[next(turn) % len(names)]),
        "using one": lambda: use(names[0]),
        "using rows": lambda: use(rows),
    }
    return {name: 1e3 * job.median for name, job in compare(jobs, seconds=1).jobs.items() if "again" not in name}


def resident(numbers: tuple[int, ...]) -> list[dict]:
    """More and more adapters in one model of 12 blocks."""
    model, names, rows, process = decoder(12), [], [], psutil.Process()
    for number in numbers:
        before, had = process.memory_info().rss, len(names)
        while len(names) < number:
            names.append(f"a{len(names)}")
            lk.inject(model, CONFIG, name=names[-1], seed=len(names))
        held = sum(4 * p.numel() for path, p in model.named_parameters() if f".{names[0]}." in path)
        beside = (process.memory_info().rss - before) / (number - had) - held
        rows.append({"adapters": number, **milliseconds(model, names), "bytes": held, "bytes beside": round(beside)})
    return rows


def depth(numbers: tuple[int, ...]) -> list[dict]:
    """One adapter in deeper and deeper models."""
    rows = []
    for number in numbers:
        model = decoder(number)
        job = compare({"inject": lambda model=model: lk.eject(lk.inject(model, CONFIG))}, seconds=1).jobs["inject"]
        lk.inject(model, CONFIG)
        rows.append({"blocks": number, "inject and eject": 1e3 * job.median, **milliseconds(model, ["default"])})
    return rows


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="two sizes each, to see that everything runs")
    parser.add_argument("--out", type=Path, default=RESULTS / "bench_scaling_cpu.json")
    options = parser.parse_args(arguments)
    command = " ".join(["python -m benchmarks.scaling", *(sys.argv[1:] if arguments is None else arguments)])
    sizes = (TINY, TINY) if options.tiny else (RESIDENT, DEPTHS)
    found = {"resident": resident(sizes[0]), "depth": depth(sizes[1])}
    for part, rows in found.items():
        print(part, *rows, sep="\n", flush=True)
    record.write(options.out, found, command)
    if not options.tiny:
        draw_scaling(found, Path(__file__).parents[1] / "docs" / "bench_scaling_cpu.png")


if __name__ == "__main__":
    main()
