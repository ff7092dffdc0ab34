"""What an adapter is: its rank, its strength, and where it goes."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from lorakit.core.errors import LoRAError


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
            if isinstance(r, bool) or not isinstance(r, int) or r < 1:
                raise LoRAError(f"r must be a whole number of at least 1, got {r!r}")
        for alpha in (self.alpha, *self.alpha_pattern.values()):
            if not _is_number(alpha) or alpha <= 0:
                raise LoRAError(f"alpha must be a positive number, got {alpha!r}")
        if not _is_number(self.dropout) or not 0 <= self.dropout < 1:
            raise LoRAError(f"dropout must be a probability in [0, 1), got {self.dropout!r}")
        if not isinstance(self.use_rslora, bool):
            raise LoRAError(f"use_rslora must be True or False, got {self.use_rslora!r}")
        for pattern in (*self.rank_pattern, *self.alpha_pattern):
            try:
                re.compile(pattern)
            except (re.error, TypeError) as error:
                raise LoRAError(f"pattern {pattern!r} is not a regular expression: {error}") from None

    def rank_of(self, path: str) -> int:
        """The rank on the module at this path, rank_pattern considered."""
        return _by_pattern(self.rank_pattern, path, self.r)

    def alpha_of(self, path: str) -> float:
        """The alpha on the module at this path, alpha_pattern considered."""
        return _by_pattern(self.alpha_pattern, path, self.alpha)

    def scaling(self, r: int | None = None, alpha: float | None = None) -> float:
        """What B A x is multiplied by: alpha / r, or alpha / sqrt(r) with use_rslora."""
        r = self.r if r is None else r
        alpha = self.alpha if alpha is None else alpha
        return alpha / math.sqrt(r) if self.use_rslora else alpha / r


def _names(what: str, value) -> tuple[str, ...]:
    names = (value,) if isinstance(value, str) else value
    try:
        names = tuple(names or ())
    except TypeError:
        names = (None,)
    if not all(isinstance(name, str) and name for name in names):
        raise LoRAError(f"{what} must be module names, got {value!r}")
    return names


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _by_pattern(patterns: Mapping, path: str, default):
    for pattern, value in patterns.items():  # PEFT's rule: the first pattern that fits the end of the name
        if re.match(rf"(.*\.)?({pattern})$", path):
            return value
    return default
