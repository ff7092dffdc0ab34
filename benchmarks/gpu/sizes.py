"""What is measured: the paper's shapes and batches, or a tiny stand-in that runs anywhere in seconds."""

import math
from dataclasses import dataclass

from lorakit.lab.bases.shapes import FAMILY
from lorakit.study.parameters import Decoder


@dataclass(frozen=True)
class Sizes:
    """Shapes by name, and for each part its cells. Batches are (rows, tokens in each).

    prefill, decode    latency at `wide`: whole texts read at once; one token more behind so many
    memory             batches of a training step, for every shape
    train              batch of a training step
    training           what it is measured in, what matters most first: shape, precision, whether it is compiled
    adapters, mixed    how many adapters share a batch of `mixed` rows and tokens
    compiler           torch.compile's backend
    rounds, longest    a cell is repeated so often at least, and for so many seconds at most
    """

    shapes: dict[str, Decoder]
    wide: str
    prefill: tuple[tuple[int, int], ...]
    decode: tuple[tuple[int, int], ...]
    memory: tuple[tuple[int, int], ...]
    train: tuple[int, int]
    training: tuple[tuple[str, str, bool], ...]
    adapters: tuple[int, ...]
    mixed: tuple[int, int]
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
    memory=((1, 128), (4, 512), (16, 512)),
    train=(8, 512),
    training=(
        ("gpt2", "fp32", False), ("gpt2", "bf16", False), ("gpt2", "bf16", True),
        ("gpt2-medium", "fp32", False), ("gpt2-medium", "bf16", False), ("gpt2", "fp32", True),
        ("gpt2", "autocast", False), ("gpt2-medium", "autocast", False), ("gpt2-medium", "bf16", True),
    ),
    adapters=(1, 8, 16),
    mixed=(16, 32),
)  # fmt: skip
TINY = Sizes(
    shapes={"tiny": Decoder(1, 128, 2, 300, 128, inner=512)},
    wide="tiny",
    prefill=((2, 16),),
    decode=((1, 16),),
    memory=((2, 16),),
    train=(2, 16),
    training=(("tiny", "fp32", False), ("tiny", "autocast", False), ("tiny", "fp32", True)),
    adapters=(2,),
    mixed=(4, 8),
    compiler="eager",  # the graph as it was traced, without the time it takes to write kernels from it
    rounds=2,
    longest=0.1,
    tiny=True,
)
