"""What chapter 03 says of the layer with four bugs is so: it starts as the base, it learns, and nothing complains."""

from pathlib import Path

import nbformat
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from lorakit.chapters.lora_layer import checks

NOTEBOOK = Path(__file__).parents[3] / "notebooks" / "03_lora_layer.ipynb"


def layer_with_bugs():
    """The class as it stands in the exercise, without the line that a student deletes."""
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    source = next(cell.source for cell in cells if cell.source.startswith("class Mended"))
    kept = [line for line in source.splitlines() if "NotImplementedError" not in line and "check." not in line]
    found = {"torch": torch, "nn": nn}
    exec("\n".join(kept), found)
    return found["Mended"]


def test_it_starts_as_the_base_and_its_loss_falls():
    torch.manual_seed(0)
    base, x, y = Conv1D(8, 8), torch.randn(64, 8), torch.randn(64, 8)
    layer = layer_with_bugs()(base, r=4, alpha=8)
    assert torch.equal(layer(x), base(x))
    optimizer = torch.optim.Adam([layer.lora_A, layer.lora_B], lr=0.01)
    losses = []
    for _ in range(50):
        optimizer.zero_grad()
        loss = (layer(x) - y).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    assert layer.merged_weight().shape == base.weight.shape


def test_the_check_does_not_pass_it():
    assert checks.bugs.judge(layer_with_bugs()).state == "wrong"
