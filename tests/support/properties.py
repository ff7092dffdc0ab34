"""Which tests check what PEFT's own suite checks of LoRA, by the property's number: read from tools/supported.md."""

import re
from pathlib import Path

TEXT = (Path(__file__).resolve().parents[2] / "tools" / "supported.md").read_text(encoding="utf-8")
PROPERTIES = {int(n): re.findall(r"test_\w+", tests) for n, tests in re.findall(r"^(\d+)\. (`test_.*)$", TEXT, re.M)}
MORE = re.findall(r"^\| `(test_\w+)`", TEXT, re.M)
