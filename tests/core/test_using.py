"""Another adapter for one thread, or one for every row of a batch (invariant 5).

That each row equals that row alone, on every architecture: tests/conformance/test_mixed.py.
"""

import threading

import pytest
import torch

import lorakit as lk
from lorakit import LoRAConfig, LoRAError
from lorakit.core.state import THREAD
from tests.support.tiny_models import assert_same, build, fill, ids, logits, roberta, same_bits, snapshot


def three_adapters(kind="gpt2"):
    """Of different ranks and targets, slices beside whole projections."""
    model = build(kind)
    for rank, (name, targets) in enumerate((("law", ("q", "v")), ("medicine", ("all-linear",)), ("tiny", ("mlp",))), 1):
        lk.inject(model, LoRAConfig(r=rank, alpha=3 * rank, targets=targets), name=name)
        fill(model, name, seed=rank)
    return model


def output_with(model, name):
    lk.set_adapter(model, name)
    return logits(model)


class Stop(BaseException):
    pass


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, Stop])
def test_nothing_of_mixed_rows_survives_an_exception_inside_the_forward(error):
    """Trap 10: in PEFT the hooks leak, and every later call fails."""

    def fail(*_):
        raise error

    model = three_adapters()
    before, expected = snapshot(model), logits(model)
    handle = model.transformer.h[1].mlp.register_forward_hook(fail)
    with pytest.raises(error), lk.using(model, ["law"] * 3):
        logits(model)
    handle.remove()
    assert_same(before, snapshot(model))
    assert same_bits(expected, logits(model))
    assert THREAD.chosen == ()


def test_a_batch_of_another_size_is_refused():
    model = three_adapters()
    with pytest.raises(LoRAError, match="2 names for a batch of 3 rows"), lk.using(model, ["law", None]):
        logits(model)
    with pytest.raises(LoRAError, match="beam"), lk.using(model, ["law", None, None]):
        model.generate(ids(), num_beams=2, max_new_tokens=2, attention_mask=torch.ones_like(ids()))


def test_training_inside_is_refused_and_inference_in_train_mode_is_not():
    """A backward pass that recomputes may run in another thread, which is not inside."""
    model = three_adapters().train()
    with lk.using(model, "law"):
        with pytest.raises(LoRAError, match="set_adapter"):
            logits(model, grad=True)
        reference = logits(model)
    assert same_bits(reference, output_with(model, "law"))


@pytest.mark.parametrize("names", ["law", None, ["law"] * 3], ids=str)
def test_changes_inside_are_refused(names, tmp_path):
    model = three_adapters()
    before = snapshot(model)
    with lk.using(model, names):
        for action in (
            lambda: lk.set_adapter(model, "law"),
            lambda: lk.merge(model),
            lambda: lk.delete_adapter(model, "law"),
            lambda: lk.inject(model, LoRAConfig(r=2), name="new"),
            lambda: lk.eject(model),
            lambda: lk.set_scale(model, 2.0),
            lambda: lk.save_adapter(model, tmp_path),
        ):
            with pytest.raises(LoRAError, match="lk.using"):
                action()
        lk.save_adapter(model, tmp_path, "law")
        other = three_adapters()
        lk.set_adapter(other, "law")  # another model is free
    assert_same(before, snapshot(model))


def test_an_adapter_with_its_own_head_is_refused_in_rows_and_others_meet_the_bases_head():
    model = roberta().eval()
    lk.inject(model, LoRAConfig(r=2), name="plain")
    fill(model, "plain")
    expected = logits(model)
    lk.inject(model, LoRAConfig(r=2, modules_to_save=("classifier",)), name="headed")
    model.classifier.adapters["headed"].out_proj.bias.data.add_(5)
    headed = logits(model)
    with pytest.raises(LoRAError, match="classifier"), lk.using(model, ["headed", "plain", None]):
        pass
    with lk.using(model, ["plain"] * 3):
        torch.testing.assert_close(logits(model), expected, rtol=1e-5, atol=1e-6)
    with lk.using(model, "plain"):
        assert same_bits(logits(model), expected)
    lk.set_adapter(model, "plain")
    with lk.using(model, "headed"):
        assert same_bits(logits(model), headed)


def test_one_name_is_that_adapter_and_none_is_the_base():
    model, plain = three_adapters(), logits(build("gpt2"))
    lk.set_adapter(model, "law")
    lk.set_scale(model, 0.5)
    alone = {name: output_with(model, name) for name in ("law", "medicine", "tiny")}
    lk.set_adapter(model, "tiny")
    for name, expected in (*alone.items(), (None, plain)):
        with lk.using(model, name) as same:
            assert same is model and lk.active_adapter(model) == "tiny"
            assert same_bits(logits(model), expected)
    assert same_bits(logits(model), alone["tiny"])


def test_the_inner_block_wins_and_the_outer_comes_back():
    model = three_adapters()
    law, tiny, plain = (output_with(model, name) for name in ("law", "tiny", None))
    other = three_adapters()
    with lk.using(model, "law"):
        with lk.using(model, None), lk.using(other, "tiny"):
            assert same_bits(logits(model), plain) and same_bits(logits(other), tiny)
            with lk.using(model, ["tiny"] * 3):
                torch.testing.assert_close(logits(model), tiny, rtol=1e-5, atol=1e-5)
            assert same_bits(logits(model), plain)
        assert same_bits(logits(model), law)
    assert same_bits(logits(model), plain)


def test_threads_see_their_own_choice_and_those_they_start_the_default():
    model = three_adapters()
    expected = {name: output_with(model, name) for name in ("law", "medicine", "tiny", None)}
    lk.set_adapter(model, "tiny")
    inside, seen = threading.Barrier(2), {}

    def answer(name):
        with lk.using(model, name):
            inside.wait(30)
            seen[name] = logits(model)
            inside.wait(30)

    def streamed():
        seen["started inside"] = logits(model)

    workers = [threading.Thread(target=answer, args=(name,)) for name in ("law", "medicine")]
    with lk.using(model, None):
        workers.append(threading.Thread(target=streamed))
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(30)
        assert same_bits(logits(model), expected[None])
    assert all(same_bits(seen[name], expected[name]) for name in ("law", "medicine"))
    assert same_bits(seen["started inside"], expected["tiny"])


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_beams_are_rows_of_their_name(kind):
    model, names = three_adapters(kind), ["law", None, "tiny"]
    settings = dict(max_new_tokens=5, num_beams=3, do_sample=False, eos_token_id=None, pad_token_id=0)
    settings |= dict(return_dict_in_generate=True, output_scores=True)
    mask = torch.ones_like(ids())
    alone = []
    for row, name in enumerate(names):
        lk.set_adapter(model, name)
        alone.append(model.generate(ids()[row : row + 1], attention_mask=mask[:1], **settings))
    with lk.using(model, names, beams=3):
        together = model.generate(ids(), attention_mask=mask, **settings)
        torch.testing.assert_close(logits(model)[0], same_bits_of_row(model, "law"), rtol=1e-4, atol=1e-4)
        with pytest.raises(LoRAError, match="3 names and beams=3 for a batch of 6 rows"):
            logits(model, ids(6))
    assert torch.equal(together.sequences, torch.cat([each.sequences for each in alone]))
    torch.testing.assert_close(together.sequences_scores, torch.cat([each.sequences_scores for each in alone]))


@pytest.mark.parametrize("names", [["law"] * 4, ["law", "law", "tiny", "tiny"], [None, None, "law", "law"]])
def test_rows_of_one_adapter_in_equal_runs_share_a_copy_of_it(names):
    model, batch = three_adapters(), ids(4)
    with lk.using(model, names):
        (_, choice), *_ = THREAD.chosen
        together = logits(model, batch)
        stacks = choice.rows.stacks.values()
    assert {len(A) for A, _, _ in stacks} == {len(set(names))}
    with lk.using(model, names, beams=2):
        twice = logits(model, batch.repeat_interleave(2, 0))
    for row, name in enumerate(names):
        with lk.using(model, name):
            alone = logits(model, batch[row : row + 1])[0]
        for found in (together[row], twice[2 * row], twice[2 * row + 1]):
            torch.testing.assert_close(found, alone, rtol=1e-4, atol=1e-4)
    with pytest.raises(LoRAError, match="4 names for a batch of 2 rows"), lk.using(model, names):
        logits(model, ids(2))


def same_bits_of_row(model, name):
    with lk.using(model, name):
        return logits(model, ids()[:1])[0]


def test_an_encoder_sees_the_names_and_its_decoder_the_beams():
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(0)
    sizes = dict(vocab_size=61, d_model=24, d_kv=6, d_ff=40, num_layers=2, num_heads=4, decoder_start_token_id=0)
    model = T5ForConditionalGeneration(T5Config(**sizes, dropout_rate=0.0)).eval()
    for rank, name in enumerate(("law", "tiny"), start=1):
        lk.inject(model, LoRAConfig(r=rank, targets=("q", "v", "o", "mlp")), name=name)
        fill(model, name, seed=rank, size=1.0)
    settings = dict(max_new_tokens=6, num_beams=2, do_sample=False, eos_token_id=None, pad_token_id=0)
    alone = []
    for row, name in enumerate(["law", "tiny", None]):
        lk.set_adapter(model, name)
        alone.append(model.generate(ids()[row : row + 1], **settings))
    with lk.using(model, ["law", "tiny", None], beams=2):
        assert torch.equal(model.generate(ids(), **settings), torch.cat(alone))
    assert len({tuple(row[0].tolist()) for row in alone}) > 1


def test_meaningless_beams_are_refused():
    model = three_adapters()
    for names, beams in ((["law"], 0), ("law", 2), (None, 2), (["law"], 1.5), (["law"], "2")):
        with pytest.raises(LoRAError, match="beams"), lk.using(model, names, beams=beams):
            pass
