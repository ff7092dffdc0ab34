"""Files that cannot be meant, made on purpose: refused for what they are, in bounded time, with the model unchanged.

The fuzzer meets at random what is made here, and the rest: pipes, devices, folders and links in the place of files,
pickles, odd tensors and settings.
"""

import pytest
import torch

import lorakit as lk
from lorakit import LoRAError
from tests.support.saving import (
    CONFIG,
    adapted,
    as_version_1,
    edit_config,
    edit_weights,
    refused,
)
from tests.support.tiny_models import build, logits, same_bits

HUGE = 10**400


@pytest.fixture
def folder(tmp_path):
    """A folder as PEFT writes it: no note, no checksum, so that nothing but its own sense is checked."""
    lk.save_adapter(adapted(targets=("c_attn",)), tmp_path)
    edit_weights(tmp_path, note=False)
    return tmp_path


NONSENSE = {
    "r": [0, -1, True, False, None, "2", 2.5, HUGE, 2**63, [2], {}, 1e308],
    "lora_alpha": [0, -1, True, None, "8", HUGE, 1e308, 1e-60, [], float("1e39")],
    "lora_dropout": [1, -0.1, True, "0", [], HUGE],
    "use_rslora": ["false", "true", 0, 1, [], "", HUGE],
    "rank_pattern": [3, "c_attn", {"c_attn": 0}, {"c_attn": HUGE}, {"(": 2}, {"c_attn": None}],
    "alpha_pattern": [3, {"c_attn": 0}, {"c_attn": HUGE}, {"c_attn": 1e-60}, {"(": 2}, {"c_attn": True}],
    "target_modules": [3, True, [3], [None], [["c_attn"]], "(", "c_fc", [], "", 0, "h.0.*", ["h.0.attn.c_attn"]],
    "exclude_modules": [3, "(", ["c_attn"], ".*c_attn"],
    "modules_to_save": [3, {"wte": 1}, [1], [""], True, ["ln_f"]],
    "layers_to_transform": ["0", [None], ["0"], True, 1.0, [0], 0, {}, [HUGE]],
    "peft_type": ["lora", None, 3, ["LORA"], "a" * 10**6],
    "bias": ["all", None, 3, "b" * 10**6],
    "use_dora": [True, "false", 1, {"x": ["y" * 10**6]}],
    "init_lora_weights": ["pissa", "x" * 10**6, [], 3],
}


@pytest.mark.parametrize("field", NONSENSE)
def test_a_setting_that_cannot_be_meant_is_refused(field, folder):
    text, model = (folder / CONFIG).read_text(), build("gpt2")
    for value in NONSENSE[field]:
        edit_config(folder, **{field: value})
        refused(model, folder, "")
    (folder / CONFIG).write_text(text)
    lk.load_adapter(model, folder)


def test_files_from_before_the_checksum_still_load(tmp_path):
    lk.save_adapter(adapted(), tmp_path)
    expected = logits(lk.load_adapter(build("gpt2"), tmp_path))
    as_version_1(tmp_path)
    assert same_bits(logits(lk.load_adapter(build("gpt2"), tmp_path)), expected)


def test_a_missing_config_or_the_old_one_means_that_the_save_was_cut_short(tmp_path):
    (tmp_path / CONFIG).write_text("not JSON at all")  # what stood there when the weights came
    lk.save_adapter(adapted(), tmp_path)
    expected = logits(lk.load_adapter(build("gpt2"), tmp_path))
    for leave in (lambda: (tmp_path / CONFIG).unlink(), lambda: (tmp_path / CONFIG).write_text("not JSON at all")):
        leave()
        assert same_bits(logits(lk.load_adapter(build("gpt2"), tmp_path)), expected)
    (tmp_path / CONFIG).write_text("not JSON at all, either")
    refused(build("gpt2"), tmp_path, f"{CONFIG} cannot be read")


def test_a_path_that_the_system_refuses_is_a_lora_error(tmp_path):
    for path in (f"{tmp_path}/a\0b", tmp_path / ("x" * 5000)):
        refused(build("gpt2"), path, "no adapter|cannot be read")
        with pytest.raises(LoRAError, match="cannot write|cannot be read"):
            lk.save_adapter(adapted(), path)


def test_a_head_too_large_for_the_bases_precision_is_refused_and_nothing_half_done(tmp_path):
    model = adapted("bert_classifier", modules_to_save=("classifier",))
    with torch.no_grad():
        model.classifier.adapters["sql"].weight.fill_(1e6)
    lk.save_adapter(model, tmp_path)
    refused(build("bert_classifier").half(), tmp_path, "not finite numbers in: classifier.weight")
    lk.load_adapter(build("bert_classifier").bfloat16(), tmp_path)
