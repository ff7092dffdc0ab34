"""loralib's own files: lora_A and lora_B keys, MergedLinear's layout, and the adapter the paper's authors trained."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import lorakit as lk
from lorakit import LoRAConfig, LoRAError
from tests.support.saving import refused
from tests.support.tiny_models import build, logits


def loralib_tensors(model, config):
    """What lora_state_dict would hold for this model: (n*r, in) and (sum of widths, r) for each target."""
    scratch = lk.inject(model, config)
    torch.manual_seed(2)
    tensors = {}
    for path, layer in scratch._lorakit.layers.items():
        for ab in ("lora_A", "lora_B"):
            parameter = getattr(layer.adapters["default"], ab)
            tensors[f"{path}.{ab}"] = 0.1 * torch.randn(parameter.shape)
    return tensors


@pytest.mark.parametrize("suffix", [".bin", ".pt", ".safetensors"])
@pytest.mark.parametrize(("kind", "targets"), [("gpt2", ("q", "v")), ("llama", ("q", "v")), ("roberta", ("q", "k"))])
def test_a_loralib_file_is_read_with_the_config_it_lacks(kind, targets, suffix, tmp_path):
    config = LoRAConfig(r=2, alpha=6, targets=targets)
    tensors, path = loralib_tensors(build(kind), config), tmp_path / f"lora{suffix}"
    save_file(tensors, path) if suffix == ".safetensors" else torch.save(tensors, path)
    model = build(kind)
    lk.load_adapter(model, path, config=config)
    for where, layer in model._lorakit.layers.items():
        adapter = layer.adapters["default"]
        assert torch.equal(adapter.lora_A, tensors[f"{where}.lora_A"])
        assert torch.equal(adapter.lora_B, tensors[f"{where}.lora_B"])
        assert adapter.scaling == 3


@pytest.mark.parametrize("slices", ["qv", "k", "qkv"])
def test_slices_agree_with_loralib_itself(slices):
    loralib = pytest.importorskip("loralib")
    enabled = [name in slices for name in "qkv"]
    theirs = loralib.MergedLinear(24, 72, r=2, lora_alpha=6, enable_lora=enabled, merge_weights=False)
    nn.init.normal_(theirs.lora_B)
    box = nn.ModuleDict({"c_attn": nn.Linear(24, 72)})
    box["c_attn"].load_state_dict({"weight": theirs.weight, "bias": theirs.bias})
    lk.inject(box, LoRAConfig(r=2, alpha=6, targets=tuple(slices)))
    adapter = box["c_attn"].adapters["default"]
    adapter.lora_A.data.copy_(theirs.lora_A)
    adapter.lora_B.data.copy_(theirs.lora_B)
    x = torch.randn(5, 24)
    torch.testing.assert_close(box["c_attn"](x), theirs(x), rtol=1e-5, atol=1e-5)


def test_a_loralib_file_that_does_not_fit_is_refused(tmp_path):
    """Trap 18's other half: enable_lora is not in the file, so shapes must agree with the config exactly."""
    config, path = LoRAConfig(r=2, targets=("q", "v")), tmp_path / "lora.bin"
    tensors = loralib_tensors(build("gpt2"), config)
    torch.save(tensors, path)
    model = build("gpt2")
    refused(model, path, "neither alpha nor targets")
    refused(model, path, "has shape", config=LoRAConfig(r=4, targets=("q", "v")))
    refused(model, path, "has shape", config=LoRAConfig(r=2, targets=("q",)))
    refused(model, path, "has shape", config=LoRAConfig(r=4, targets=("c_attn",)))
    refused(model, path, "missing: transformer.h.0.mlp", config=LoRAConfig(r=2, targets=("q", "v", "mlp")))
    refused(model, path, "unexpected: transformer.h.0", config=LoRAConfig(r=2, targets=("h.1.attn.c_attn.q",)))
    torch.save({**tensors, "transformer.h.0.attn.c_attn.lora_A": torch.ones(1, 24)}, path)
    refused(model, path, r"has shape \(1, 24\)", config=config)  # must not be broadcast
    torch.save({key: value * float("nan") for key, value in tensors.items()}, path)
    refused(model, path, "not finite", config=config)
    for wrong in ([tensors], {"state": tensors}, torch.zeros(3), {1: torch.zeros(2)}):
        torch.save(wrong, path)
        refused(model, path, "cannot be read|does not fit|not finite", config=config)


def test_config_belongs_to_loralib_files_only(tmp_path):
    with pytest.raises(LoRAError, match="loralib"):
        lk.load_adapter(build("gpt2"), tmp_path, config=LoRAConfig(r=2))


def test_the_authors_mnli_adapter_loads_whole(real_data):
    """RoBERTa-base, r = 8 on query and value, with its classifier: 52 tensors."""
    from transformers import RobertaConfig, RobertaForSequenceClassification

    path = real_data / "roberta-mnli-lora" / "roberta_base_lora_mnli.bin"
    shape = dict(vocab_size=100, max_position_embeddings=40, hidden_size=768, num_hidden_layers=12)
    model = RobertaForSequenceClassification(RobertaConfig(**shape, num_attention_heads=12, num_labels=3)).eval()
    plain, config = logits(model), LoRAConfig(r=8, alpha=16, targets=("q", "v"), modules_to_save=("classifier",))
    lk.load_adapter(model, path, "mnli", config=config)
    state = torch.load(path, map_location="cpu", weights_only=True)
    assert len(state) == 52
    loaded = {name.replace(".adapters.mnli", ""): p for name, p in model.named_parameters()}
    assert all(torch.equal(loaded[key], value) for key, value in state.items())
    assert not torch.equal(logits(model), plain)
    with pytest.raises(LoRAError, match="unexpected: classifier"):
        lk.load_adapter(model, path, "headless", config=LoRAConfig(r=8, targets=("q", "v")))
