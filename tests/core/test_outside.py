"""What people bring along: modules replaced later, offloading, quantized bases, experts, other tools' way of saving.

PEFT is the oracle wherever it handles the same thing.
"""

import copy
import warnings

import pytest
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn

import lorakit as lk
from lorakit import LoRAError
from tests.support.llama import IDS, adapted, llama, logits

# --- modules replaced after inject -------------------------------------------------------------------------------

REPLACED = {
    "resized vocabulary": (dict(targets=("q", "lm_head")), lambda m: m.resize_token_embeddings(72)),
    "resized, trained whole": (
        dict(modules_to_save=("embed_tokens", "lm_head")), lambda m: m.resize_token_embeddings(72)),
    "a new head": (dict(targets=("q", "lm_head")), lambda m: setattr(m, "lm_head", nn.Linear(64, 3))),
    "dropped layers": ({}, lambda m: setattr(m.model, "layers", m.model.layers[:1])),
    "swapped layers": ({}, lambda m: setattr(m.model, "layers", nn.ModuleList(reversed(m.model.layers)))),
    "a projection": ({}, lambda m: setattr(m.model.layers[0].self_attn, "q_proj", nn.Linear(64, 64))),
}  # fmt: skip
VERBS = {
    "save": lambda m, to: lk.save_adapter(m, to),
    "merge": lambda m, to: lk.merge(m),
    "switch": lambda m, to: lk.set_adapter(m, "default"),
    "scale": lambda m, to: lk.set_scale(m, 0.5),
    "using": lambda m, to: lk.using(m, ["default", None]).__enter__(),
    "delete": lambda m, to: lk.delete_adapter(m, "default"),
    "add": lambda m, to: lk.inject(m, lk.LoRAConfig(targets=("o",)), name="b"),
}


@pytest.mark.parametrize("fields, replace", REPLACED.values(), ids=REPLACED)
def test_every_verb_names_a_module_that_was_replaced_and_nothing_is_saved(fields, replace, tmp_path):
    model = adapted(**fields)
    replace(model)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    for verb in VERBS.values():
        with pytest.raises(LoRAError, match=r"(lm_head|embed_tokens|layers\.\S*) was replaced since it was adapted"):
            verb(model, tmp_path)
    assert not list(tmp_path.iterdir())
    after = model.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)
    lk.set_adapter(model, None)
    bare = logits(model)
    lk.eject(model)
    assert torch.equal(logits(model), bare)


# --- bases that others manage ------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["inject", "offload"])
def test_offloaded_by_accelerate_it_computes_the_same(first, tmp_path):
    from accelerate import cpu_offload

    model = adapted()
    want = logits(model)
    lk.save_adapter(model, tmp_path)
    if first == "inject":
        model = cpu_offload(model, execution_device="cpu")
    else:
        model = lk.load_adapter(cpu_offload(llama(), execution_device="cpu"), tmp_path)
    peft = cpu_offload(PeftModel.from_pretrained(llama(), tmp_path).eval(), execution_device="cpu")
    for _ in range(3):
        assert torch.equal(logits(model), want)
    torch.testing.assert_close(logits(peft), want)
    with lk.using(model, None):
        assert torch.equal(logits(model), logits(llama()))
    with pytest.raises(LoRAError, match="offloaded by accelerate, which would bring the old one back"):
        lk.merge(model)
    if first == "inject":
        with pytest.raises(LoRAError, match="accelerate keeps these adapters elsewhere"), lk.using(model, ["default"]):
            pass
    else:
        with lk.using(model, ["default", None]):
            torch.testing.assert_close(logits(model)[0], want[0])
        lk.eject(model)
        assert torch.equal(logits(model), logits(llama()))


def test_a_base_loaded_with_a_device_map_takes_adapters(tmp_path):
    llama().save_pretrained(tmp_path / "base")
    lk.save_adapter(adapted(), tmp_path / "adapter")
    device_map = {"model.embed_tokens": "cpu", "model.layers.0": "cpu", "model.layers.1": "disk", "model.norm": "cpu",
                  "model.rotary_emb": "cpu", "lm_head": "cpu"}  # fmt: skip
    base = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "base", device_map=device_map, offload_folder=tmp_path / "disk"
    ).eval()
    torch.testing.assert_close(logits(lk.load_adapter(base, tmp_path / "adapter")), logits(adapted()))


def test_replicas_of_data_parallel_are_refused():
    layer = lk.inject(nn.Sequential(nn.Linear(4, 4)), lk.LoRAConfig(r=1, targets=("0",)))[0]
    with pytest.raises(LoRAError, match="DistributedDataParallel"):
        layer._replicate_for_data_parallel()


# --- quantized bases ---------------------------------------------------------------------------------------------


def bitsandbytes(folder, **how):
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    if not (folder / "config.json").is_file():
        llama().save_pretrained(folder)
    config = transformers.BitsAndBytesConfig(**how)
    return transformers.AutoModelForCausalLM.from_pretrained(folder, quantization_config=config).eval()


def torchao(folder):
    quantization = pytest.importorskip("torchao.quantization", reason="torchao is not installed")
    model = llama()
    quantization.quantize_(model, quantization.Int8WeightOnlyConfig())
    return model


QUANTIZED = {
    "4 bit": lambda folder: bitsandbytes(folder, load_in_4bit=True, bnb_4bit_compute_dtype=torch.float32),
    "8 bit": lambda folder: bitsandbytes(folder, load_in_8bit=True),
    "torchao int8": torchao,
}


@pytest.mark.parametrize("base", QUANTIZED.values(), ids=QUANTIZED)
def test_a_quantized_base_trains_takes_rows_saves_for_peft_and_refuses_to_merge(base, tmp_path):
    model = lk.inject(base(tmp_path / "base"), lk.LoRAConfig(r=4, alpha=8, targets=("q", "v")))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(6):
        losses.append(model.train()(input_ids=IDS, labels=IDS).loss)
        losses[-1].backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < losses[0]
    alone = logits(model.eval())
    with lk.using(model, ["default", None]):
        rows = logits(model)
    torch.testing.assert_close(rows[0], alone[0], atol=1e-5, rtol=1e-4)
    lk.save_adapter(model, tmp_path / "adapter")
    peft = PeftModel.from_pretrained(base(tmp_path / "base"), tmp_path / "adapter").eval()
    torch.testing.assert_close(alone, logits(peft), atol=1e-4, rtol=1e-3)
    with pytest.raises(LoRAError, match="is computed or quantized"):
        lk.merge(model)


# --- adapters without effect, experts -----------------------------------------------------------------------------


def test_what_a_model_computes_with_without_calling_it_is_refused():
    sizes = dict(vocab_size=32, hidden_size=16, num_hidden_layers=1, state_size=4)
    mamba = transformers.MambaForCausalLM(transformers.MambaConfig(**sizes))
    for target in ("out_proj", "x_proj", "dt_proj"):
        with pytest.raises(LoRAError, match="MambaMixer takes its weight and computes with that by itself"):
            lk.inject(mamba, lk.LoRAConfig(r=2, targets=(target,)))
    lk.inject(mamba, lk.LoRAConfig(r=2, targets=("in_proj",)))  # is called
    attention = nn.TransformerEncoderLayer(16, 2, batch_first=True)
    with pytest.raises(LoRAError, match="MultiheadAttention takes its weight"):
        lk.inject(nn.ModuleDict({"a": attention.self_attn}), lk.LoRAConfig(r=2, targets=("out_proj",)))
    with pytest.raises(LoRAError, match="set_fastpath_enabled"):
        lk.inject(attention, lk.LoRAConfig(r=2, targets=("linear1",)))
    with pytest.raises(LoRAError, match="would have no effect"):
        lk.inject(attention, lk.LoRAConfig(r=2, targets=("linear1",), modules_to_save=("out_proj",)))


def test_experts_in_one_tensor_are_said_to_be_left_out_and_a_tiny_gate_names_rank_pattern():
    sizes = dict(vocab_size=64, hidden_size=32, intermediate_size=48, num_attention_heads=4, moe_intermediate_size=16)
    sizes |= dict(num_experts_per_tok=2, num_key_value_heads=4)
    deepseek = transformers.DeepseekV2ForCausalLM(transformers.DeepseekV2Config(
        **sizes, num_hidden_layers=2, q_lora_rank=16, kv_lora_rank=16, qk_nope_head_dim=8, qk_rope_head_dim=8,
        v_head_dim=8, n_routed_experts=4, first_k_dense_replace=1,
    ))  # fmt: skip
    with pytest.warns(UserWarning, match=r"layers\.1\.mlp\.experts holds its experts' weights in one tensor"):
        lk.inject(deepseek, lk.LoRAConfig(r=4, targets=("mlp",)))
    shared = deepseek.model.layers[1].mlp.shared_experts.gate_proj
    assert "default" in shared.adapters, "not the dense layer alone"
    sizes |= dict(num_hidden_layers=1, num_experts=4, shared_expert_intermediate_size=24)
    qwen = transformers.Qwen2MoeForCausalLM(transformers.Qwen2MoeConfig(**sizes))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(LoRAError, match='rank_pattern={"shared_expert_gate": 1}'):
            lk.inject(qwen, lk.LoRAConfig(r=4, targets=("all-linear",)))
        lk.inject(qwen, lk.LoRAConfig(r=4, targets=("all-linear",), rank_pattern={"shared_expert_gate": 1}))


def test_a_model_that_peft_has_wrapped_is_refused():
    with pytest.raises(LoRAError, match="PEFT has wrapped"):
        lk.inject(get_peft_model(llama(), LoraConfig(target_modules=["q_proj"])), lk.LoRAConfig(targets=("v_proj",)))


# --- a weighted sum ----------------------------------------------------------------------------------------------


def two_adapters():
    model = adapted(name="a")
    return adapted(model, name="b", r=2, alpha=8, targets=("q", "o"))


def test_combine_is_pefts_cat_and_the_sum_of_the_updates(tmp_path):
    model = two_adapters()
    for name in "ab":
        lk.save_adapter(model, tmp_path / name, name=name)
    layers = model._lorakit.layers
    weights = {"a": 0.7, "b": -0.3}
    want = {path: sum(w * m.adapters[n].delta_weight() for n, w in weights.items() if n in m.adapters)
            for path, m in layers.items()}  # fmt: skip
    lk.combine(model, weights, "both")
    assert lk.active_adapter(model) == "both"
    for path, layer in layers.items():
        torch.testing.assert_close(layer.adapters["both"].delta_weight(), want[path], atol=1e-6, rtol=0)
    peft = PeftModel.from_pretrained(llama(), tmp_path / "a", adapter_name="a")
    peft.load_adapter(tmp_path / "b", "b")
    lk.save_adapter(model, tmp_path / "both")
    read = PeftModel.from_pretrained(llama(), tmp_path / "both").eval()
    torch.testing.assert_close(logits(read), logits(model), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(logits(lk.load_adapter(llama(), tmp_path / "both")), logits(model))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peft.add_weighted_adapter(["a", "b"], [0.7, -0.3], "cat", combination_type="cat")
    peft.set_adapter("cat")
    torch.testing.assert_close(logits(peft.eval()), logits(model), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "weights, name, says",
    [
        ({}, "c", "finite numbers by adapter"), ({"a": float("nan")}, "c", "finite numbers by adapter"),
        (["a"], "c", "finite numbers by adapter"), ({"a": 1, "x": 1}, "c", "no adapter named 'x'"),
        ({"a": 1}, "b", "already has an adapter named 'b'"), ({"a": 1}, "no.name", "an adapter's name"),
    ],
)  # fmt: skip
def test_what_cannot_be_combined_is_refused_and_changes_nothing(weights, name, says):
    model = two_adapters()
    with pytest.raises(LoRAError, match=says):
        lk.combine(model, weights, name)
    assert lk.adapter_names(model) == ["a", "b"] and lk.active_adapter(model) == "b"
    with pytest.raises(LoRAError, match="lk.combine"):
        lk.set_adapter(model, ["a", "b"])


# --- save_pretrained ---------------------------------------------------------------------------------------------


def test_saving_an_adapted_model_whole_is_loud_and_its_folder_is_known(tmp_path):
    model = adapted()
    args = transformers.TrainingArguments(tmp_path / "run", report_to=[], use_cpu=True)
    with pytest.warns(UserWarning, match="lk.save_adapter, or call lk.merge"):
        transformers.Trainer(copy.deepcopy(model), args).save_model(tmp_path / "whole")
    with pytest.raises(LoRAError, match="only: .*model.safetensors"):
        lk.load_adapter(llama(), tmp_path / "whole")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        want = logits(model)
        lk.merge(model)
        model.save_pretrained(tmp_path / "merged")
    torch.testing.assert_close(logits(transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "merged")), want)
    lk.unmerge(model)
    lk.eject(model)
    assert "save_pretrained" not in vars(model)
