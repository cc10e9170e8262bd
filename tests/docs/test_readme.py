"""The README's Python runs as written, from top to bottom."""

import re
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def test_readme_code_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 3
    namespace: dict = {}
    for number, code in enumerate(blocks):
        exec(compile(code, f"README.md, block {number}", "exec"), namespace)
    assert namespace["rates"].shape == (8, 64)
    assert namespace["ledger"].macs > 0


def test_readme_names_commands_that_exist():
    from spikeneuro.cli import app

    known = {command.name or command.callback.__name__.rstrip("_") for command in app.registered_commands}
    used = set(re.findall(r"^spikeneuro (\w+)", README.read_text(encoding="utf-8"), re.MULTILINE))
    assert used
    assert used <= known
