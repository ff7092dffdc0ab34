"""Settings, keys and tensors that cannot be meant: refused by name, in bounded time, in a message one can read."""

import time

import pytest
import torch

import lorakit as lk
from lorakit import LoRAConfig, LoRAError
from tests.support.saving import (
    CONFIG,
    FIRST,
    WEIGHTS,
    adapted,
    as_version_1,
    edit_config,
    edit_weights,
    join,
    refused,
    split,
)
from tests.support.tiny_models import build


@pytest.fixture
def folder(tmp_path):
    """A folder as PEFT writes it: no note, no checksum, so that nothing but its own sense is checked."""
    lk.save_adapter(adapted(targets=("c_attn",)), tmp_path)
    edit_weights(tmp_path, note=False)
    return tmp_path


HUGE = 10**400
NONSENSE = {
    "r": [0, -1, True, False, None, "2", 2.5, HUGE, 2**63, [2], {}, 1e308],
    "lora_alpha": [0, -1, True, None, "8", HUGE, 1e308, 1e-60, [], float("1e39")],
    "lora_dropout": [1, -0.1, True, "0", [], HUGE],
    "use_rslora": ["false", "true", 0, 1, [], "", HUGE],
    "rank_pattern": [3, "c_attn", {"c_attn": 0}, {"c_attn": HUGE}, {"(": 2}, {"c_attn": None}],
    "alpha_pattern": [3, {"c_attn": 0}, {"c_attn": HUGE}, {"c_attn": 1e-60}, {"(": 2}, {"c_attn": True}],
    "target_modules": [3, True, [3], [None], [["c_attn"]], "(", "c_fc", ["c_fc"], [], "", 0, "h.0.*"],
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


def test_a_strength_that_float32_cannot_hold_is_refused_at_injection_too():
    for settings in (dict(alpha=1e308), dict(alpha=HUGE), dict(alpha=1e-60), dict(r=HUGE)):
        with pytest.raises(LoRAError, match="alpha|r must be"):
            lk.inject(build("gpt2"), LoRAConfig(**{"r": 2, **settings}))


# The notes that lorakit leaves in its files, from before the checksum: nothing vouches for them


@pytest.mark.parametrize(
    "pieces",
    [["x"], ["v", "q"], ["q", "q"], ["q", "k", "v", "q"], 3, [None], [["q"]]],
    ids=str,
)
def test_slices_that_a_projection_does_not_have_are_refused(pieces, tmp_path):
    lk.save_adapter(adapted(targets=("q", "v", "o")), tmp_path)
    path, square = "transformer.h.0.attn.c_attn", "transformer.h.0.attn.c_proj"
    as_version_1(tmp_path)
    lk.load_adapter(build("gpt2"), tmp_path)
    as_version_1(tmp_path, slices={path: pieces})
    refused(build("gpt2"), tmp_path, "slices|cannot be used")
    as_version_1(tmp_path, slices={square: ["q"]})
    refused(build("gpt2"), tmp_path, "slices")


@pytest.mark.parametrize("note", ["[1]", "{}", '{"config": 3}', "[" * 5000, "x", "\x1b"])
def test_a_note_that_says_nothing_sensible_is_refused(note, tmp_path):
    lk.save_adapter(adapted(), tmp_path)
    header, data = split((tmp_path / WEIGHTS).read_bytes())
    (tmp_path / WEIGHTS).write_bytes(join(header | {"__metadata__": {"lorakit": note}}, data))
    refused(build("gpt2"), tmp_path, "damaged")


SAMPLED = "transformer.h.0.attn.c_attn"
NO_SAMPLES = [3, [], *({SAMPLED: value} for value in ("abcdefgh", [HUGE] * 8, [None] * 8, 8))]


@pytest.mark.parametrize("base", NO_SAMPLES, ids=lambda base: str(base)[:40])
def test_a_sample_of_the_base_that_is_none_is_refused(base, tmp_path):
    lk.save_adapter(adapted(targets=("c_attn",)), tmp_path)
    as_version_1(tmp_path, base=base)
    refused(build("gpt2"), tmp_path, "cannot be used|another base")


# Keys


@pytest.mark.parametrize("infix", [".default", ".other"])
def test_two_tensors_for_one_matrix_are_refused_whichever_comes_last(infix, folder):
    key = FIRST.format("A")
    twin = key.replace(".weight", f"{infix}.weight")
    edit_weights(folder, lambda tensors: tensors.update({twin: tensors[key] + 1}), note=False)
    refused(build("gpt2"), folder, "several adapters")


def test_tensors_that_target_modules_does_not_name_are_refused(folder):
    edit_config(folder, target_modules=["h.0.attn.c_attn"])
    refused(build("gpt2"), folder, r"unexpected: transformer\.h\.1\.attn\.c_attn")


MONSTERS = ["a." * 200_000, ".lora_A" * 60_000, "a" * 500_000, "\x1b[2J\x07" * 100, "\u202e", "../../etc/passwd"]


@pytest.mark.parametrize("key", MONSTERS, ids=lambda key: repr(key[:8]))
def test_a_monstrous_key_is_refused_quickly_and_shown_in_part(key, folder):
    edit_weights(folder, lambda tensors: tensors.update({key: torch.zeros(1)}), note=False)
    edit_config(folder, modules_to_save=["ln_f"])
    start = time.perf_counter()
    refused(build("gpt2"), folder, "unexpected")
    assert time.perf_counter() - start < 2


# Modules saved whole


@pytest.mark.parametrize("dtype", [torch.complex64, torch.int64, torch.bool, torch.uint8, torch.float8_e4m3fn], ids=str)
@pytest.mark.parametrize("target", ["classifier.bias", "query.lora_A.weight"])
def test_tensors_of_another_kind_of_number_are_refused(target, dtype, tmp_path):
    lk.save_adapter(adapted("bert_classifier", modules_to_save=("classifier",)), tmp_path)
    change = lambda t: t.update({k: v.to(dtype) for k, v in t.items() if k.endswith(target)})  # noqa: E731
    edit_weights(tmp_path, change, note=False)
    refused(build("bert_classifier"), tmp_path, "where this model has")


def test_a_head_too_large_for_the_bases_precision_is_refused_and_nothing_half_done(tmp_path):
    model = adapted("bert_classifier", modules_to_save=("classifier",))
    with torch.no_grad():
        model.classifier.adapters["sql"].weight.fill_(1e6)
    lk.save_adapter(model, tmp_path)
    refused(build("bert_classifier").half(), tmp_path, "not finite numbers in: classifier.weight")
    lk.load_adapter(build("bert_classifier").bfloat16(), tmp_path)
