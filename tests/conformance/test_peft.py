"""PEFT reads what lorakit saves, lorakit reads what PEFT saves, and both compute the same."""

import peft
import pytest
import torch
from safetensors.torch import load_file

import lorakit as lk
from lorakit import LoRAConfig
from lorakit.study.head import head_modules
from tests.support.architectures import ARCHITECTURES, KINDS, base
from tests.support.figures import assert_close
from tests.support.saving import WEIGHTS, randomise
from tests.support.tiny_models import fill, logits


def variants(kind) -> dict[str, dict]:
    """The settings that both know, in LoRAConfig's terms."""
    a = ARCHITECTURES[kind]
    fields = {
        "plain": {},
        "rslora": dict(use_rslora=True),
        "patterns": dict(rank_pattern={a.one: 2}, alpha_pattern={a.one: 11}),
    }
    return fields | ({"head": dict(modules_to_save=a.head)} if a.head else {})


CASES = [(kind, variant) for kind in KINDS for variant in variants(kind)]


def assert_equal(got, expected, kind):
    plain = logits(base(kind))
    assert (expected - plain).abs().max() > 1e-3 * plain.abs().max()  # the adapter does something
    # Both add the same two products to the base's output, in another order.
    assert_close("PEFT against lorakit, float32", got, expected, 3e-6)


@pytest.mark.parametrize(("kind", "variant"), CASES)
def test_peft_gives_the_same_logits_for_what_lorakit_saved(kind, variant, tmp_path):
    a, model = ARCHITECTURES[kind], base(kind)
    lk.inject(model, LoRAConfig(r=3, alpha=7, targets=a.targets, **variants(kind)[variant]), name="sql")
    fill(model, "sql")
    generator = torch.Generator().manual_seed(3)
    for path, parameter in model.named_parameters():
        if parameter.requires_grad and ".adapters." not in path:  # the head, as if trained
            parameter.data.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    lk.save_adapter(model, tmp_path)
    theirs = peft.PeftModel.from_pretrained(base(kind), tmp_path).eval()
    assert_equal(logits(theirs), logits(model), kind)
    in_peft = sum(p.numel() for n, p in theirs.named_parameters() if "lora_" in n)
    assert in_peft == sum(value.numel() for key, value in load_file(tmp_path / WEIGHTS).items() if ".lora_" in key)
    if variant == "head" and head_modules(model):
        assert a.head == head_modules(model) and isinstance(theirs, peft.PeftModelForSequenceClassification)
    theirs.save_pretrained(tmp_path / "again")
    assert_equal(logits(lk.load_adapter(base(kind), tmp_path / "again")), logits(model), kind)


@pytest.mark.filterwarnings("ignore:fan_in_fan_out")
@pytest.mark.parametrize(("kind", "variant"), CASES)
def test_lorakit_gives_the_same_logits_for_what_peft_saved_and_hands_it_back(kind, variant, tmp_path):
    a, fields = ARCHITECTURES[kind], dict(variants(kind)[variant])
    head = list(fields.pop("modules_to_save", ())) or None
    theirs = peft.get_peft_model(
        base(kind), peft.LoraConfig(r=3, lora_alpha=7, target_modules=list(a.peft), modules_to_save=head, **fields)
    )
    randomise(theirs)
    theirs.eval().save_pretrained(tmp_path / "theirs")
    model = lk.load_adapter(base(kind), tmp_path / "theirs")
    assert_equal(logits(model), logits(theirs), kind)
    ranks = {layer.adapters["default"].r for layer in model._lorakit.layers.values()}
    assert ranks == ({2, 3} if variant == "patterns" else {3})
    lk.save_adapter(model, tmp_path / "back")
    old, new = (load_file(tmp_path / folder / WEIGHTS) for folder in ("theirs", "back"))
    assert old.keys() == new.keys() and all(torch.equal(old[key], new[key]) for key in old)
    again = peft.PeftModel.from_pretrained(base(kind), tmp_path / "back").eval()
    assert_equal(logits(again), logits(theirs), kind)


@pytest.mark.filterwarnings("ignore:fan_in_fan_out")
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("plain", "nested")])
def test_pefts_adapter_on_the_first_layer_alone_loads(kind, tmp_path):
    a = ARCHITECTURES[kind]
    theirs = peft.get_peft_model(base(kind), peft.LoraConfig(r=3, target_modules=list(a.peft), layers_to_transform=[0]))
    randomise(theirs)
    theirs.eval().save_pretrained(tmp_path)
    model = lk.load_adapter(base(kind), tmp_path)
    assert model._lorakit.layers and not any(".1." in path for path in model._lorakit.layers)
    assert_equal(logits(model), logits(theirs), kind)
