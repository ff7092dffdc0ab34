"""What a training run recorded, as plain data."""

from dataclasses import dataclass, field


@dataclass
class History:
    """A training run, row by row.

    rows         one dict per step: step (from 1), loss (mean over the step's answer tokens, nats), lr, grad_norm
                 (before clipping), tokens_per_s; where validation ran also validation_loss and validation_<metric>
    settings     what `fit` was called with
    seconds      wall time of the steps and validations, without loading; adds up over resumed parts
    device       "cpu" or the GPU's name
    versions     of Python, torch, transformers
    interrupted  True where Ctrl-C ended it early
    """

    rows: list[dict] = field(default_factory=list)
    settings: dict = field(default_factory=dict)
    seconds: float = 0.0
    device: str = ""
    versions: dict = field(default_factory=dict)
    interrupted: bool = False

    @property
    def losses(self) -> list[float]:
        """The training loss of every step."""
        return [row["loss"] for row in self.rows]

    def __repr__(self) -> str:
        if not self.rows:
            return "History(no steps)"
        ending = ", interrupted" if self.interrupted else ""
        whole = f" of {self.settings['steps']}" if self.interrupted and "steps" in self.settings else ""
        return (
            f"History({len(self.rows)}{whole} steps, loss {self.losses[0]:.3f} -> {self.losses[-1]:.3f}, "
            f"{self.seconds:.1f} s on {self.device}{ending})"
        )
