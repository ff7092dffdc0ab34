"""Two processes on one machine learn what one process learns."""

import pytest
from safetensors import safe_open

from lorakit.lab.checkpoint import FILE
from tests.support.processes import launch

WORK = """
import json, sys
from tests.support.tiny_models import make_tiny_model
from transformers import AutoTokenizer
import lorakit as lk
from lorakit import lab
from lorakit.lab.many.processes import this_process

# Answers of very different lengths: averaging the processes' means would not give the mean over tokens.
examples = [lab.Example(f"say {c}:", " " + c * (1 + 9 * (n % 2))) for n, c in enumerate("abcdefgh")]
task = lab.Task("t", examples, examples, examples, "share", lambda a, e: {"share": 0.5}, 3)
state = this_process()
assert state.num_processes == int(sys.argv[2])
# Another start in the second process: the main one's has to win.
model = make_tiny_model(dropout=0.0)
lk.inject(model, lk.LoRAConfig(r=2, alpha=4, targets=("q", "v")), name="a", seed=state.process_index)
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1] + "/tokenizer")
folder = sys.argv[1] + "/checkpoint-" + sys.argv[2]
options = dict(batch_size=5, warmup=0, schedule="constant", progress=False, eval_every=2, checkpoint=folder)
lab.fit(model, tokenizer, task, steps=2, **options)
state.wait_for_everyone()
history = lab.fit(model, tokenizer, task, steps=4, resume=True, **options)
out = {"losses": history.losses, "norms": [row["grad_norm"] for row in history.rows]}
out["weights"] = [p.detach().double().sum().item() for p in model.parameters() if p.requires_grad]
open(f"{sys.argv[1]}/{state.num_processes}-{state.process_index}.json", "w").write(json.dumps(out))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_tokenizer):
    folder = tmp_path_factory.mktemp("processes")
    tiny_tokenizer.save_pretrained(folder / "tokenizer")
    return folder


def test_two_processes_of_torchrun_learn_what_one_learns(folder):
    (alone,) = launch(folder, WORK, 1)
    first, second = launch(folder, WORK, 2)
    assert first == second
    assert len(first["losses"]) == 4
    assert first["losses"] == pytest.approx(alone["losses"], rel=1e-5)
    for name, values in alone.items():
        assert first[name] == pytest.approx(values, rel=1e-3, abs=1e-4), name
    # What the two leave behind is the adapter and AdamW's moments for it: 2 layers x (A, B), 512 numbers in all.
    with safe_open(folder / "checkpoint-2" / FILE, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys() if name.startswith("trained|")}  # noqa: SIM118
    assert len(tensors) == 4 and all(".adapters.a.lora_" in name for name in tensors)
    assert sum(tensor.nbytes for tensor in tensors.values()) == 512 * 4
