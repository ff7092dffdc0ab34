"""NF4: bitsandbytes' bytes, a frozen layer that lets gradients through, and the bytes that it takes."""

import pytest
import torch
from transformers.pytorch_utils import Conv1D

from lorakit import by_hand
from lorakit.study.nf4 import PackedConv1D, levels, pack, unpack
from lorakit.study.packing import packed


@pytest.fixture
def weight():
    return torch.randn(64, 192, generator=torch.Generator().manual_seed(0)) * 0.02


def test_bytes_and_scales_are_those_of_bitsandbytes(weight):
    functional = pytest.importorskip("bitsandbytes.functional")
    theirs, state = functional.quantize_4bit(weight, blocksize=64, quant_type="nf4")
    mine, scales = pack(weight)
    torch.testing.assert_close(levels(), state.code.cpu(), rtol=0, atol=1e-6)
    assert torch.equal(scales, state.absmax)
    assert torch.equal(mine, theirs.flatten())
    torch.testing.assert_close(unpack(mine, scales, weight.shape), functional.dequantize_4bit(theirs, state))


def test_what_was_read_once_is_packed_without_loss(weight):
    read = unpack(*pack(weight), weight.shape)
    torch.testing.assert_close(unpack(*pack(read), weight.shape), read, rtol=0, atol=0)


def test_on_normal_weights_it_errs_less_than_even_steps(weight):
    def error(read):
        return ((read - weight).norm() / weight.norm()).item()

    assert error(unpack(*pack(weight), weight.shape)) < 0.9 * error(packed(weight, 4))


def test_an_adapter_trains_on_a_packed_layer_as_on_the_same_weight_unpacked(weight):
    base = Conv1D(192, 64)
    base.weight.data, base.bias.data = weight, torch.randn(192)
    small = PackedConv1D(base)
    assert sum(b.numel() * b.element_size() for b in (small.packed, small.scales)) == weight.numel() * 4.5 / 8
    assert not list(small.parameters())
    base.weight.data = small.weight
    x, gradients = torch.randn(2, 5, 64), []
    for frozen in (small, base.requires_grad_(False)):
        torch.manual_seed(0)
        layer, mine = by_hand.LoRALayer(frozen, r=2), x.clone().requires_grad_()
        torch.nn.init.normal_(layer.lora_B)
        y = layer(mine)
        y.square().sum().backward()
        gradients.append((y, mine.grad, layer.lora_A.grad, layer.lora_B.grad))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
