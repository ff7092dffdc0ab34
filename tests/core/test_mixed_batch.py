"""One batch, a different adapter on every row (invariant 5)."""

import pytest
import torch
from tiny_models import assert_same, build, fill, ids, logits, roberta, same_bits, snapshot

import lorakit as lk
from lorakit import LoRAConfig, LoRAError

NAMES = ["law", None, "tiny", "law", "medicine", "tiny"]
MODELS = {  # different ranks, different targets, slices beside whole projections
    "plain": [("q", "mlp"), ("all-linear",), ("q",)],
    "gpt2": [("q", "v"), ("all-linear",), ("c_attn",)],
    "llama": [("q", "v"), ("all-linear",), ("mlp", "o")],
    "bert": [("q", "v"), ("all-linear",), ("k",)],
    "roberta": [("q", "v"), ("all-linear",), ("mlp",)],
    "deberta": [("q", "v"), ("q", "k", "o", "mlp"), ("o",)],
}


def three_adapters(kind, dtype=torch.float32):
    model = build(kind).to(dtype)
    for rank, (name, targets) in enumerate(zip(("law", "medicine", "tiny"), MODELS[kind], strict=True), start=1):
        lk.inject(model, LoRAConfig(r=rank, alpha=3 * rank, targets=targets), name=name)
        fill(model, name, seed=rank)
    return model


def row_by_row(model, batch, names):
    rows = []
    for row, name in zip(batch, names, strict=True):
        lk.set_adapter(model, name)
        rows.append(logits(model, row[None]))
    return torch.cat(rows)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kind", MODELS)
def test_a_mixed_batch_equals_every_row_alone_with_its_own_adapter(kind, dtype):
    model = three_adapters(kind, dtype)
    lk.set_adapter(model, "law")
    lk.set_scale(model, 0.5)
    batch = ids(len(NAMES))
    expected = row_by_row(model, batch, NAMES)
    lk.set_adapter(model, "medicine")
    before = snapshot(model)
    with lk.mixed_batch(model, NAMES) as same:
        assert same is model
        got = logits(model, batch)
        again = logits(model, batch)
    assert_same(before, snapshot(model))
    assert same_bits(got, again)
    # a batch and a row go through other kernels, and bf16 rounds at other places
    size = expected.abs().max().item()
    tolerance = 200 * torch.finfo(dtype).eps if dtype != torch.bfloat16 else 6 * torch.finfo(dtype).eps
    torch.testing.assert_close(got, expected, rtol=0, atol=tolerance * size)
    assert same_bits(logits(model, batch), same_bits_alone(model, batch, "medicine"))


def same_bits_alone(model, batch, name):
    lk.set_adapter(model, name)
    return logits(model, batch)


def test_rows_without_an_adapter_and_a_batch_of_them_meet_the_base():
    model, plain = three_adapters("gpt2"), logits(build("gpt2"))
    with lk.mixed_batch(model, [None] * 3):
        assert same_bits(logits(model), plain)


def test_mixed_generation_equals_each_prompt_alone():
    model, names = three_adapters("llama"), ["law", None, "medicine"]
    settings = dict(max_new_tokens=6, do_sample=False, eos_token_id=None)
    alone = []
    for row, name in zip(ids(), names, strict=True):
        lk.set_adapter(model, name)
        alone.append(model.generate(row[None], attention_mask=torch.ones(1, 7, dtype=torch.long), **settings))
    with lk.mixed_batch(model, names):
        got = model.generate(ids(), attention_mask=torch.ones_like(ids()), **settings)
    assert torch.equal(got, torch.cat(alone))


class Stop(BaseException):
    pass


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, Stop])
def test_nothing_of_a_mixed_batch_survives_an_exception(error):
    """Trap 10: in PEFT the hooks leak, and every later call fails."""
    model = three_adapters("gpt2")
    before, expected = snapshot(model), logits(model)
    with pytest.raises(error), lk.mixed_batch(model, ["law"] * 3):
        logits(model)
        raise error
    assert_same(before, snapshot(model))
    assert same_bits(expected, logits(model))
    assert all(layer.rows is None for layer in model._lorakit.layers.values())


def test_an_error_inside_the_forward_leaves_nothing_behind():
    model = three_adapters("gpt2")
    before, expected = snapshot(model), logits(model)
    handle = model.transformer.h[1].mlp.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError), lk.mixed_batch(model, ["law"] * 3):
        logits(model)
    handle.remove()
    assert_same(before, snapshot(model))
    assert same_bits(expected, logits(model))


def test_an_error_while_entering_leaves_nothing_behind(monkeypatch):
    from lorakit.core import mixed

    model, calls = three_adapters("gpt2"), []
    before = snapshot(model)
    real = mixed._stack

    def fails_at_the_third(*args):
        calls.append(args)
        if len(calls) == 3:
            raise MemoryError
        return real(*args)

    monkeypatch.setattr(mixed, "_stack", fails_at_the_third)
    with pytest.raises(MemoryError), lk.mixed_batch(model, ["law"] * 3):
        pass
    assert_same(before, snapshot(model))
    assert all(layer.rows is None for layer in model._lorakit.layers.values())


REFUSED = {
    "an unknown name": (["law", "nobody"], "no adapter named"),
    "a single string": ("law", "one name per row"),
    "no names": ([], "one name per row"),
}


@pytest.mark.parametrize(("names", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_impossible_names_are_refused(names, says):
    model = three_adapters("gpt2")
    before = snapshot(model)
    with pytest.raises(LoRAError, match=says), lk.mixed_batch(model, names):
        pass
    assert_same(before, snapshot(model))


def test_a_batch_of_another_size_is_refused():
    model = three_adapters("gpt2")
    with pytest.raises(LoRAError, match="2 names for a batch of 3 rows"), lk.mixed_batch(model, ["law", None]):
        logits(model)
    with pytest.raises(LoRAError, match="beam"), lk.mixed_batch(model, ["law", None, None]):
        model.generate(ids(), num_beams=2, max_new_tokens=2, attention_mask=torch.ones_like(ids()))


def test_a_projection_of_what_all_rows_share_is_refused():
    model = build("deberta")
    lk.inject(model, LoRAConfig(r=2, targets=("pos_key_proj",)))
    with pytest.raises(LoRAError, match="what all rows share"), lk.mixed_batch(model, ["default"] * 3):
        logits(model)


def test_training_mode_and_changes_inside_are_refused():
    model = three_adapters("gpt2")
    with pytest.raises(LoRAError, match="eval"), lk.mixed_batch(model.train(), ["law"] * 3):
        pass
    model.eval()
    before = snapshot(model)
    with lk.mixed_batch(model, ["law"] * 3):
        for action in (
            lambda: lk.set_adapter(model, "law"),
            lambda: lk.merge(model),
            lambda: lk.delete_adapter(model, "law"),
            lambda: lk.inject(model, LoRAConfig(r=2), name="new"),
            lambda: lk.eject(model),
            lambda: lk.set_scale(model, 2.0),
            lambda: lk.mixed_batch(model, ["law"] * 3).__enter__(),
        ):
            with pytest.raises(LoRAError, match="mixed_batch"):
                action()
    assert_same(before, snapshot(model))


def test_an_adapter_with_its_own_head_is_refused_and_others_meet_the_bases_head():
    model = roberta().eval()
    lk.inject(model, LoRAConfig(r=2), name="plain")
    fill(model, "plain")
    expected = logits(model)
    lk.inject(model, LoRAConfig(r=2, modules_to_save=("classifier",)), name="headed")
    model.classifier.out_proj.bias.data.add_(5)
    with pytest.raises(LoRAError, match="classifier"), lk.mixed_batch(model, ["headed", "plain", None]):
        pass
    with lk.mixed_batch(model, ["plain"] * 3):
        torch.testing.assert_close(logits(model), expected, rtol=1e-5, atol=1e-6)
    assert lk.active_adapter(model) == "headed" and model.classifier.out_proj.bias.min() > 3


def test_the_number_of_operations_does_not_grow_with_the_adapters():
    """PEFT: about 16 K + 4 operations per layer for K adapters in a batch."""
    from test_layer import Ops, box

    counts = []
    for adapters in (1, 5):
        model = box(8, 12, 2).eval()
        names = [f"a{i}" for i in range(adapters)]
        for name in names:
            lk.inject(model, LoRAConfig(r=2, targets=("c_attn",)), name=name)
        rows = [names[i % adapters] for i in range(10)]
        with torch.no_grad(), lk.mixed_batch(model, rows), Ops() as ops:
            model(torch.randn(10, 3, 8))
        counts.append(len(ops.names))
    assert counts[0] == counts[1] <= 16
