"""Thousands of damaged adapters: each is refused with the model unchanged, or loads exactly what its bytes say.

Replay one case: LORAKIT_FUZZ_CASE=1234 python -m pytest tests/robustness/test_fuzz_adapters.py
"""

import contextlib
import io
import json
import os
import re
import shutil
import signal
import time
from collections import Counter
from pathlib import Path
from random import Random

import pytest
import torch
from safetensors.torch import load

import lorakit as lk
from tests.support import fuzz_mutations as mutations
from tests.support.figures import record, size
from tests.support.fuzz_originals import Original, originals
from tests.support.saving import CONFIG, WEIGHTS
from tests.support.tiny_models import assert_same, build, fill, logits, same_bits, snapshot

CASES = size(bounded=600, full=20_000)
SLOWEST = 5.0  # seconds that one load may take, on a machine with other work to do
PREFIX = "base_model.model."
NAMES = ["../other", "/etc", "", ".", "a/b", "a\0b", "x" * 5000, "forward", "é", None, 3]


class Bench:
    """A model of each kind with one adapter of its own, and what each whole original loads as."""

    def __init__(self, place: Path):
        self.folder, self.originals = place / "adapter", originals(canary=place / "canary")
        self.models, self.before, self.outputs, self.whole = {}, {}, {}, {}
        for name, original in self.originals.items():
            if original.kind not in self.models:
                model = lk.inject(build(original.kind), lk.LoRAConfig(r=2, targets=("o", "mlp")), "old")
                fill(model, "old", seed=3)
                self.models[original.kind] = model
                self.before[original.kind], self.outputs[original.kind] = snapshot(model), logits(model)
            write(self.folder, original.files)
            self.load(original)
            self.whole[name] = held(self.models[original.kind])
            self.unload(original)

    def load(self, original: Original, name="new") -> None:
        place = self.folder / original.weights if original.writer == "loralib" else self.folder
        lk.load_adapter(self.models[original.kind], place, name, **original.options)

    def unload(self, original: Original) -> None:
        lk.delete_adapter(self.models[original.kind], "new")
        lk.set_adapter(self.models[original.kind], "old")

    def check_unchanged(self, original: Original) -> None:
        model = self.models[original.kind]
        assert_same(self.before[original.kind], snapshot(model))
        assert same_bits(self.outputs[original.kind], logits(model)), "the outputs have changed"
        assert not os.path.exists(original.canary), "a pickle was executed"


def held(model) -> dict:
    """All that decides what the adapter "new" computes."""
    found = {}
    for path, layer in model._lorakit.layers.items():
        if "new" in layer.adapters:
            adapter = layer.adapters["new"]
            values = (adapter.lora_A.detach().clone(), adapter.lora_B.detach().clone())
            found[path] = (*values, adapter.scaling, adapter.slices, adapter.r)
    for path, module in model._lorakit.parts_of("new", model._lorakit.saved).items():
        found[path] = tuple(value.clone() for value in module.state_dict().values())
    return found


def equal(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(
        len(a) == len(b)
        and all(same_bits(x, y) if isinstance(x, torch.Tensor) else x == y for x, y in zip(a, b, strict=True))
        for a, b in ((one[path], other[path]) for path in one)
    )


def as_written(original: Original, files: dict, model) -> bool:
    """Is what "new" holds what a plain reading of the bytes says? For files that carry no checksum."""
    files = {name: files[data[5:]] if str(data).startswith("link:") else data for name, data in files.items()}
    loaded = held(model)
    if original.writer == "loralib":
        said = torch.load(io.BytesIO(files[original.weights]), weights_only=True)
        expected = {path: (said[f"{path}.lora_A"].float(), said[f"{path}.lora_B"].float()) for path in loaded}
        loaded = {path: values[:2] for path, values in loaded.items() if values[2] == 3.0}
        return equal(loaded, expected)
    fields, said = json.loads(files[CONFIG]), load(files[WEIGHTS])
    said = {key.removeprefix(PREFIX).replace(".default.weight", ".weight"): value for key, value in said.items()}
    expected = {}
    for key in [key for key in said if ".lora_A." in key]:
        path = key.removesuffix(".lora_A.weight")
        A, B = said.pop(key), said.pop(key.replace("lora_A", "lora_B"))
        patterns = (fields.get("alpha_pattern") or {}).items()
        fitting = (value for pattern, value in patterns if re.match(rf"(.*\.)?({pattern})$", path))
        r, alpha = A.shape[0], next(fitting, fields.get("lora_alpha", 8))
        scaling = alpha / r**0.5 if fields.get("use_rslora") else alpha / r
        expected[path] = (A.float(), B.float(), pytest.approx(scaling, rel=1e-12), (), r)
    for path, module in model._lorakit.parts_of("new", model._lorakit.saved).items():
        expected[path] = tuple(said.pop(f"{path}.{key}").to(own.dtype) for key, own in module.state_dict().items())
    return not said and equal(loaded, expected)


def checksummed(original: Original, files: dict) -> bool:
    """Does the file still say that it is lorakit's?"""
    if original.writer != "lorakit":
        return False
    data = files[WEIGHTS] if isinstance(files[WEIGHTS], bytes) else files["blob"]
    return b"lorakit" in data[: 8 + int.from_bytes(data[:8], "little")]


def write(folder: Path, files: dict) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, data in files.items():
        if isinstance(data, bytes):
            (folder / name).write_bytes(data)
        elif data == "folder":
            (folder / name).mkdir()
        elif data == "pipe":
            os.mkfifo(folder / name)
        else:
            (folder / name).symlink_to(data.removeprefix("link:"))


def damage(bench: Bench, rng: Random) -> tuple[str, Original, dict, str]:
    name = rng.choice(sorted(bench.originals))
    original = bench.originals[name]
    files, done = dict(original.files), []
    for _ in range(2 if rng.random() < 0.15 else 1):
        mutation = rng.choice(mutations.ANY + (mutations.FILES if original.writer == "loralib" else mutations.FOLDERS))
        with contextlib.suppress(*((Exception,) if done else ())):  # a second one may find nothing left to damage
            mutation(rng, files, original)
            done.append(mutation.__name__)
    return name, original, files, " + ".join(done)


def one_case(bench: Bench, case: int) -> tuple[str, str, float]:
    """Damage, load, judge: (kind of damage, what came of it, seconds)."""
    rng = Random(f"lorakit {case}")
    name, original, files, kind = damage(bench, rng)
    adapter = rng.choice(NAMES) if rng.random() < 0.02 else "new"
    write(bench.folder, files)
    start = time.perf_counter()
    try:
        bench.load(original, adapter)
        outcome = "loaded"
    except lk.LoRAError as error:
        outcome, message = "refused", str(error)
    seconds = time.perf_counter() - start
    assert seconds < SLOWEST, f"took {seconds:.1f} s"
    if outcome == "refused":
        assert 20 < len(message) <= 2000 and message.replace("\n", "").isprintable(), repr(message)
    else:
        model = bench.models[original.kind]
        if equal(held(model), bench.whole[name]):
            outcome = "harmless"
        else:
            assert not checksummed(original, files), "a changed file of lorakit's own loaded"
            assert as_written(original, files, model), "loaded something else than the bytes say"
            outcome = "as written"
        bench.unload(original)
    bench.check_unchanged(original)
    return kind, outcome, seconds


def late(*_):
    raise TimeoutError("a load that waits for ever")


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="pipes, links and an alarm: POSIX")
@pytest.mark.filterwarnings("ignore")
def test_every_damaged_adapter_is_refused_or_loads_exactly_what_it_says(tmp_path):
    resource = pytest.importorskip("resource")
    bench = Bench(tmp_path)
    only = os.environ.get("LORAKIT_FUZZ_CASE")
    start_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    kinds, outcomes, slowest = Counter(), Counter(), 0.0
    handler = signal.signal(signal.SIGALRM, late)
    try:
        for case in [int(only)] if only else range(CASES):
            signal.alarm(60)
            kind, outcome, seconds = one_case(bench, case)
            kinds.update(kind.split(" + "))
            outcomes[outcome] += 1
            slowest = max(slowest, seconds)
    except Exception as error:
        what = damage(bench, Random(f"lorakit {case}"))[::3]
        pytest.fail(f"case {case} ({what}): {type(error).__name__}: {error}")
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start_kib) / 1024
    if only:
        return
    assert outcomes["refused"] > CASES / 2 and outcomes["harmless"] > CASES / 50, outcomes  # the damage is real
    assert grown < 512, f"{grown:.0f} MiB more than before"
    found = {outcome.replace(" ", "_"): outcomes[outcome] for outcome in ("refused", "harmless", "as written")}
    found |= {"kinds": dict(sorted(kinds.items())), "slowest_s": round(slowest, 3), "peak_mib": round(grown, 1)}
    record("hostile", cases=CASES, **found)
    print(found)
