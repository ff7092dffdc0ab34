"""One adapted projection against the formula: y = W0 x + b + scaling * B A x, its gradients, its costs."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from transformers.pytorch_utils import Conv1D

import lorakit as lk
from lorakit import LoRAConfig
from tests.support.tiny_models import Ops, fill, gpt2, ids, llama

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]


class Box(nn.Module):
    """A model of one projection; called c_attn, so that slices have a meaning when it is fused."""

    def __init__(self, layer):
        super().__init__()
        self.c_attn = layer

    def forward(self, x):
        return self.c_attn(x)


def box(width, out, r, slices="", conv=False, bias=True, dropout=0.0, dtype=torch.float32, seed=0) -> Box:
    torch.manual_seed(seed)
    layer = Conv1D(out, width) if conv else nn.Linear(width, out, bias=bias)
    if conv:
        nn.init.normal_(layer.bias)
    model = Box(layer.to(dtype))
    targets = tuple(f"c_attn.{s}" for s in slices) or ("c_attn",)
    lk.inject(model, LoRAConfig(r=r, alpha=3, dropout=dropout, targets=targets))
    fill(model, "default", seed=seed + 1, size=1.0)
    return model


def exact(model: Box, x: torch.Tensor):
    """The formula, dense, in float64: y, and an elementwise bound on the rounding of any sensible evaluation.

    Every product of length n errs by at most n * eps32 of its absolute counterpart (float32 accumulation at worst;
    eps64 for float64), and every tensor that is stored in the dtype (A, B, A x, the base's output, y) by eps / 2 of
    itself: five roundings, and one more order for their products.
    """
    layer, adapter = model.c_attn, model.c_attn.adapters["default"]
    W = layer.weight.double().T if isinstance(layer, Conv1D) else layer.weight.double()  # (out, in)
    A, B, s = adapter.lora_A.double(), adapter.full_B().double(), adapter.scaling
    b = torch.zeros(len(W), dtype=torch.float64) if layer.bias is None else layer.bias.double()
    x = x.double()
    y = x @ W.T + b + s * (x @ A.T) @ B.T
    base, update = x.abs() @ W.abs().T + b.abs(), s * (x.abs() @ A.abs().T) @ B.abs().T
    eps = torch.finfo(layer.weight.dtype).eps
    sums = min(eps, torch.finfo(torch.float32).eps) * (W.shape[1] + A.shape[0] + 2)
    return y.detach(), ((3 * eps + sums) * (base + update)).detach() + torch.finfo(layer.weight.dtype).tiny


shapes = st.sampled_from(["", "q", "k", "v", "qv", "qkv"]).flatmap(
    lambda slices: st.fixed_dictionaries(
        dict(
            slices=st.just(slices),
            width=st.integers(1, 17),
            out=st.integers(1, 19),
            r=st.integers(1, 6),
            conv=st.booleans(),
            bias=st.booleans(),
            dtype=st.sampled_from(DTYPES),
            seed=st.integers(0, 9),
        )
    )
)


def from_drawn(drawn) -> Box:
    drawn = dict(drawn)
    if drawn["slices"]:
        drawn["out"] = 3 * drawn["width"]
    drawn["r"] = min(drawn["r"], drawn["width"], drawn["out"])
    return box(**drawn)


LAYOUTS = {
    "contiguous": lambda x: x,
    "strided": lambda x: x.repeat_interleave(2, -1)[..., ::2],
    "turned": lambda x: x.movedim(-1, 0).contiguous().movedim(0, -1),
}
inputs = st.tuples(st.lists(st.integers(0, 4), max_size=3).map(tuple), st.sampled_from(sorted(LAYOUTS)))
MODES = [torch.enable_grad, torch.no_grad, torch.inference_mode]


def draw(model: Box, drawn, shape, layout) -> torch.Tensor:
    """An input of this shape and layout; transformers' Conv1D takes contiguous ones only."""
    x = torch.randn(*shape, drawn["width"]).to(drawn["dtype"])
    return x if drawn["conv"] else LAYOUTS[layout](x)


@settings(max_examples=150, deadline=None)
@given(shapes, inputs, st.booleans(), st.sampled_from(MODES))
def test_output_is_the_formula_within_rounding(drawn, inputs, train, mode):
    """Trap 5: transposes go wrong silently on square weights; here every shape is compared with the dense formula."""
    model = from_drawn(drawn).train(train)
    x = draw(model, drawn, *inputs)
    with mode():
        y = model(x)
    expected, bound = exact(model, x)
    assert y.dtype == drawn["dtype"] and y.shape == expected.shape
    assert ((y.double() - expected).abs() <= bound).all()


@settings(max_examples=80, deadline=None)
@given(shapes, inputs, st.sets(st.sampled_from(["x", "A", "B", "weight", "bias"]), min_size=1))
def test_gradients_are_those_of_the_dense_formula(drawn, inputs, trained):
    """Whatever trains: an adapter, its input (through a frozen adapter), the base beside it, or some of these."""
    drawn = {**drawn, "dtype": torch.float64}
    model = from_drawn(drawn)
    layer, adapter = model.c_attn, model.c_attn.adapters["default"]
    x = draw(model, drawn, *inputs)
    every = {"x": x, "A": adapter.lora_A, "B": adapter.lora_B, "weight": layer.weight, "bias": layer.bias}
    wrt = [value.requires_grad_(name in trained) for name, value in every.items() if value is not None]
    wrt = [value for value in wrt if value.requires_grad]
    assume(wrt)
    W = layer.weight.T if isinstance(layer, Conv1D) else layer.weight
    dense = nn.functional.linear(x, W + adapter.delta_weight(), layer.bias)
    weights = torch.randn_like(dense)
    expected = torch.autograd.grad((dense * weights).sum(), wrt)
    for got, want in zip(torch.autograd.grad((model(x) * weights).sum(), wrt), expected, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("slices", ["", "qv"])
def test_second_derivatives_are_right_under_dropout(slices):
    model = box(3, 9, 2, slices, conv=True, dropout=0.4, dtype=torch.float64).train()
    adapter = model.c_attn.adapters["default"]

    def run(x, A, B):
        torch.manual_seed(11)  # the same dropout mask every time
        return model(x)

    x = torch.randn(2, 1, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(run, (x, adapter.lora_A, adapter.lora_B), fast_mode=True)  # random directions


@pytest.mark.parametrize("slices", ["", "qv"])
def test_torch_func_sees_the_formula(slices):
    """Hessians, per-sample gradients and forward mode, against the dense formula."""
    model = box(3, 9, 2, slices, dtype=torch.float64).eval()
    adapter, x = model.c_attn.adapters["default"], torch.randn(4, 2, 3, dtype=torch.float64)
    own = {name: p.detach() for name, p in model.named_parameters() if "lora_" in name}

    def loss(own, x):
        return torch.func.functional_call(model, own, (x,)).square().sum()

    def dense(own, x):
        adapter.lora_A.data, adapter.lora_B.data = own.values()
        return nn.functional.linear(x, model.c_attn.weight + adapter.delta_weight(), model.c_attn.bias).square().sum()

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(own, x)
    for number in range(len(x)):
        wanted = torch.func.grad(loss)(own, x[number])
        for name, gradient in wanted.items():
            torch.testing.assert_close(each[name][number], gradient)
    hessian = torch.func.hessian(lambda x: loss(own, x))(x[0])
    W = (model.c_attn.weight + adapter.delta_weight()).detach()
    wanted = 2 * torch.einsum("ts,ij->tisj", torch.eye(2, dtype=torch.float64), W.T @ W)
    torch.testing.assert_close(hessian, wanted)
    _, tangent = torch.func.jvp(lambda x: loss(own, x), (x,), (torch.ones_like(x),))
    torch.testing.assert_close(tangent, torch.func.grad(loss, argnums=1)(own, x).sum())
    torch.testing.assert_close(loss(own, x), dense(own, x))


def test_input_is_never_written_to():
    """Trap 21: unsloth writes dX into X."""
    for slices in ("", "qv"):
        model = box(4, 12, 2, slices)
        x = torch.randn(3, 4, requires_grad=True)
        kept = x.detach().clone()
        grad = torch.randn(3, 12)
        kept_grad = grad.clone()
        model(x).backward(grad)
        assert torch.equal(x.detach(), kept) and torch.equal(grad, kept_grad)


def test_dropout_acts_on_the_adapters_input_only_and_not_in_eval():
    """Invariant 9, and trap 22: minLoRA shared one dropout mask among all tokens."""
    model = box(64, 8, 4, dropout=0.5)
    with torch.no_grad():
        layer, adapter = model.c_attn, model.c_attn.adapters["default"]
        x = torch.ones(50, 64)
        base = layer.base_class.forward(layer, x)
        assert torch.equal(model.eval()(x), model(x))
        model.train()
        draws = torch.stack([model(x) for _ in range(200)])  # (200, 50, 8)
        assert (draws[0] - draws[0, :1]).abs().amax(1)[1:].gt(0).all(), "tokens share one mask"
        update = adapter.scaling * x @ adapter.lora_A.T @ adapter.full_B().T
        # x / (1-p) with probability 1-p: unbiased; 10,000 draws
        error = 6 * (draws - base).std() / 10_000**0.5
        assert ((draws - base).mean((0, 1)) - update[0]).abs().max() < error
        adapter.lora_B.zero_()
        assert torch.equal(model(x), base), "dropout touched the base's path"


@pytest.mark.parametrize("conv", [False, True], ids=["Linear", "Conv1D"])
def test_a_layer_costs_few_operations(conv):
    """Views counted. PEFT: 14 forward and 22 backward for a frozen Linear's 4 + 5."""
    import peft

    model = box(8, 12, 2, conv=conv)
    settings = dict(r=2, target_modules=["c_attn"], fan_in_fan_out=conv)
    theirs = peft.get_peft_model(Box(Conv1D(12, 8) if conv else nn.Linear(8, 12)), peft.LoraConfig(**settings))
    x, counts = torch.randn(2, 3, 8, requires_grad=True), []
    for each in (model, theirs):
        with Ops() as forward:
            y = each(x)
        grad = torch.ones_like(y)
        with Ops() as backward:
            torch.autograd.grad(y, [x, *(p for p in each.parameters() if p.requires_grad)], grad)
        counts.append((len(forward.names), len(backward.names)))
    assert counts[0][0] <= 0.75 * counts[1][0] and counts[0][1] <= 0.9 * counts[1][1], counts


def saved_bytes(run) -> int:
    """Bytes that a forward keeps for the backward pass, parameters aside, each storage once."""
    kept = {}

    def pack(tensor):
        if not isinstance(tensor, nn.Parameter) and not isinstance(tensor._base, nn.Parameter):
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        run()
    return sum(kept.values())


@pytest.mark.parametrize(("dtype", "dropout"), [(torch.float32, 0.0), (torch.float32, 0.1), (torch.bfloat16, 0.0)])
@pytest.mark.parametrize("make", [gpt2, llama])
def test_activations_kept_for_backward_are_fewer_than_pefts(make, dtype, dropout):
    import peft

    targets = ["c_attn", "c_proj", "c_fc"] if make is gpt2 else "all-linear"
    ours, theirs = make().to(dtype).train(), make().to(dtype).train()
    lk.inject(ours, LoRAConfig(r=4, dropout=dropout, targets=(targets,) if isinstance(targets, str) else targets))
    settings = dict(r=4, lora_dropout=dropout, target_modules=targets, fan_in_fan_out=make is gpt2)
    theirs = peft.get_peft_model(theirs, peft.LoraConfig(**settings))
    batch = ids(4, 16)
    our_bytes, their_bytes = (saved_bytes(lambda m=m: m(input_ids=batch)) for m in (ours, theirs))
    assert our_bytes <= their_bytes


def test_a_subclass_of_linear_keeps_its_own_forward():
    class Doubled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    model = nn.Sequential(Doubled(4, 4))
    lk.inject(model, LoRAConfig(r=2, targets=("0",)))
    fill(model, "default")
    x = torch.randn(3, 4)
    expected = (
        2 * nn.functional.linear(x, model[0].weight, model[0].bias) + x @ model[0].adapters["default"].delta_weight().T
    )
    torch.testing.assert_close(model(x), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("targets", [("0",), ("0.c_attn.q", "0.c_attn.v")])
def test_a_few_tokens_in_half_precision_go_the_same_way_as_many(dtype, targets):
    """x is cast then, and not A and B: outputs and gradients agree within rounding."""
    block = nn.Sequential()
    block.c_attn = nn.Linear(16, 48)
    model = nn.Sequential(nn.Linear(16, 48) if targets == ("0",) else block).to(dtype)
    lk.inject(model, LoRAConfig(r=2, alpha=4, targets=targets))
    fill(model, "default", size=0.5)
    x = torch.randn(20, 16, generator=torch.Generator().manual_seed(0)).to(dtype)
    found = []
    for parts in ((x,), x.split(3)):  # 3 tokens are at most 2 r
        y = torch.cat([model(part) for part in parts])
        found.append(
            (y, *torch.autograd.grad(y.float().pow(2).mean(), [p for p in model.parameters() if p.requires_grad]))
        )
    for many, few in zip(*found, strict=True):
        assert (many - few).abs().max() <= 8 * torch.finfo(dtype).eps * many.abs().max()
