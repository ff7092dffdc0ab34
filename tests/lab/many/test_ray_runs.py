"""A sweep on Ray writes what an ordinary sweep writes, goes on where it stopped, and survives a worker's death."""

import json
import os
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from lorakit.core.errors import LoRAError
from lorakit.lab import sweep
from lorakit.lab.many.ray_runs import ray_results
from lorakit.lab.sweep import Run


@pytest.fixture(scope="module")
def cluster():
    """The address of a Ray of two workers. Not in tmp_path: its sockets' paths may have 107 characters."""
    folder = tempfile.mkdtemp(prefix="r", dir="/tmp" if Path("/tmp").is_dir() else None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", folder)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")  # by default its workers stand back behind everything else
        pytest.importorskip("ray", reason="Ray is not installed: pip install ray")
        from ray.cluster_utils import Cluster

        started = start_head(Cluster)
        yield started.address
        started.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


def start_head(cluster):
    """Ray gives its helper processes 15 seconds (its issue 65983), too few beside other tests on two cores: again."""
    lean = {"include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
    for _ in range(3):
        try:
            return cluster(
                initialize_head=True, head_node_args={"num_cpus": 2, "object_store_memory": 100_000_000, **lean}
            )
        except Exception as error:  # what it raises is a bare Exception
            failed = error
            if "timed out during startup" not in str(error):
                raise
    pytest.skip(f"Ray did not start on this machine, three times: {failed}")


@pytest.fixture(scope="module")
def runs(make_tiny, tiny_tokenizer, tmp_path_factory):
    """Four fine-tunings of one step each, on a base and functions that the workers read from disk."""
    base = tmp_path_factory.mktemp("tiny")
    make_tiny(dropout=0.0, context=320).save_pretrained(base)
    tiny_tokenizer.save_pretrained(base)
    one = Run(task="python", base=str(base), method="lora", r=2, alpha=4, targets=("q", "v"), lr=1e-2, steps=1)
    return [replace(one, batch_size=2, precision="no", seed=seed) for seed in range(4)]


def test_a_sweep_on_ray_stopped_half_way_goes_on_to_an_ordinary_ones_records(cluster, runs, tmp_path, monkeypatch):
    file, append = tmp_path / "rows.jsonl", sweep.append

    def stops_after_two(file, *rows):
        append(file, *rows)
        if len(sweep.read(file)) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(sweep, "append", stops_after_two)
    with pytest.raises(KeyboardInterrupt):
        sweep.sweep(runs, file, cluster=cluster, progress=False)
    first = file.read_text()
    assert len(sweep.read(file)) == 2
    monkeypatch.setattr(sweep, "append", append)
    adapters = tmp_path / "adapters"
    sweep.sweep(runs, file, cluster=cluster, progress=False, keep=lambda run: adapters / str(run.seed))
    assert file.read_text().startswith(first) and len(sweep.read(file)) == 4, "finished runs are not done again"
    assert len(list(adapters.glob("*/adapter_model.safetensors"))) == 2
    rows = json.loads(json.dumps(sweep.sweep(runs, file, progress=False)))
    ordinary = json.loads(json.dumps(sweep.sweep(runs, tmp_path / "ordinary.jsonl", progress=False)))
    for row, other in zip(rows, ordinary, strict=True):
        assert row.keys() == other.keys()
        assert row["run"] == other["run"] and row["trainable"] == other["trainable"]
        for split in ("validation", "test"):
            assert row["metrics"][split] == pytest.approx(other["metrics"][split], rel=1e-5)
    assert {row["threads"] for row in rows} == {1}


def test_a_run_that_cannot_be_done_ends_the_sweep_with_its_reason(cluster, runs, tmp_path):
    file = tmp_path / "rows.jsonl"
    with pytest.raises(LoRAError, match="the base model './absent' could not be loaded") as caught:
        sweep.sweep([replace(runs[0], base="./absent")], file, cluster=cluster, progress=False)
    assert "Traceback" not in str(caught.value)
    assert sweep.read(file) == []


def test_a_run_whose_worker_died_is_done_again(cluster, tmp_path):
    def dies_once(run, *, keep, device, progress):
        if not (tmp_path / "died").exists():
            (tmp_path / "died").touch()
            os._exit(1)
        return {"run": run}

    assert list(_results(cluster, [7], dies_once)) == [(7, {"run": 7})]


def test_workers_see_this_process_s_data_and_no_token(cluster, monkeypatch):
    monkeypatch.setenv("LORAKIT_BUDGET", "fast")
    monkeypatch.setenv("HF_TOKEN", "secret")

    def look(run, *, keep, device, progress):
        import lorakit.lab

        names = ("LORAKIT_BUDGET", "HF_HUB_OFFLINE", "HF_TOKEN")
        return {name: os.environ.get(name) for name in names} | {"lorakit": lorakit.lab.__file__}

    ((_, seen),) = _results(cluster, [0], look)
    import lorakit.lab

    assert seen["LORAKIT_BUDGET"] == "fast" and seen["HF_HUB_OFFLINE"] == "1"
    assert seen["HF_TOKEN"] is None
    assert seen["lorakit"] == lorakit.lab.__file__


def _results(cluster, runs, work):
    return ray_results(runs, work, cluster=cluster, keep=lambda run: None, device=None)


def test_without_ray_the_error_says_what_to_install(runs, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(LoRAError, match="pip install ray"):
        sweep.sweep(runs[:1], tmp_path / "rows.jsonl", cluster="auto", progress=False)
