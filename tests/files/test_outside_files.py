"""Adapters as other programs leave them: PEFT gives the logits, and what is no adapter is called what it is."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

import lorakit as lk
from lorakit import LoRAError
from tests.support.llama import adapted, llama, logits, shaken

WEIGHTS = "adapter_model.safetensors"


def peft_saved(folder, base=llama, save=None, **fields):
    config = LoraConfig(**{"r": 4, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM", **fields})
    model = shaken(get_peft_model(base(), config).eval())
    model.save_pretrained(folder, **(save or {}))
    return logits(model)


def resized():
    model = llama()
    torch.manual_seed(9)
    model.resize_token_embeddings(72)
    return model


BASES = {
    "head": (llama, dict(target_modules=["q_proj", "lm_head"])),
    "tied head": (lambda: llama(tie_word_embeddings=True), dict(target_modules=["q_proj", "lm_head"])),
    "resized": (resized, dict(save={"save_embedding_layers": True})),
    "pickle": (llama, dict(save={"safe_serialization": False})),
}


@pytest.mark.parametrize("base, fields", BASES.values(), ids=BASES)
def test_what_peft_saves_beside_the_adapter_is_the_bases_own(base, fields, tmp_path):
    want = peft_saved(tmp_path, base, **fields)
    assert torch.equal(logits(lk.load_adapter(base(), tmp_path)), want)


def test_a_base_that_is_not_the_files_is_named(tmp_path):
    peft_saved(tmp_path, resized, save={"save_embedding_layers": True})
    with pytest.raises(LoRAError, match=r"the base's own .*resize_token_embeddings\(72\)"):
        lk.load_adapter(llama(), tmp_path)
    other = resized()
    other.lm_head.weight.data[3] += 1
    with pytest.raises(LoRAError, match=r"the base's own lm_head.weight, with other values than here"):
        lk.load_adapter(other, tmp_path)
    peft_saved(tmp_path, resized, modules_to_save=["embed_tokens", "lm_head"])
    with pytest.raises(LoRAError, match=r"resize_token_embeddings\(72\)"):
        lk.load_adapter(llama(), tmp_path)


PREFIX = "base_model.model."
WRAPPERS = {
    "compiled": lambda key: "_orig_mod." + key,
    "compiled inside": lambda key: key.replace(PREFIX, PREFIX + "_orig_mod."),
    "DDP": lambda key: "module." + key,
    "DDP of a compiled": lambda key: "module._orig_mod." + key,
    "none": lambda key: key.removeprefix(PREFIX),
    "FSDP": lambda key: key.replace("layers.0.", "layers.0._fsdp_wrapped_module."),
    "checkpointed": lambda key: key.replace("self_attn.", "_checkpoint_wrapped_module.self_attn."),
}


@pytest.mark.parametrize("key", WRAPPERS.values(), ids=WRAPPERS)
def test_a_wrappers_prefix_is_passed_over(key, tmp_path):
    want = peft_saved(tmp_path)
    save_file({key(k): v for k, v in load_file(tmp_path / WEIGHTS).items()}, tmp_path / WEIGHTS)
    assert torch.equal(logits(lk.load_adapter(llama(), tmp_path)), want)


@pytest.mark.parametrize("file", [WEIGHTS, "adapter_config.json"])
def test_a_file_of_the_folder_stands_for_the_folder(file, tmp_path):
    lk.save_adapter(adapted(), tmp_path)
    assert torch.equal(logits(lk.load_adapter(llama(), tmp_path / file)), logits(adapted()))


REFUSED = {
    "embedding": (dict(target_modules=["q_proj", "embed_tokens"]), r"unexpected: .*embed_tokens.lora_embedding_A"),
    "tokens": (dict(trainable_token_indices=[3, 4]), "trainable_token_indices"),
    "tied copy": (dict(modules_to_save=["embed_tokens"], ensure_weight_tying=True), "ensure_weight_tying"),
}


@pytest.mark.parametrize("fields, says", REFUSED.values(), ids=REFUSED)
def test_what_lorakit_cannot_do_is_named(fields, says, tmp_path):
    peft_saved(tmp_path, lambda: llama(tie_word_embeddings="ensure_weight_tying" in fields), **fields)
    with pytest.raises(LoRAError, match=says):
        lk.load_adapter(llama(), tmp_path)


def test_of_a_folder_of_something_else_the_error_says_what_lies_there(tmp_path):
    for file in ("model.safetensors", "config.json"):  # a whole model, as save_pretrained writes it
        (tmp_path / file).write_bytes(b"")
    with pytest.raises(LoRAError, match="there is no adapter_model.safetensors, only: config.json, model.safetensors"):
        lk.load_adapter(llama(), tmp_path)
    with pytest.raises(LoRAError, match="hf download"):
        lk.load_adapter(llama(), "someone/their-adapter")
