"""What every method that adds something to a base promises: the base at first, and what it learnt is its own."""

import copy
from dataclasses import dataclass
from types import ModuleType

import pytest
import torch

import lorakit as lk
from lorakit.rivals import bottleneck, prefix

IDS = torch.tensor([[5, 80, 3, 200, 41, 7], [9, 9, 250, 13, 0, 77]])
W, BLOCKS = 32, 2  # of the tiny models


@dataclass(frozen=True)
class Method:
    module: ModuleType
    settings: dict
    part: str  # the names of its parameters have this in them

    def attach(self, model, **more):
        self.module.attach(model, **self.settings, **more)
        return model

    def learnt(self, model, seed=7):
        """Attached, and every number of it large enough to matter."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, parameter in self.attach(model).named_parameters():
                if self.part in name:
                    parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
        return model


METHODS = {
    "houlsby": Method(bottleneck, dict(size=5, placement="houlsby"), ".bottleneck."),
    "pfeiffer": Method(bottleneck, dict(size=5, placement="pfeiffer"), ".bottleneck."),
    "prefix": Method(prefix, dict(length=4), "prefix."),
    "prefix with its MLP": Method(prefix, dict(length=4, hidden=8), "prefix."),
}
every = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


@torch.no_grad()
def logits(model, ids=IDS, **options):
    return model(ids, **options).logits


def seen_from_outside(model):
    return {
        "keys": list(model.state_dict()),
        "flags": {name: parameter.requires_grad for name, parameter in model.named_parameters()},
        "hooks": [[len(hooks) for name, hooks in vars(m).items() if "_hooks" in name] for m in model.modules()],
        "modes": [m.training for m in model.modules()],
        "own": [sorted(vars(m)) for m in model.modules()],
        "caching": (model.config.use_cache, model.generation_config.use_cache),
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("method", [*METHODS.values()][:2])
def test_before_it_has_learnt_the_outputs_are_the_bases_bit_for_bit(method, dtype, model):
    before = logits(model.to(dtype), use_cache=False)
    after = logits(method.attach(model), use_cache=False)
    assert torch.equal(after, before) and after.dtype == dtype


@every
def test_twice_is_refused_and_changes_nothing(method, model):
    seen = seen_from_outside(method.attach(model))
    with pytest.raises(lk.LoRAError, match="already"):
        method.attach(model)
    assert seen_from_outside(model) == seen


@every
def test_what_was_learnt_is_carried_by_the_state_dict(method, model):
    fresh = copy.deepcopy(model)
    learnt = {key: value for key, value in method.learnt(model).state_dict().items() if method.part in key}
    method.attach(fresh, seed=3)
    assert not fresh.load_state_dict(learnt, strict=False).unexpected_keys
    assert torch.equal(logits(fresh), logits(model))


@every
def test_the_seed_decides_and_the_global_generator_is_left_alone(method, model):
    def drawn(seed):
        twin = method.attach(copy.deepcopy(model), seed=seed)
        return torch.cat([p.flatten() for name, p in twin.named_parameters() if method.part in name])

    state = torch.get_rng_state()
    first = drawn(0)
    assert torch.equal(first, drawn(0)) and not torch.equal(first, drawn(1))
    assert torch.equal(torch.get_rng_state(), state)


@every
def test_it_generates_with_a_cache_and_left_padding(method, model):
    method.learnt(model)
    options = dict(max_new_tokens=8, do_sample=False, pad_token_id=256, eos_token_id=None)
    short, long = IDS[:1, :3], IDS[1:]
    alone = [model.generate(ids, attention_mask=torch.ones_like(ids), **options) for ids in (short, long)]
    batch = torch.cat([torch.nn.functional.pad(short, (3, 0), value=256), long])
    mask = torch.tensor([[0, 0, 0, 1, 1, 1], [1] * 6])
    together = model.generate(batch, attention_mask=mask, **options)
    assert torch.equal(together[0, 3:], alone[0][0]) and torch.equal(together[1], alone[1][0])


@every
def test_a_half_precision_base_is_adapted_in_float32(method, model):
    exact = logits(method.learnt(copy.deepcopy(model)))
    model.to(torch.bfloat16)
    method.learnt(model)
    trained = [p for p in model.parameters() if p.requires_grad]
    assert all(p.dtype == torch.float32 for p in trained)  # where small steps do not vanish
    assert (logits(model).float() - exact).abs().max() < 0.1 * exact.abs().max()
    model(IDS, labels=IDS).loss.backward()
    assert all(p.grad.dtype == torch.float32 and p.grad.any() for p in trained)


@every
def test_it_works_under_autocast(method, model):
    exact = logits(method.learnt(model))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = logits(model)
    assert not torch.equal(mixed, exact) and (mixed.float() - exact).abs().max() < 0.1 * exact.abs().max()
