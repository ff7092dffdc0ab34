"""The verdict on a student's LoRA: the reference passes everything, an untouched copy nothing, a bug is named."""

import inspect
from importlib.util import find_spec

import pytest

from lorakit import by_hand
from lorakit.chapters.choose_for_real.verdict import PROPERTIES, verdict
from lorakit.show.my_lora import FILE, PARTS, my_lora

SOURCE = inspect.getsource(by_hand)


@pytest.fixture
def handed_in(tmp_path, monkeypatch):
    """A function: write a student's file, and give the module that comes of it."""
    monkeypatch.setenv("LORAKIT_WORKBOOK", str(tmp_path))

    def write(text: str):
        (tmp_path / FILE).write_text(text)
        return my_lora(quiet=True)

    return write


def test_the_reference_passes_all_of_about_twenty(handed_in):
    found = verdict(handed_in(SOURCE))
    expected = {"✓"} if find_spec("peft") else {"✓", "✗"}
    assert len(found) == len(PROPERTIES) >= 20 and set(found["verdict"]) == expected
    assert {part for _, parts, _ in PROPERTIES for part in parts} == set(PARTS), "every part is judged"


@pytest.mark.parametrize("text", ["", "def inject(model:\n"])
def test_nothing_untouched_or_broken_scores_nothing(handed_in, text, capsys):
    assert set(verdict(handed_in(text))["verdict"]) == {"–"}
    assert not text or "SyntaxError" in capsys.readouterr().out


def test_stubs_score_nothing(handed_in):
    stubs = "\n".join(f"def {name}(*args):\n    raise NotImplementedError\n" for name in PARTS)
    assert set(verdict(handed_in(stubs))["verdict"]) == {"–"}


@pytest.mark.parametrize(
    ("right", "bug", "says"),
    [
        ("alpha / r\n", "alpha\n", "alpha without / r"),
        ("torch.zeros(d, r)", "torch.ones(d, r)", "B is not zero"),
        (
            "    model.requires_grad_(False)\n    for path, module in list",
            "    for path, module in list",
            "still train",
        ),
        ("else layer.weight.T", "else layer.weight", "Conv1D stores"),
        ("[-100] * len(prompt_ids) + answer_ids", "prompt_ids + answer_ids", "the prompt is not masked"),
        ("+ [0] * (longest - len(ids))", "+ [1] * (longest - len(ids))", "the attention mask is 1"),
        ("r=first.r, lora_alpha=first.alpha", "r=first.r, lora_alpha=first.r", "was lost on the way"),
        ('path.endswith("." + name)', "path.endswith(name)", "it took `xc_attn` for `c_attn`"),
        ("target_modules=sorted(layers)", 'target_modules=["c_attn"]', "PEFT finds other keys"),
        (" + [tokenizer.eos_token_id]", "", "the end-of-text token is missing"),
        ("layer, W.clone()", "layer, W", "subtracting leaves rounding"),
        ("layer.scaling * layer.lora_B.detach()", "layer.lora_B.detach()", "the scaling is missing"),
    ],
)
def test_a_bug_is_named(handed_in, right, bug, says):
    assert right in SOURCE
    found = verdict(handed_in(SOURCE.replace(right, bug)))
    assert any(says in told for told in found["likely bug"])
    assert (found["verdict"] == "✓").sum() >= 8, "and it costs no more than it touches"
