"""Bottleneck adapters: the base until they learn, what their papers say once they have, and the base again without.

The `adapters` package has these methods, but each of its releases asks for one older release of transformers, so it
cannot be installed beside the one used here. They are compared with the same computation written out by hand instead.
"""

import copy
import hashlib
import pickle

import pytest
import torch
import torch.nn.functional as F

import lorakit as lk
from lorakit.core.errors import LoRAError
from lorakit.lab import Example, Task
from lorakit.lab.loop import fit
from lorakit.rivals import bottleneck
from lorakit.rivals.bottleneck import Bottleneck, attach, bottleneck_parameters, detach

PLACEMENTS = ("houlsby", "pfeiffer")
EXAMPLES = [Example(f"say {letter}:", f" {letter * 2}") for letter in "abcdefgh"]
TASK = Task("repeat", EXAMPLES, EXAMPLES, EXAMPLES, "all", lambda answers, examples: {"all": 1.0}, 4)
IDS = torch.tensor([[5, 80, 3, 200, 41, 7], [9, 9, 250, 13, 0, 77]])


def tiny_llama():
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=257, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LlamaForCausalLM(config).eval()


@pytest.fixture(params=["gpt2", "llama"])
def model(request, make_tiny):
    return make_tiny() if request.param == "gpt2" else tiny_llama()


def trained_by_hand(model, seed=7):
    """Numbers for every part of every bottleneck, large enough to matter."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".bottleneck." in name:
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model


@torch.no_grad()
def logits(model, ids=IDS, **options):
    return model(ids, **options).logits


def seen_from_outside(model):
    return {
        "keys": list(model.state_dict()),
        "flags": {name: parameter.requires_grad for name, parameter in model.named_parameters()},
        "hooks": [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()],
        "classes": [type(m) for m in model.modules()],
        "modes": [m.training for m in model.modules()],
        "own": [sorted(vars(m)) for m in model.modules()],
    }


def by_hand(state, x, adapter):
    """The bottleneck at this place, from its four tensors."""
    down, down_bias = state[f"{adapter}.down"], state[f"{adapter}.down_bias"]
    up, up_bias = state[f"{adapter}.up"], state[f"{adapter}.up_bias"]
    inner = x @ down.T + down_bias
    inner = inner * 0.5 * (1 + torch.erf(inner / 2**0.5))  # gelu
    return x + inner @ up.T + up_bias


def gpt2_by_hand(state, ids, placement, heads=2):
    """GPT-2 with bottleneck adapters, block by block, from the tensors of a state dict alone."""

    def norm(x, at):
        x = x - x.mean(-1, keepdim=True)
        x = x / (x.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()
        return x * state[f"{at}.weight"] + state[f"{at}.bias"]

    def dense(x, at):
        return x @ state[f"{at}.weight"] + state[f"{at}.bias"]

    tokens = ids.shape[1]
    x = state["transformer.wte.weight"][ids] + state["transformer.wpe.weight"][:tokens]  # (batch, tokens, width)
    future = torch.ones(tokens, tokens, dtype=torch.bool).triu(1)
    for block in ("transformer.h.0", "transformer.h.1"):
        qkv = dense(norm(x, f"{block}.ln_1"), f"{block}.attn.c_attn")  # (batch, tokens, 3 * width)
        q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in qkv.chunk(3, dim=-1))
        scores = (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(future, -torch.inf)  # (batch, heads, tokens, tokens)
        attention = dense((scores.softmax(-1) @ v).transpose(1, 2).flatten(2), f"{block}.attn.c_proj")
        if placement == "houlsby":
            attention = by_hand(state, attention, f"{block}.attn.bottleneck")
        x = x + attention
        inner = dense(norm(x, f"{block}.ln_2"), f"{block}.mlp.c_fc")
        inner = 0.5 * inner * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (inner + 0.044715 * inner**3)))
        x = x + by_hand(state, dense(inner, f"{block}.mlp.c_proj"), f"{block}.mlp.bottleneck")
    return norm(x, "transformer.ln_f") @ state["transformer.wte.weight"].T


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_gpt2_computes_what_the_loop_written_by_hand_computes(placement, make_tiny):
    """Both placements against GPT-2's blocks written out with their residuals, in float64.

    By hand, because the `adapters` package cannot be installed beside this transformers (see the top of the file).
    """
    model = make_tiny().double()
    attach(model, 5, placement=placement)
    trained_by_hand(model)
    expected = gpt2_by_hand(model.state_dict(), IDS, placement)
    assert torch.allclose(logits(model), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_llama_computes_its_blocks_with_a_bottleneck_before_each_residual(placement):
    model = tiny_llama().double()
    bare = copy.deepcopy(model).model
    attach(model, 5, placement=placement)
    state = trained_by_hand(model).state_dict()
    x = bare.embed_tokens(IDS)
    positions = bare.rotary_emb(x, torch.arange(IDS.shape[1])[None])
    mask = torch.full((IDS.shape[1],) * 2, -torch.inf, dtype=x.dtype).triu(1)[None, None]
    for number, block in enumerate(bare.layers):
        at = f"model.layers.{number}"
        attention, _ = block.self_attn(block.input_layernorm(x), position_embeddings=positions, attention_mask=mask)
        x = x + (by_hand(state, attention, f"{at}.self_attn.bottleneck") if placement == "houlsby" else attention)
        x = x + by_hand(state, block.mlp(block.post_attention_layernorm(x)), f"{at}.mlp.bottleneck")
    expected = model.lm_head(bare.norm(x))
    assert torch.allclose(logits(model), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_before_training_the_outputs_are_the_bases_bit_for_bit(placement, dtype, model):
    before = logits(model.to(dtype))
    attach(model, 5, placement=placement)
    after = logits(model)
    assert torch.equal(after, before) and after.dtype == dtype
    assert not torch.equal(logits(trained_by_hand(model)), before)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_under_autocast_too(placement, model):
    with torch.autocast("cpu", torch.bfloat16):
        before = logits(model)
        attach(model, 5, placement=placement)
        assert torch.equal(logits(model), before)
        trained_by_hand(model)
        mixed = logits(model)
    exact = logits(model)
    assert not torch.equal(mixed, before)
    assert torch.allclose(mixed.float(), exact, atol=0.05 * float(exact.abs().max()))


def test_under_autocast_a_float32_input_is_not_rounded():
    adapter = Bottleneck(8, 3, torch.zeros(1), torch.Generator().manual_seed(0))
    h = torch.randn(4, 8, generator=torch.Generator().manual_seed(1))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(adapter(h), h)


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("size", [1, 5, 64])
def test_only_the_bottlenecks_train_and_the_formula_counts_them(placement, size, model):
    names = {name for name, _ in model.named_parameters()}
    attach(model, size, placement=placement)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert set(trained) == {name for name, _ in model.named_parameters()} - names
    assert sum(p.numel() for p in trained.values()) == bottleneck_parameters(32, 2, size, placement)


@pytest.mark.parametrize("placement, count", [("houlsby", 24 * (2 * 768 * 64 + 64 + 768)), ("pfeiffer", 1_189_632)])
def test_the_count_at_gpt2s_shape(placement, count):
    from transformers import GPT2Config, GPT2LMHeadModel

    with torch.device("meta"):
        model = GPT2LMHeadModel(GPT2Config())
    attach(model, 64, placement=placement)
    assert count == bottleneck_parameters(768, 12, 64, placement)
    assert count == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert all(p.is_meta for p in model.parameters())


def test_a_bottleneck_is_not_linear_so_no_weight_can_hold_it():
    adapter = Bottleneck(8, 3, torch.zeros(1), torch.Generator().manual_seed(0))
    torch.nn.init.normal_(adapter.up, generator=torch.Generator().manual_seed(1))
    h = torch.randn(4, 8, generator=torch.Generator().manual_seed(2))
    added, zero = adapter(h) - h, adapter(torch.zeros(4, 8))
    assert torch.equal(zero, torch.zeros(4, 8))  # without biases: linear or not at all
    assert not torch.allclose(adapter(-h) + h, -added, atol=0.1)


def test_its_gradients_are_right_and_its_input_is_left_alone():
    adapter = Bottleneck(4, 3, torch.zeros(1, dtype=torch.float64), torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    values = [torch.randn(p.shape, generator=generator, dtype=torch.float64) for p in adapter.parameters()]
    h = torch.randn(2, 4, generator=generator, dtype=torch.float64)
    before = h.clone()
    names = [name for name, _ in adapter.named_parameters()]

    def run(h, *values):
        return torch.func.functional_call(adapter, dict(zip(names, values, strict=True)), (h,))

    assert torch.autograd.gradcheck(run, [t.clone().requires_grad_() for t in (h, *values)])
    run(h, *values)
    assert torch.equal(h, before)


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_training_moves_every_bottleneck_and_nothing_else(placement, precision, model, tiny_tokenizer):
    def hashes():
        return {name: hashlib.sha256(p.detach().numpy().tobytes()).hexdigest() for name, p in model.named_parameters()}

    attach(model, 5, placement=placement)
    before = hashes()
    options = dict(steps=12, lr=3e-2, warmup=1, batch_size=8, precision=precision, progress=False)
    history = fit(model, tiny_tokenizer, TASK, **options)
    moved = {name for name, digest in hashes().items() if digest != before[name]}
    assert moved == {name for name in before if ".bottleneck." in name}
    assert history.losses[-1] < history.losses[0] - 0.1
    assert not model.training and not any(module.training for module in model.modules())


def test_a_half_precision_base_is_adapted_in_float32_and_small_steps_count(model):
    attach(model.to(torch.bfloat16), 5)
    trained = [p for p in model.parameters() if p.requires_grad]
    assert all(p.dtype == torch.float32 for p in trained)
    trained_by_hand(model)
    model(IDS, labels=IDS).loss.backward()
    assert all(p.grad.dtype == torch.float32 and p.grad.any() for p in trained)
    value = trained[0].detach().clone()
    with torch.no_grad():
        trained[0].mul_(1 + 1e-4)  # bfloat16 would round it away
    assert not torch.equal(trained[0], value)
    whole = logits(model)
    served = logits(model.to(torch.bfloat16))  # as one would deploy it
    assert torch.equal(served, whole) and all(p.dtype == torch.bfloat16 for p in model.parameters())


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_it_generates_with_a_cache_and_left_padding(placement, model):
    attach(model, 5, placement=placement)
    trained_by_hand(model)
    options = dict(max_new_tokens=8, do_sample=False, pad_token_id=256, eos_token_id=None)
    short, long = IDS[:1, :3], IDS[1:]
    alone = [model.generate(ids, attention_mask=torch.ones_like(ids), **options) for ids in (short, long)]
    uncached = model.generate(long, attention_mask=torch.ones_like(long), use_cache=False, **options)
    assert torch.equal(uncached, alone[1])
    batch = torch.cat([F.pad(short, (3, 0), value=256), long])
    mask = torch.tensor([[0, 0, 0, 1, 1, 1], [1] * 6])
    together = model.generate(batch, attention_mask=mask, **options)
    assert torch.equal(together[0, 3:], alone[0][0]) and torch.equal(together[1], alone[1][0])


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_has_bottlenecks_of_its_own(duplicate, model):
    attach(model, 5)
    expected = logits(trained_by_hand(model))
    twin = duplicate(model)
    assert torch.equal(logits(twin), expected)
    trained_by_hand(twin, seed=8)
    changed = logits(twin)
    assert not torch.allclose(changed, expected) and torch.equal(logits(model), expected)
    detach(model)
    assert torch.equal(logits(twin), changed)
    detach(twin)
    assert torch.equal(logits(twin), logits(model)) and seen_from_outside(twin) == seen_from_outside(model)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_detaching_leaves_no_trace(placement, model):
    list(model.parameters())[1].requires_grad_(False)
    model.get_submodule("lm_head").train()
    seen, before = seen_from_outside(model), logits(model)
    for _ in range(2):
        attach(model, 5, placement=placement)
        assert {"bottleneck" in key for key in set(model.state_dict()) - set(seen["keys"])} == {True}
        trained_by_hand(model)
        detach(model)
        assert seen_from_outside(model) == seen
        assert torch.equal(logits(model), before)


def test_other_hooks_on_the_sublayers_stay(model):
    mlp = next(module for name, module in model.named_modules() if name.endswith("1.mlp"))
    seen = []
    mlp.register_forward_hook(lambda module, args, output: seen.append(output))
    attach(model, 5)
    detach(model)
    logits(model)
    assert len(seen) == 1


def test_modes_and_moves_reach_the_bottlenecks(model):
    attach(model.train(), 5)
    adapters = [module for module in model.modules() if isinstance(module, Bottleneck)]
    assert len(adapters) == 4 and all(adapter.training for adapter in adapters)
    assert not any(adapter.training for adapter in adapters if model.eval())
    assert all(p.device.type == "meta" for p in model.to("meta").parameters())


def test_the_state_dict_names_the_place_and_carries_what_was_learnt(make_tiny):
    model, fresh = make_tiny(), make_tiny()
    attach(model, 5, placement="pfeiffer")
    learnt = {key: value for key, value in trained_by_hand(model).state_dict().items() if ".bottleneck." in key}
    parts = ("down", "down_bias", "up", "up_bias")
    assert list(learnt) == [f"transformer.h.{i}.mlp.bottleneck.{part}" for i in (0, 1) for part in parts]
    attach(fresh, 5, placement="pfeiffer", seed=3)
    assert not fresh.load_state_dict(learnt, strict=False).unexpected_keys
    assert torch.equal(logits(fresh), logits(model))


def test_the_seed_decides_and_the_global_generator_is_left_alone(make_tiny):
    def drawn(seed):
        model = make_tiny()
        attach(model, 5, seed=seed)
        return torch.cat([p.flatten() for name, p in model.named_parameters() if name.endswith("bottleneck.down")])

    state = torch.get_rng_state()
    first = drawn(0)
    assert torch.equal(first, drawn(0)) and not torch.equal(first, drawn(1))
    assert len(first.unique()) > 0.99 * len(first)  # no two places share their numbers
    assert torch.equal(torch.get_rng_state(), state)


def test_attention_weights_are_still_returned(model):
    model.set_attn_implementation("eager")
    bare = copy.deepcopy(model)  # transformers' own hooks come with the first call: here, after ours
    attach(model, 5)
    after, before = (m(IDS, output_attentions=True).attentions for m in (model, bare))
    assert len(after) == 2 and all(torch.equal(a, b) for a, b in zip(after, before, strict=True))


@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing_gives_the_same_gradients(reentrant, model):
    def gradients():
        model.zero_grad()
        model(inputs_embeds=embeds, labels=IDS).loss.backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}

    embeds = model.get_input_embeddings()(IDS).detach().requires_grad_()  # reentrant asks for one that does
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    attach(model.train(), 5)
    trained_by_hand(model)
    plain = gradients()
    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    again = gradients()
    assert all(torch.allclose(again[name], plain[name], atol=1e-6) and plain[name].any() for name in plain)


def test_it_compiles(model):
    attach(model, 5)
    expected = logits(trained_by_hand(model))
    compiled = torch.compile(model, backend="eager")
    assert torch.allclose(logits(compiled), expected, atol=1e-5)


def test_what_makes_no_sense_is_refused_and_changes_nothing(model):
    seen, before = seen_from_outside(model), logits(model)
    for size in (0, -1, 2.0, True, "8"):
        with pytest.raises(LoRAError, match="size must be a whole number of at least 1, got"):
            attach(model, size)
    with pytest.raises(LoRAError, match="houlsby, pfeiffer, got 'lora'"):
        attach(model, 5, placement="lora")
    with pytest.raises(LoRAError, match="houlsby, pfeiffer, got 'lora'"):
        bottleneck_parameters(32, 2, 5, "lora")
    with pytest.raises(LoRAError, match="no bottleneck adapters"):
        detach(model)
    with pytest.raises(LoRAError, match="Linear has no list of blocks"):
        attach(torch.nn.Linear(2, 2), 5)
    assert seen_from_outside(model) == seen and torch.equal(logits(model), before)
    attach(model, 5)
    attached = seen_from_outside(model)
    with pytest.raises(LoRAError, match="already: detach them first"):
        attach(model, 5, placement="pfeiffer")
    assert seen_from_outside(model) == attached


def test_a_model_without_such_sublayers_is_refused_whole(make_tiny):
    model = make_tiny()
    model.transformer.h[1].feed = model.transformer.h[1].mlp  # a last block of another kind
    del model.transformer.h[1].mlp
    seen = seen_from_outside(model)
    with pytest.raises(LoRAError, match="a GPT2Block has no mlp called mlp or feed_forward"):
        attach(model, 5)
    assert seen_from_outside(model) == seen


def with_lora(model):
    lk.inject(model, lk.LoRAConfig(r=2, alpha=4, targets=("q", "mlp")), name="law", seed=0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("lora_B"):
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(4)))
    return model


def test_a_merged_lora_is_part_of_the_base_and_an_unmerged_one_is_refused(model):
    untouched = seen_from_outside(model)
    seen = seen_from_outside(with_lora(model))
    with pytest.raises(LoRAError, match=r"LoRA adapters \(law\): merge one or eject them first"):
        attach(model, 5)
    assert seen_from_outside(model) == seen
    lk.merge(model)
    before = logits(model)
    attach(model, 5)
    assert torch.equal(logits(model), before)
    assert {".bottleneck." in name for name, p in model.named_parameters() if p.requires_grad} == {True}
    trained_by_hand(model)
    detach(model)
    assert torch.equal(logits(model), before)
    lk.unmerge(model)
    assert seen_from_outside(model) == seen
    lk.eject(model)
    assert seen_from_outside(model) == untouched


def test_a_merged_lora_may_leave_first(model):
    untouched, before = seen_from_outside(model), logits(model)
    lk.merge(with_lora(model))
    attach(model, 5)
    lk.unmerge(model)
    lk.eject(model)
    detach(model)
    assert seen_from_outside(model) == untouched and torch.equal(logits(model), before)


def test_lora_that_came_after_has_to_go_first(model):
    untouched = seen_from_outside(model)
    attach(model, 5)
    attached = seen_from_outside(model)
    with_lora(model)
    with pytest.raises(LoRAError, match=r"after the bottlenecks \(law\): eject them first"):
        detach(model)
    assert sum(isinstance(module, Bottleneck) for module in model.modules()) == 4
    lk.eject(model)
    assert seen_from_outside(model) == attached
    detach(model)
    assert seen_from_outside(model) == untouched


def test_all_linear_does_not_adapt_the_adapters(model):
    attach(model, 5)
    lk.inject(model, lk.LoRAConfig(r=2, targets=("all-linear",)), name="law", seed=0)
    assert not any("lora" in name for name, _ in model.named_parameters() if f".{bottleneck.NAME}." in name)
