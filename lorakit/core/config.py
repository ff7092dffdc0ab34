"""What an adapter is: its rank, its strength, and where it goes."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import nn

from lorakit.core.errors import LoRAError, shown
from lorakit.core.patterns import Patience, check_patterns

SMALLEST, LARGEST = 2.0**-126, (2 - 2.0**-23) * 2.0**127  # the normal numbers of float32


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
            object.__setattr__(self, name, _names(name, getattr(self, name)))
        if not self.targets:
            raise LoRAError('targets is empty: name at least one projection, e.g. targets=("q", "v")')
        for name in ("rank_pattern", "alpha_pattern"):
            object.__setattr__(self, name, dict(getattr(self, name) or {}))  # our own copy: configs are values
        for r in (self.r, *self.rank_pattern.values()):
            if isinstance(r, bool) or not isinstance(r, int) or not 1 <= r < 2**31:
                raise LoRAError(f"r must be a whole number of at least 1 (and below 2**31), got {shown(r)}")
        for alpha in (self.alpha, *self.alpha_pattern.values()):
            if not is_number(alpha) or alpha <= 0:
                raise LoRAError(f"alpha must be a positive number, got {shown(alpha)}")
        if not is_number(self.dropout) or not 0 <= self.dropout < 1:
            raise LoRAError(f"dropout must be a probability in [0, 1), got {shown(self.dropout)}")
        if not isinstance(self.use_rslora, bool):
            raise LoRAError(f"use_rslora must be True or False, got {shown(self.use_rslora)}")
        check_patterns((*self.rank_pattern, *self.alpha_pattern))

    def rank_of(self, path: str, patience: Patience | None = None) -> int:
        """The rank on the module at this path, rank_pattern considered."""
        return _by_pattern(self.rank_pattern, path, self.r, patience)

    def alpha_of(self, path: str, patience: Patience | None = None) -> float:
        """The alpha on the module at this path, alpha_pattern considered."""
        return _by_pattern(self.alpha_pattern, path, self.alpha, patience)

    def scaling(self, r: int | None = None, alpha: float | None = None) -> float:
        """What B A x is multiplied by: alpha / r, or alpha / sqrt(r) with use_rslora.

        Raises LoRAError where float32, in which adapters compute, would hold zero or infinity for it.
        """
        r = self.r if r is None else r
        alpha = self.alpha if alpha is None else alpha
        scaling = alpha / math.sqrt(r) if self.use_rslora else alpha / r
        if not SMALLEST <= scaling <= LARGEST:
            raise LoRAError(
                f"alpha = {alpha:g} with r = {r} scales the update by {scaling:g}: float32 cannot hold that"
            )
        return scaling


def check_name(name: str) -> None:
    """Raise LoRAError for what cannot be an adapter's name: it becomes a module's name, and may name a subfolder."""
    good = isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9_-]+", name) and not hasattr(nn.ModuleDict(), name)
    if not good or len(name) > 200:
        says = "is made of letters, digits, _ and - (200 at most), and is no method's name"
        raise LoRAError(f"an adapter's name {says}: got {shown(name)}")


def _names(what: str, value) -> tuple[str, ...]:
    names = (value,) if isinstance(value, str) else value
    try:
        names = tuple(names or ())
    except TypeError:
        names = (None,)
    if not all(isinstance(name, str) and name for name in names):
        raise LoRAError(f"{what} must be module names, got {shown(value)}")
    return names


def is_number(value) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return -LARGEST <= value <= LARGEST  # false for NaN; 10**400 has no float to ask math.isfinite about


def _by_pattern(patterns: Mapping, path: str, default, patience: Patience | None):
    patience = patience or Patience()
    for pattern, value in patterns.items():  # PEFT's rule: the first pattern that fits the end of the name
        if patience.fits_end(pattern, path):
            return value
    return default
