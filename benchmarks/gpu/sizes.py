"""What is measured: the paper's shapes and batches, or a tiny stand-in that runs anywhere in seconds."""

import math
from dataclasses import dataclass

from lorakit.lab.bases.shapes import FAMILY
from lorakit.study.parameters import Decoder


@dataclass(frozen=True)
class Sizes:
    """Shapes by name, and for each part its cells, those that tell most first. Batches are (rows, tokens in each).

    tests              files or folders
    prefill, decode    latency at `wide`: whole texts read at once; one token more behind so many
    memory             batches of a training step, for every shape
    train              batch of a training step
    training           what it is measured in: shape, precision, and 0, or the seconds without which it is not compiled
    adapters, mixed    how many adapters share a batch of `mixed` rows and tokens
    by_hand            steps, batch, questions asked
    processes          how many runs of a sweep at a time, not begun with less than `least_sweep` seconds
    compiler           torch.compile's backend
    rounds, longest    a cell is repeated so often at least, and for so many seconds at most
    """

    shapes: dict[str, Decoder]
    wide: str
    prefill: tuple[tuple[int, int], ...]
    decode: tuple[tuple[int, int], ...]
    memory: tuple[tuple[int, int], ...]
    train: tuple[int, int]
    training: tuple[tuple[str, str, float], ...]
    adapters: tuple[int, ...]
    mixed: tuple[int, int]
    by_hand: tuple[int, int, int]
    tests: tuple[str, ...] = ("tests/core", "tests/conformance")
    processes: int = 8
    least_sweep: float = 30
    compiler: str = "inductor"
    rounds: int = 6
    longest: float = math.inf
    tiny: bool = False


# Hu et al. 2021, Table 1: GPT-2 medium, batches of 32 × 512, 16 × 256 and 1 × 128.
PAPER = Sizes(
    shapes=FAMILY,
    wide="gpt2-medium",
    prefill=((32, 512), (16, 256), (1, 128)),
    decode=((1, 128), (16, 128)),
    memory=((4, 512), (1, 128), (16, 512)),
    train=(8, 512),
    training=(
        ("gpt2", "bf16", 0), ("gpt2-medium", "bf16", 0), ("gpt2", "fp32", 0), ("gpt2-medium", "fp32", 0),
        ("gpt2", "bf16", 60), ("gpt2-medium", "bf16", 120), ("gpt2", "autocast", 0), ("gpt2-medium", "autocast", 0),
    ),
    adapters=(16, 8, 1),
    mixed=(16, 32),
    by_hand=(100, 32, 64),
)  # fmt: skip
TINY = Sizes(
    shapes={"tiny": Decoder(1, 128, 2, 300, 128, inner=512)},
    wide="tiny",
    prefill=((2, 16),),
    decode=((1, 16),),
    memory=((2, 16),),
    train=(2, 16),
    training=(("tiny", "fp32", 0), ("tiny", "autocast", 0), ("tiny", "fp32", 1)),
    adapters=(2,),
    mixed=(4, 8),
    by_hand=(2, 2, 2),
    tests=("tests/core/test_targets.py",),
    least_sweep=0,
    compiler="eager",  # the graph as it was traced, without the time it takes to write kernels from it
    rounds=2,
    longest=0.1,
    tiny=True,
)
