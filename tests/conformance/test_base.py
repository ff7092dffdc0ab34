"""What an adapter leaves alone: the base's outputs, its dtype, its module tree; and how it starts."""

import math

import pytest
import torch

import lorakit as lk
from lorakit import LoRAConfig, LoRAError
from tests.support.architectures import ARCHITECTURES, DTYPES, KINDS, adapted, base, untrained
from tests.support.tiny_models import assert_same, logits, same_bits, snapshot


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("targets", [{}, {"targets": ("all-linear",)}], ids=["chosen", "all-linear"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_fresh_adapter_equals_the_base_bit_for_bit(kind, targets, dtype):
    model = untrained(kind, dtype=dtype, **targets)
    assert same_bits(logits(model), logits(base(kind, dtype)))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_without_an_active_adapter_the_model_is_the_base_and_comes_back_bit_for_bit(kind, dtype):
    model, plain = adapted(kind, dtype), logits(base(kind, dtype))
    before = logits(model)
    assert not same_bits(before, plain)
    lk.set_adapter(model, None)
    assert same_bits(logits(model), plain)
    lk.set_adapter(model, "sql")
    assert same_bits(logits(model), before)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_adapters_are_float32_and_outputs_keep_the_bases_dtype(kind, dtype):
    model = adapted(kind, dtype)
    kinds = {p.dtype for path, p in model.named_parameters() if ".adapters." in path}
    assert kinds == {torch.float32}
    assert {p.dtype for path, p in model.named_parameters() if ".adapters." not in path} == {dtype}
    assert logits(model).dtype == dtype
    if dtype != torch.float16:  # which a base by itself cannot do under autocast on a CPU
        with torch.autocast("cpu", torch.bfloat16):
            assert logits(model).dtype == logits(base(kind, dtype)).dtype
    double = adapted(kind, torch.float64)
    assert {p.dtype for p in double.parameters()} == {torch.float64}


@pytest.mark.parametrize("use_rslora", [False, True], ids=["alpha/r", "alpha/sqrt(r)"])
@pytest.mark.parametrize("kind", KINDS)
def test_scaling_is_alpha_over_r_or_its_root_with_the_patterns_exactly(kind, use_rslora):
    one = ARCHITECTURES[kind].one
    fields = dict(rank_pattern={one: 2}, alpha_pattern={one: 11}, use_rslora=use_rslora)
    model = untrained(kind, r=3, alpha=6, targets=("all-linear",), **fields)
    exceptions = 0
    for path, layer in model._lorakit.layers.items():
        r, alpha = (2, 11) if path.endswith(one) else (3, 6)
        exceptions += path.endswith(one)
        assert layer.adapters["sql"].scaling == (alpha / math.sqrt(r) if use_rslora else alpha / r)
    assert exceptions == 1 and len(model._lorakit.layers) > 1


def distance(sample, cdf) -> float:
    """Kolmogorov and Smirnov's: how far the sample's distribution is from `cdf`, at most."""
    sample, n = sample.sort().values, len(sample)
    steps = torch.arange(n + 1, dtype=torch.float64) / n
    exact = cdf(sample)
    return max((steps[1:] - exact).max().item(), (exact - steps[:-1]).max().item())


@pytest.mark.parametrize("kind", KINDS)
def test_b_starts_at_zero_and_a_gaussian_of_deviation_one_over_the_root_of_in(kind):
    """The 1 % critical value of the Kolmogorov-Smirnov distance is 1.63 / sqrt(n); a uniform A would be beyond it."""
    model = base(kind)
    for seed in range(4):
        lk.inject(model, LoRAConfig(r=3, targets=("all-linear",)), name=f"seed{seed}", seed=seed)
    adapters = [adapter for layer in model._lorakit.layers.values() for adapter in layer.adapters.values()]
    assert not any(adapter.lora_B.any() for adapter in adapters)
    A = torch.cat([a.lora_A.detach().double().flatten() * math.sqrt(a.in_features) for a in adapters])
    critical = 1.63 / math.sqrt(len(A))
    assert distance(A, lambda x: (1 + torch.erf(x / math.sqrt(2))) / 2) < critical
    width = math.sqrt(3) * A.std()  # the uniform distribution of the same deviation
    assert distance(A, lambda x: ((x + width) / (2 * width)).clamp(0, 1)) > critical


@pytest.mark.parametrize("kind", KINDS)
def test_the_adapters_name_changes_nothing(kind):
    plain = untrained(kind, "default")
    expected = logits(plain)
    paths = [path.replace(".adapters.default.", ".adapters.@.") for path, _ in plain.named_parameters()]
    for name in ("lora", "lora_A", "A", "base_layer", "adapters_", "weight", "q", "0", "model"):
        model = untrained(kind, name)
        assert same_bits(logits(model), expected)
        assert [path.replace(f".adapters.{name}.", ".adapters.@.") for path, _ in model.named_parameters()] == paths


@pytest.mark.parametrize("kind", KINDS)
def test_deleting_leaves_no_trace(kind):
    """Nor does eject. One parameter was frozen before: it stays so, and the others train again."""
    never, model = base(kind), base(kind)
    for each in (never, model):
        next(each.parameters()).requires_grad_(False)
    plain = snapshot(model)
    config = LoRAConfig(r=2, targets=ARCHITECTURES[kind].targets, modules_to_save=ARCHITECTURES[kind].head)
    lk.inject(model, config, name="a")
    one = snapshot(model)
    lk.inject(model, LoRAConfig(r=3, targets=("all-linear",)) if not config.modules_to_save else config, name="b")
    lk.delete_adapter(model, "b")
    lk.set_adapter(model, "a")
    two = snapshot(model)
    one["ids"] = two["ids"]
    assert_same(one, two)
    lk.merge(model)
    with pytest.raises(LoRAError, match="merged"):
        lk.delete_adapter(model, "a")
    lk.unmerge(model)
    lk.delete_adapter(model, "a")
    assert_same(plain, snapshot(model))
    assert str(model) == str(never)
    for name in ("a", "b"):
        lk.inject(model, config, name=name)
    for _ in range(2):  # the second time there is nothing to do
        lk.eject(model)
        assert_same(plain, snapshot(model))
