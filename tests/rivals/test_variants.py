"""LoRA's variants: what each promises, and PEFT's logits and gradients with the same A and B."""

import copy

import pytest
import torch
from peft import LoraConfig, VeraConfig, get_peft_model
from peft.optimizers import create_loraplus_optimizer
from torch import nn
from transformers.pytorch_utils import Conv1D

import lorakit as lk
from lorakit import by_hand
from lorakit.by_hand import weight_of
from lorakit.rivals.variants import LAYERS, attach
from lorakit.rivals.variants.lora_plus import parameter_groups
from lorakit.rivals.variants.pissa import PiSSALayer
from tests.support.tiny_models import build, ids, same_bits

R, ALPHA = 3, 5
TARGETS = {"gpt2": ("c_fc", "mlp.c_proj"), "llama": ("q_proj", "down_proj")}
KINDS = pytest.mark.parametrize("kind", TARGETS)
# A variant → how PEFT is told; LoRA-FA is LoRA whose A is frozen.
PEFT = {"lora": {}, "rslora": {"use_rslora": True}, "pissa": {"init_lora_weights": "pissa"}, "dora": {"use_dora": True},
        "lora_fa": {}, "vera": None}  # fmt: skip


def learnt(model: nn.Module, seed: int = 0) -> nn.Module:
    """With every trained number moved away from where it began."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


def varied(kind: str, variant: str, seed: int = 0) -> nn.Module:
    model = build(kind)
    attach(model, variant, TARGETS[kind], R, ALPHA, seed)
    return model


def theirs(kind: str, variant: str, ours: nn.Module) -> nn.Module:
    """PEFT's model of the same variant, with our A, B and vectors; LoRA-FA's A frozen."""
    told = {"r": R, "target_modules": list(TARGETS[kind])}
    conv = {"fan_in_fan_out": kind == "gpt2"}
    config = (
        VeraConfig(**told, **conv)
        if variant == "vera"
        else LoraConfig(lora_alpha=ALPHA, **told, **conv, **PEFT[variant])
    )
    model = get_peft_model(build(kind), config).eval()
    for path, layer in by_hand.lora_layers(ours).items():
        other = model.base_model.model.get_submodule(path)
        if variant == "vera":
            (d, _), (_, k) = layer.lora_B.shape, layer.lora_A.shape
            other.vera_A["default"][:, :k], other.vera_B["default"][:d] = layer.lora_A, layer.lora_B
            pairs = [(other.vera_lambda_b["default"], layer.vera_b), (other.vera_lambda_d["default"], layer.vera_d)]
        else:
            pairs = [(other.lora_A["default"].weight, layer.lora_A), (other.lora_B["default"].weight, layer.lora_B)]
        if variant == "dora":
            pairs.append((other.lora_magnitude_vector["default"].weight, layer.magnitude))
        for there, here in pairs:
            there.data.copy_(here.data)
            there.requires_grad_(here.requires_grad)
            there.of = here  # whose gradient is to be the same
    return model


@KINDS
@pytest.mark.parametrize("variant", LAYERS)
def test_logits_and_gradients_are_pefts(kind, variant):
    ours = learnt(varied(kind, variant))
    other = theirs(kind, variant, ours)
    for model in (ours, other):
        model(input_ids=ids(), labels=ids()).loss.backward()
    with torch.no_grad():
        torch.testing.assert_close(ours(ids()).logits, other(input_ids=ids()).logits, rtol=1e-5, atol=1e-5)
    pairs = [(p.grad, p.of.grad) for p in other.parameters() if p.requires_grad]
    assert len(pairs) == sum(p.requires_grad for p in ours.parameters())
    for expected, found in pairs:
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())


@KINDS
@pytest.mark.parametrize("variant", LAYERS)
def test_at_step_0_a_variant_is_the_base_and_merged_it_is_itself(kind, variant):
    def logits(model):
        with torch.no_grad():
            return model(ids()).logits

    model = varied(kind, variant)
    torch.testing.assert_close(logits(model), logits(build(kind)), rtol=1e-5, atol=1e-5)
    before = logits(learnt(model))
    assert not torch.allclose(before, logits(build(kind)), rtol=0, atol=1e-3)
    by_hand.merge(model)
    torch.testing.assert_close(logits(model), before, rtol=1e-4, atol=1e-5)


def test_pissa_moves_the_largest_directions_out_of_the_base():
    base = Conv1D(4, 6).requires_grad_(False)
    W = weight_of(base).clone()
    layer = PiSSALayer(base, R, ALPHA)
    torch.testing.assert_close(weight_of(base) + layer.delta_weight(), W)
    S = torch.linalg.svdvals(W)
    torch.testing.assert_close(torch.linalg.svdvals(layer.delta_weight())[:R], S[:R])
    torch.testing.assert_close(torch.linalg.svdvals(weight_of(base))[: 4 - R], S[R:])
    torch.testing.assert_close(layer.lora_A.norm(dim=1), layer.lora_B.norm(dim=0))


def test_vera_shares_its_matrices_and_trains_two_vectors():
    model = varied("gpt2", "vera")
    layers = list(by_hand.lora_layers(model).values())
    assert len({layer.lora_A.untyped_storage().data_ptr() for layer in layers}) == 1
    assert len({layer.lora_B.untyped_storage().data_ptr() for layer in layers}) == 1
    assert {n.rpartition(".")[2] for n, p in model.named_parameters() if p.requires_grad} == {"vera_b", "vera_d"}
    again, other = varied("gpt2", "vera"), varied("gpt2", "vera", seed=1)
    key = "transformer.h.0.mlp.c_fc.lora_A"
    assert same_bits(again.state_dict()[key], model.state_dict()[key])
    assert not same_bits(other.state_dict()[key], model.state_dict()[key])


def test_lora_plus_has_pefts_groups_and_trains_as_lora_with_a_larger_alpha():
    model = get_peft_model(build("llama"), LoraConfig(r=R, target_modules=list(TARGETS["llama"])))
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    made = create_loraplus_optimizer(model, torch.optim.AdamW, lr=0.1, loraplus_lr_ratio=16)
    rates = {id(p): group["lr"] for group in made.param_groups for p in group["params"]}
    assert rates == {id(p): group["lr"] for group in parameter_groups(named, 0.1) for p in group["params"]}

    def losses(alpha, ratio):
        model = build("gpt2").double()
        attach(model, "lora", TARGETS["gpt2"], R, alpha)
        named = {name: p for name, p in model.double().named_parameters() if p.requires_grad}
        optimizer, found = torch.optim.Adam(parameter_groups(named, 0.01, ratio), eps=1e-30), []
        for _ in range(4):
            loss = model(input_ids=ids(), labels=ids()).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            found.append(loss.item())
        return found

    assert losses(2, 16) == pytest.approx(losses(32, 1), rel=1e-9)
    assert losses(2, 1) != pytest.approx(losses(32, 1), rel=1e-3)


def test_what_cannot_be_varied_is_refused_and_nothing_changes():
    model = build("gpt2")
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(lk.LoRAError, match="slices"):
        attach(model, "dora", ("q",), R, ALPHA)
    assert model.state_dict().keys() == before.keys() and all(p.requires_grad for p in model.parameters())
    attach(model, "dora", ("c_fc",), R, ALPHA)
    with pytest.raises(lk.LoRAError, match="already"):
        attach(model, "pissa", ("c_fc",), R, ALPHA)
