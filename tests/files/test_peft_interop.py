"""PEFT reads lorakit's files and lorakit reads PEFT's; both compute the same (invariant 6).

The settings; tests/conformance goes over the architectures.
"""

import json

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file

import lorakit as lk
from tests.support.saving import CONFIG, WEIGHTS, edit_config, randomise, refused
from tests.support.tiny_models import build, ids, logits

CLOSE = dict(rtol=0, atol=1e-5)


def by_peft(kind, folder, name="default", **fields):
    """An adapter made, filled and saved by PEFT; returns its model."""
    model = peft.get_peft_model(build(kind), peft.LoraConfig(**{"r": 3, "lora_alpha": 7, **fields}), adapter_name=name)
    randomise(model)
    model.eval().save_pretrained(folder)
    return model


# Beside rsLoRA, patterns and heads, which tests/conformance hands over both ways on every architecture.
THEIRS = {
    "gpt2 defaults": ("gpt2", dict(fan_in_fan_out=True)),
    "gpt2 wrong fan_in_fan_out": ("gpt2", dict(fan_in_fan_out=False)),
    "gpt2 c_proj": ("gpt2", dict(target_modules=["c_proj"], use_rslora=True)),
    "gpt2 regex": ("gpt2", dict(target_modules=r".*\.h\.1\.(attn\.c_attn|mlp\.c_fc)")),
    "gpt2 one layer": ("gpt2", dict(target_modules=["c_attn"], layers_to_transform=[1], layers_pattern="h")),
    "gpt2 one layer, no pattern": ("gpt2", dict(target_modules=["c_attn", "c_fc"], layers_to_transform=0)),
    "gpt2 excluded": ("gpt2", dict(target_modules=["c_proj", "c_fc"], exclude_modules=["attn.c_proj"])),
    "gpt2 excluded by regex": ("gpt2", dict(target_modules=["c_proj"], exclude_modules=r".*mlp.*")),
    "gpt2 gaussian": ("gpt2", dict(init_lora_weights="gaussian")),
    "gpt2 saved norm": ("gpt2", dict(modules_to_save=["ln_f"])),
    "llama all-linear": ("llama", dict(target_modules="all-linear", lora_dropout=0.1)),
    "llama dotted pattern": (
        "llama",
        dict(target_modules=["k_proj", "down_proj"], rank_pattern={"0.mlp.down_proj": 1}),
    ),
}


@pytest.mark.filterwarnings("ignore:fan_in_fan_out")
@pytest.mark.parametrize(("kind", "fields"), THEIRS.values(), ids=THEIRS.keys())
def test_lorakit_loads_what_peft_saved_and_hands_it_back(kind, fields, tmp_path):
    """Trap 17: patterns must act; a wrong fan_in_fan_out must not."""
    theirs = by_peft(kind, tmp_path, **fields)
    model = build(kind)
    lk.load_adapter(model, tmp_path)
    expected = logits(theirs)
    assert (expected - logits(build(kind))).abs().max() > 1e-4
    torch.testing.assert_close(logits(model), expected, **CLOSE)
    lk.save_adapter(model, tmp_path / "back")
    again = peft.PeftModel.from_pretrained(build(kind), tmp_path / "back").eval()
    torch.testing.assert_close(logits(again), expected, **CLOSE)
    old, new = load_file(tmp_path / WEIGHTS), load_file(tmp_path / "back" / WEIGHTS)
    assert old.keys() == new.keys() and all(torch.equal(old[key], new[key]) for key in old)


def test_several_adapters_in_one_of_pefts_folders_are_told_apart(tmp_path):
    theirs = by_peft("gpt2", tmp_path)
    theirs.add_adapter("law", peft.LoraConfig(r=2, target_modules=["c_fc"]))
    randomise(theirs, seed=9)
    theirs.save_pretrained(tmp_path)
    assert (tmp_path / "law" / WEIGHTS).exists() and (tmp_path / WEIGHTS).exists()
    model = build("gpt2")
    lk.load_adapter(model, tmp_path)
    lk.load_adapter(model, tmp_path, "law")
    lk.load_adapter(model, tmp_path / "law", "direct")
    for ours, name in (("default", "default"), ("law", "law"), ("direct", "law")):
        lk.set_adapter(model, ours)
        theirs.set_adapter(name)
        torch.testing.assert_close(logits(model), logits(theirs), **CLOSE)
    names = ["law", None, "default"]
    expected = theirs.eval()(input_ids=ids(), adapter_names=["law", "__base__", "default"]).logits
    with lk.using(model, names):
        torch.testing.assert_close(logits(model), expected, **CLOSE)


UNSUPPORTED = [("bias", "lora_only"), ("use_dora", True), ("lora_bias", True), ("layer_replication", [[0, 2], [1, 2]])]
UNSUPPORTED += [("target_parameters", ["mlp.c_fc.weight"])]
UNSUPPORTED += [("init_lora_weights", x) for x in ("pissa", "pissa_niter_4", "olora", "loftq", "corda", "lora_ga")]
UNSUPPORTED += [("peft_type", kind) for kind in ("IA3", "LOHA")]


@pytest.mark.parametrize(("field", "value"), UNSUPPORTED, ids=str)
def test_what_lorakit_cannot_represent_is_refused_by_name(field, value, tmp_path):
    by_peft("gpt2", tmp_path)
    edit_config(tmp_path, **{field: value})
    refused(build("gpt2"), tmp_path, "reads LoRA adapters only" if field == "peft_type" else field)


def test_a_minimal_old_config_reads_with_pefts_defaults(tmp_path):
    """Only peft_type is required: r, alpha and patterns fall back to PEFT's 8, 8 and none."""
    theirs = by_peft("gpt2", tmp_path, r=8, lora_alpha=8, target_modules=["c_attn"])
    (tmp_path / CONFIG).write_text(json.dumps({"peft_type": "LORA", "target_modules": ["c_attn"]}))
    model = build("gpt2")
    lk.load_adapter(model, tmp_path)
    torch.testing.assert_close(logits(model), logits(theirs), **CLOSE)
    tensors = load_file(tmp_path / WEIGHTS)
    save_file({key.replace(".weight", ".default.weight"): value for key, value in tensors.items()}, tmp_path / WEIGHTS)
    other = build("gpt2")
    lk.load_adapter(other, tmp_path)
    assert torch.equal(logits(model), logits(other))
