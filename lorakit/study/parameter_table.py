"""Who trains and who is frozen, counted per module."""

from dataclasses import dataclass

import pandas as pd
from torch import nn

from lorakit.core.state import unwrap


@dataclass(frozen=True)
class Row:
    """One module: its path, the shapes of its own parameters, and how many of their entries train."""

    module: str
    shapes: str
    trainable: int
    frozen: int


@dataclass(frozen=True)
class ParameterTable:
    """Counts of parameters (entries, not bytes), per module and in total; prints as a table."""

    rows: tuple[Row, ...]

    @property
    def trainable(self) -> int:
        return sum(row.trainable for row in self.rows)

    @property
    def frozen(self) -> int:
        return sum(row.frozen for row in self.rows)

    @property
    def total(self) -> int:
        return self.trainable + self.frozen

    @property
    def percent(self) -> float:
        """The trainable share of all parameters, in percent."""
        return 100 * self.trainable / max(self.total, 1)

    def __repr__(self) -> str:
        table = pd.DataFrame([*self.rows, Row("total", "", self.trainable, self.frozen)]).set_index("module")
        text = table.rename_axis(None).to_string(formatters=[str, "{:,}".format, "{:,}".format])
        return f"{text}\n{self.percent:.4f} % train"


def parameter_table(model: nn.Module) -> ParameterTable:
    """Count the model's parameters per module, trainable and frozen. A shared parameter counts once.

    Only modules with parameters of their own have a row; adapters have theirs, e.g. `…c_attn.adapters.sql`.
    """
    rows, seen = [], set()
    for path, module in unwrap(model).named_modules():
        own = [(name, p) for name, p in module.named_parameters(recurse=False) if id(p) not in seen]
        seen.update(id(p) for _, p in own)
        if own:
            shapes = ", ".join(f"{name} {'×'.join(map(str, p.shape)) or 'scalar'}" for name, p in own)
            trainable = sum(p.numel() for _, p in own if p.requires_grad)
            rows.append(Row(path or "(model)", shapes, trainable, sum(p.numel() for _, p in own) - trainable))
    return ParameterTable(tuple(rows))
