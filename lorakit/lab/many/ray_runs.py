"""A sweep's runs as Ray tasks, on every machine of a cluster.

The workers only fine-tune and hand back records; the process that called `sweep` alone writes them to the file.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from lorakit.core.errors import LoRAError

# What a run depends on besides its fields (and every LORAKIT_...): a worker has to see the same data and models. No
# token: Ray shows a task's environment to everyone on the cluster.
ENVIRONMENT = ("HF_HOME", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "TOKENIZERS_PARALLELISM")


def ray_results(runs: list, work: Callable, *, cluster: str, keep: Callable, device) -> Iterator[tuple]:
    """(run, record) as they finish; each is `work(run, keep=folder, device=device, progress=False)` in a Ray worker.

    cluster    what ray.init takes: "auto" (the cluster this machine belongs to), "host:6379", "ray://host:10001", or
               "local" (this machine alone, a run for each core)
    Each run takes one core, and one GPU where the cluster has any, unless `device` is "cpu". On other machines lorakit
    has to be installed, and the folders of keep, LORAKIT_DATA, LORAKIT_MODELS and the like to be reachable.

    A worker that dies is replaced and its run done again, up to three times. Raises the LoRAError of a run, or Ray's
    error; Ray ends runs that have not finished then, as on Ctrl-C or when the caller stops asking.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would ask the network
    try:
        import ray
    except ImportError as error:
        raise LoRAError("a sweep on a cluster needs Ray: `pip install ray`") from error
    seen = {name: value for name, value in os.environ.items() if name.startswith("LORAKIT_") or name in ENVIRONMENT}
    try:
        ray.init(cluster, log_to_driver=False, logging_level="warning", runtime_env={"env_vars": seen})
    except Exception as error:  # a node that does not come up in time is a bare Exception
        raise LoRAError(f"no Ray cluster at {cluster!r} ({error}): start one with `ray start --head`") from error
    try:
        device = None if device is None else str(device).partition(":")[0]  # Ray shows a worker one GPU, number 0
        gpus = int(device != "cpu" and ray.cluster_resources().get("GPU", 0) > 0)
        task = ray.remote(_one).options(num_cpus=1, num_gpus=gpus, max_retries=3)
        waiting = {}
        for run in runs:
            folder = keep(run) and Path(keep(run)).absolute()  # a worker may run in another folder
            waiting[task.remote(work, run, folder, device)] = run
        while waiting:
            (finished,), _ = ray.wait(list(waiting), num_returns=1)
            yield waiting.pop(finished), ray.get(finished)
    except ray.exceptions.RayTaskError as failed:
        raise failed.cause if isinstance(failed.cause, LoRAError) else failed from None
    finally:
        ray.shutdown()


def _one(work: Callable, run, folder: Path | None, device: str | None) -> dict:
    """In the worker: one thread, as Ray counts on one core."""
    torch.set_num_threads(1)
    return work(run, keep=folder, device=device, progress=False)
