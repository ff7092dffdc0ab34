"""Two processes on one machine learn what one process learns."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

WORK = """
import json, sys
sys.path.insert(0, "tests")
from conftest import make_tiny_model
from transformers import AutoTokenizer
import lorakit as lk
from lorakit import lab
from accelerate import PartialState

state = PartialState(cpu=True)
assert state.num_processes == int(sys.argv[2])
# Answers of very different lengths: averaging the processes' means would not give the mean over tokens.
examples = [lab.Example(f"say {c}:", " " + c * (1 + 9 * (n % 2))) for n, c in enumerate("abcdefgh")]
task = lab.Task("t", examples, examples, examples, "share", lambda a, e: {"share": 0.5}, 3)
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


def launch(folder: Path, processes: int) -> list[dict]:
    root = Path(__file__).resolve().parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    (folder / "work.py").write_text(WORK)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--standalone"]
    if processes == 1:
        command = [sys.executable]
    command += [str(folder / "work.py"), str(folder), str(processes)]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads((folder / f"{processes}-{index}.json").read_text()) for index in range(processes)]


def test_two_processes_learn_what_one_learns(tiny_tokenizer, tmp_path):
    tiny_tokenizer.save_pretrained(tmp_path / "tokenizer")
    (alone,) = launch(tmp_path, 1)
    first, second = launch(tmp_path, 2)
    assert first == second
    assert len(first["losses"]) == 4
    for name, values in alone.items():
        assert first[name] == pytest.approx(values, rel=1e-3, abs=1e-4), name
