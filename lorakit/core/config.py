"""What an adapter is: its rank, its strength, and where it goes."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from torch import nn

from lorakit.core.errors import LoRAError

LARGEST = 1e28  # alpha / r stays a number of float32 for every alpha from 1 / LARGEST to LARGEST and every r


@dataclass(frozen=True)
class LoRAConfig:
    """The settings of one adapter: y = W0 x + scaling * B A x (Hu et al. 2021, eq. 3).

    r: rank of the update, at least 1.
    alpha: strength; the update is multiplied by alpha / r (alpha / sqrt(r) with use_rslora, Kalajdzievski 2023).
    dropout: probability of dropping an entry of the adapter's input while training, in [0, 1).
    targets: which projections: "q" "k" "v" "o" "mlp" "all-linear", module names or their suffixes
        ("c_attn", "q_proj", "h.0.attn.c_attn"), or slices of a fused projection ("c_attn.q").
    modules_to_save: modules trained and saved whole, beside the adapter, e.g. ("classifier",).
    rank_pattern, alpha_pattern: exceptions to r and alpha, {module name or suffix or regular expression: value},
        as in PEFT.

    Raises LoRAError for a value that cannot be meant.
    """

    r: int = 8
    alpha: float = 16
    dropout: float = 0.0
    targets: tuple[str, ...] = ("q", "v")
    use_rslora: bool = False
    modules_to_save: tuple[str, ...] = ()
    rank_pattern: Mapping[str, int] = field(default_factory=dict)
    alpha_pattern: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("targets", "modules_to_save"):
            given = getattr(self, name) or ()
            names = (given,) if isinstance(given, str) else tuple(given) if isinstance(given, Iterable) else (None,)
            if not all(isinstance(each, str) and each for each in names):
                raise LoRAError(f"{name} must be module names, got {given!r}")
            object.__setattr__(self, name, names)
        if not self.targets:
            raise LoRAError('targets is empty: name at least one projection, e.g. targets=("q", "v")')
        for name in ("rank_pattern", "alpha_pattern"):
            object.__setattr__(self, name, dict(getattr(self, name) or {}))  # our own copy: configs are values
        for r in (self.r, *self.rank_pattern.values()):
            if isinstance(r, bool) or not isinstance(r, int) or not 1 <= r < 2**31:
                raise LoRAError(f"r must be a whole number of at least 1 (and below 2**31), got {r!r}")
        for alpha in (self.alpha, *self.alpha_pattern.values()):
            if not is_number(alpha) or alpha < 1 / LARGEST:
                raise LoRAError(f"alpha must be a positive number that float32 can hold, got {alpha!r}")
        if not is_number(self.dropout) or not 0 <= self.dropout < 1:
            raise LoRAError(f"dropout must be a probability in [0, 1), got {self.dropout!r}")
        if not isinstance(self.use_rslora, bool):
            raise LoRAError(f"use_rslora must be True or False, got {self.use_rslora!r}")
        for pattern in (*self.rank_pattern, *self.alpha_pattern):
            matches_pattern(pattern, "")  # raises where it is none

    def rank_of(self, path: str) -> int:
        """The rank on the module at this path, rank_pattern considered."""
        return next((r for pattern, r in self.rank_pattern.items() if matches_pattern(pattern, path)), self.r)

    def alpha_of(self, path: str) -> float:
        """The alpha on the module at this path, alpha_pattern considered."""
        return next((a for pattern, a in self.alpha_pattern.items() if matches_pattern(pattern, path)), self.alpha)

    def scaling_of(self, path: str) -> float:
        """What B A x is multiplied by there: alpha / r, or alpha / sqrt(r) with use_rslora."""
        r = self.rank_of(path)
        return self.alpha_of(path) / (math.sqrt(r) if self.use_rslora else r)


def matches_pattern(pattern: str, path: str) -> bool:
    """PEFT's rule for rank_pattern and alpha_pattern: does the regular expression fit the path, or its end at a dot?

    Raises LoRAError where it is none.
    """
    try:
        return re.match(rf"(.*\.)?({pattern})$", path) is not None
    except (re.error, OverflowError, RecursionError) as error:
        raise LoRAError(f"pattern {pattern!r} is not a regular expression: {error}") from None


RESERVED = {*dir(nn.ModuleDict), *vars(nn.ModuleDict())}


def check_name(name: str) -> None:
    """Raise LoRAError for what cannot be an adapter's name: it becomes a module's name, and may name a subfolder."""
    # torch refuses the names of a module's own attributes, such as "keys" or "training"
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,200}", name) or name in RESERVED:
        says = "is made of letters, digits, _ and - (200 at most), and is no method's name"
        raise LoRAError(f"an adapter's name {says}: got {name!r}")


def is_number(value) -> bool:
    """A real number, neither NaN nor beyond what float32 holds after a division by any r."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -LARGEST < value < LARGEST
