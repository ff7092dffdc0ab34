"""Killed at any instant (SIGKILL), or written by two at once, a folder holds the old state or the new one, whole."""

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.support import killing
from tests.support.figures import record, size
from tests.support.processes import figures_of

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked children")
KILLS = size(12, 200)
SAVES = size(25, 1500)  # of each of two processes at once


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The figures that killing.py prints; it fails, and so do these tests, at the first mixture that it meets."""
    found = figures_of(Path(killing.__file__), tmp_path_factory.mktemp("killed"), KILLS, SAVES)
    record("kills", kills=KILLS, **found)
    return found


def test_an_adapter_is_the_old_or_the_new_one_whenever_its_save_is_killed(found):
    random, states = Counter(found["adapter"]["random"]), Counter(found["adapter"]["states"])
    steps = found["adapter"]["steps"]
    assert random["inside"] >= KILLS / 2, "most kills fell into a save"
    assert random["old"] and random["old"] + random["new"] == KILLS, "some came before the rename"
    assert {"open", "os.rename", "fsync"} <= set(steps)
    assert states["between renames"] == 1, "the instant between the two files was hit"
    assert states["old"] + states["new"] == len(steps) and states["old"] and states["new"]


def test_a_first_save_leaves_nothing_or_the_whole_adapter(found):
    random, states = Counter(found["first_adapter"]["random"]), Counter(found["first_adapter"]["states"])
    assert random["nothing"] and random["nothing"] + random["new"] == KILLS
    assert states["nothing"] and states["new"] and not states["old"]


def test_a_training_run_resumes_to_the_same_numbers_whenever_it_is_killed(found):
    random = Counter(found["checkpoint"]["random"])
    assert random["inside"] >= KILLS / 10 and random["old"]
    assert random["old"] + random["new"] == random["inside"]
    assert random["inside"] + random["between saves"] == KILLS, "every kill is counted, and once"
    assert len(found["checkpoint"]["left"]) <= 2, "a checkpoint and an unfinished one"
    assert found["checkpoint"]["after"] == ["checkpoint.safetensors"], "the next save cleans up"


def test_two_savers_and_a_reader_in_one_folder_never_meet_a_mixture(found):
    crowd = found["crowd"]
    assert crowd["seen"]["old"] and crowd["seen"]["new"] and crowd["seen"].keys() <= {"old", "new", "nothing"}
    assert crowd["files"] == ["adapter_config.json", "adapter_model.safetensors"]
