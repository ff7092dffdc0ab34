"""LoRA+: LoRA, and an optimizer whose B learns `ratio` times as fast as A (Hayou et al. 2024, arXiv 2402.12354)."""

from collections.abc import Mapping

from torch import nn


def parameter_groups(parameters: Mapping[str, nn.Parameter], lr: float = 1.0, ratio: float = 16) -> list[dict]:
    """The trained parameters, by name, as AdamW's groups: every lora_B at `ratio` times lr, all others at lr.

    Under Adam with eps = 0 and without clipping this is LoRA with `ratio` times its alpha, exactly: B then moves as
    far as before, and counts for `ratio` times as much.
    """
    B = [parameter for name, parameter in parameters.items() if "lora_B" in name]
    others = [parameter for name, parameter in parameters.items() if "lora_B" not in name]
    return [{"params": others, "lr": lr}, {"params": B, "lr": ratio * lr}]
