"""What a checkpoint's files must hold to be gone on from; ValueError says what is wrong with them."""

import torch
from torch import nn

SCALER = {"scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker"}  # torch.amp.GradScaler's
MOMENTS = {"step", "exp_avg", "exp_avg_sq"}  # torch.optim.AdamW's


def check_state(state) -> None:
    """A state.json: the step, the settings, a row for every step, the seconds, the loss scale (fp16 alone has one)."""
    if not isinstance(state, dict):
        raise ValueError(f"its state.json holds a {type(state).__name__}, not an object")
    kinds = {"step": int, "settings": dict, "rows": list, "seconds": float | int, "scaler": dict}
    for name, kind in kinds.items():
        if not isinstance(state.get(name), kind) or isinstance(state[name], bool):
            raise ValueError(f"its {name!r} is {str(state.get(name))[:50]}")
    step, rows, scaler = state["step"], state["rows"], state["scaler"]
    if step < 1 or len(rows) != step:
        raise ValueError(f"its step is {step} and it holds {len(rows)} rows")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict) or row.get("step") != number or not _is_number(row.get("loss")):
            raise ValueError(f"its row of step {number} is {str(row)[:50]}")
    wanted = SCALER if state["settings"].get("precision") == "fp16" else set()
    if scaler.keys() != wanted or not all(map(_is_number, scaler.values())):
        raise ValueError(f"its loss scale is {str(scaler)[:50]}")


def check_moments(found: dict[str, dict[str, torch.Tensor]], parameters: dict, may_be_none: bool) -> None:
    """AdamW's moments of every parameter. None at all: in fp16, where every step so far may have been skipped."""
    if may_be_none and not found:
        return
    if others := found.keys() - parameters.keys():
        raise ValueError(f"it has moments of {sorted(others)[0]!r}, which is not trained")
    for name, parameter in parameters.items():
        moments = found.get(name, {})
        if moments.keys() != MOMENTS:
            raise ValueError(f"of {name!r} it has the moments {sorted(moments)}, not {sorted(MOMENTS)}")
        for kind, moment in moments.items():
            if wrong := _wrong(kind, moment, parameter):
                raise ValueError(f"{kind!r} of {name!r} {wrong}")


def _wrong(kind: str, moment: torch.Tensor, parameter: nn.Parameter) -> str | None:
    shape = () if kind == "step" else tuple(parameter.shape)
    if tuple(moment.shape) != shape:
        return f"has the shape {tuple(moment.shape)}, not {shape}"
    if kind != "step" and moment.dtype != parameter.dtype:
        return f"is in {moment.dtype}, not {parameter.dtype}"
    if not moment.isfinite().all():
        return "holds numbers that are not finite"
    if kind != "exp_avg" and moment.lt(0).any():
        return "holds numbers below zero"
    return None


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
