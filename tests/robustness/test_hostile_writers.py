"""Several processes save to one folder while others load from it: always one whole adapter, never a mixture."""

import os
import subprocess
import sys

import pytest

from tests.support.figures import size
from tests.support.processes import environment_of_children

SAVES = size(bounded=60, full=1500)  # of each of two savers

CROWD = """
import os, sys
from collections import Counter
import torch
torch.set_num_threads(1)
from tests.files.test_save_load import build, lk, logits, same_bits, two_versions
models = two_versions()
expected = {name: logits(model) for name, model in models.items()}
folder, saves = sys.argv[1], int(sys.argv[2])
children = []
for model in models.values():
    child = os.fork()
    if child == 0:
        for _ in range(saves):
            lk.save_adapter(model, folder)
        os._exit(0)
    children.append(child)
seen, reader = Counter(), build("gpt2")
while children:
    child, status = os.waitpid(-1, os.WNOHANG)
    if child:
        assert status == 0
        children.remove(child)
    try:
        lk.load_adapter(reader, folder)
    except lk.LoRAError as error:
        seen["not there yet" if "no adapter in" in str(error) else f"refused: {error}"] += 1
        continue
    found = [name for name, value in expected.items() if same_bits(logits(reader), value)]
    assert len(found) == 1, "a mixture"
    seen[found[0]] += 1
    lk.eject(reader)
print(dict(seen), sorted(os.listdir(folder)))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_two_savers_and_a_reader_in_one_folder_never_meet_a_mixture(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", CROWD, str(tmp_path / "shared"), str(SAVES)],
        env=environment_of_children(),
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    print(done.stdout)
    assert "'old'" in done.stdout and "'new'" in done.stdout
    assert "refused" not in done.stdout
    assert done.stdout.strip().endswith("['adapter_config.json', 'adapter_model.safetensors']")
