"""What a student wrote is kept when its check passes, used on beside the reference, and never in the way."""

import linecache

import pytest
import torch
from torch import nn

from lorakit import by_hand
from lorakit.show.exercises import Check
from lorakit.show.my_lora import FILE, keep_part, my_lora

MINE = """
class LoRALayer(nn.Module):
    def __init__(self, base, r=8, alpha=16):
        super().__init__()
        self.base, self.r, self.alpha, self.scaling = base, r, alpha, alpha / r
        self.lora_A = nn.Parameter(torch.ones(r, weight_of(base).shape[1]))
        self.lora_B = nn.Parameter(torch.zeros(weight_of(base).shape[0], r))

    def forward(self, x):
        return self.base(x)

x = 1
"""


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LORAKIT_WORKBOOK", str(tmp_path))
    monkeypatch.delenv("LORAKIT_STRICT", raising=False)
    return tmp_path


def from_a_cell(source: str, name: str):
    """A function or class defined as a notebook's cell defines it: its source is in linecache, not in a file."""
    linecache.cache["<cell>"] = (len(source), None, source.splitlines(keepends=True), "<cell>")
    found = dict(vars(by_hand))
    exec(compile(source, "<cell>", "exec"), found)
    return found[name]


def test_a_passed_part_is_kept_and_the_rest_uses_it(home, capsys):
    check = Check("99.1", "", lambda answer: None, right=None, wrong={})
    check(from_a_cell(MINE, "LoRALayer"))
    mine = my_lora()
    assert mine.yours == ("LoRALayer",) and "yours: LoRALayer\nfrom" in capsys.readouterr().out
    model = mine.inject(nn.Sequential(nn.Linear(4, 4)), ("0",))
    assert torch.equal(model[0].lora_A, torch.ones(8, 4)), "the reference's inject puts in the student's layer"
    assert (home / FILE).read_text().count("class LoRALayer") == 1 and "x = 1" not in (home / FILE).read_text()
    alone: dict = {}
    exec((home / FILE).read_text(), alone)
    assert alone["put"] and alone["lora_layers"](nn.Linear(2, 2)) == {}, "a file of its own, with what its parts call"


def test_another_answer_replaces_the_older_and_a_wrong_one_is_not_kept(home):
    keep_part(from_a_cell("@torch.no_grad()\ndef answer(model):\n    return model\n", "answer"))
    keep_part(from_a_cell("def weight_of(layer):\n    return layer.weight\n", "weight_of"))
    keep_part(from_a_cell("def weight_of(layer):\n    return layer.weight.T\n", "weight_of"))
    assert (home / FILE).read_text().count("def weight_of") == 1 and "weight.T" in (home / FILE).read_text()
    assert "@torch.no_grad()\ndef answer" in (home / FILE).read_text()

    def refuse(answer):
        raise AssertionError

    Check("99.1", "", refuse, right=None, wrong={})(from_a_cell(MINE, "LoRALayer"))
    assert "class LoRALayer" not in (home / FILE).read_text()


@pytest.mark.parametrize(
    ("text", "told"),
    [("", "nothing yet"), ("def weight_of(layer):\n    raise NotImplementedError\n", "nothing yet"),
     ("def weight_of(layer:\n", "SyntaxError"), ("import no_such_thing\n", "ModuleNotFoundError")],
)  # fmt: skip
def test_by_hand_stands_in_for_what_is_missing_unfinished_or_broken(home, capsys, text, told):
    (home / FILE).write_text(text)
    mine = my_lora()
    assert mine.yours == () and told in capsys.readouterr().out
    assert mine.weight_of(nn.Linear(3, 2)).shape == (2, 3)


def test_a_part_that_leans_on_its_notebook_is_not_right_yet(home):
    leans = from_a_cell("def weight_of(layer):\n    return [turned(x) for x in layer.weight]\n", "weight_of")
    outcome = Check("99.1", "", lambda answer: None, right=None, wrong={})(leans)
    assert not outcome and "`turned` is not in your library" in outcome.message and not (home / FILE).exists()


def test_a_part_that_is_made_inside_a_function_is_right_and_not_kept(home):
    def made():
        def weight_of(layer):
            return layer.weight

        return weight_of

    with pytest.warns(UserWarning, match="define it by itself in a cell"):
        assert Check("99.1", "", lambda answer: None, right=None, wrong={})(made())
    assert not (home / FILE).exists()


def test_a_file_that_is_not_python_is_not_overwritten(home):
    (home / FILE).write_text("def weight_of(layer:\n")
    with pytest.warns(UserWarning, match="is not Python"):
        keep_part(by_hand.weight_of)
    assert (home / FILE).read_text() == "def weight_of(layer:\n"
