"""Who trains and who is frozen, counted per module."""

from dataclasses import dataclass

from torch import nn

from lorakit.core.state import unwrap


@dataclass(frozen=True)
class Row:
    """One module: its path, the shapes of its own parameters, and how many of their entries train."""

    module: str
    shapes: str
    trainable: int
    frozen: int

    @property
    def percent(self) -> float:
        return 100 * self.trainable / max(self.trainable + self.frozen, 1)


@dataclass(frozen=True)
class ParameterTable:
    """Counts of parameters (entries, not bytes), per module and in total. Prints, and renders as HTML."""

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

    def __str__(self) -> str:
        total = Row("total", "", self.trainable, self.frozen)
        width = max([len(row.module) for row in self.rows] + [6])
        lines = [f"{'module':{width}}  {'trainable':>13}  {'frozen':>15}  {'trainable %':>11}  shapes"]
        for row in (*self.rows, total):
            counts = f"{row.trainable:13,}  {row.frozen:15,}  {row.percent:11.4f}"
            lines.append(f"{row.module:{width}}  {counts}  {row.shapes}".rstrip())
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{name}</th>" for name in ("module", "trainable", "frozen", "trainable %", "shapes"))
        body = ""
        for row in (*self.rows, Row("<b>total</b>", "", self.trainable, self.frozen)):
            style = ' style="font-weight:bold"' if row.trainable else ""
            cells = (row.module, f"{row.trainable:,}", f"{row.frozen:,}", f"{row.percent:.4f}", row.shapes)
            body += f"<tr{style}>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def parameter_table(model: nn.Module) -> ParameterTable:
    """Count the model's parameters per module: trainable, frozen, percent. A shared parameter counts once.

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
