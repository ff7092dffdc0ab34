"""The budget."""

import pytest

from lorakit.core.errors import LoRAError
from lorakit.lab.budget import budget, by_budget


def test_the_budget_picks_one_of_three(monkeypatch):
    monkeypatch.delenv("LORAKIT_BUDGET", raising=False)
    assert budget() == "class" and by_budget(1, 2, 3) == 2
    for name, value in (("fast", 1), ("class", 2), ("full", 3)):
        monkeypatch.setenv("LORAKIT_BUDGET", name)
        assert by_budget(1, 2, 3) == value
    monkeypatch.setenv("LORAKIT_BUDGET", "huge")
    with pytest.raises(LoRAError, match="fast, class, full"):
        by_budget(1, 2, 3)
