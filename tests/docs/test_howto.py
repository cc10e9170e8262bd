"""The code of the how-to pages runs, in order, as a reader would run it.

Blocks whose first line is a comment with a file name are written to that file in the reader's folder; those that are
part of the package's own files are not run. Commands of the shell go through the command line's entry point.
"""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(page for page in (DOCS / "how-to").glob("*.md") if page.stem != "index")
_BLOCK = re.compile(r"^```(python|yaml|bash)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_FILE = re.compile(r"# ([\w./-]+\.(?:py|yaml))\n")


def run_page(page: Path) -> int:
    """Run the blocks of a page and return how many there were."""
    from spikeneuro.cli import app

    namespace: dict = {"__name__": page.stem}
    blocks = _BLOCK.findall(page.read_text(encoding="utf-8"))
    for number, (language, code) in enumerate(blocks):
        name = _FILE.match(code)
        if name and name[1].startswith("spikeneuro/"):
            continue
        if name:
            Path(name[1]).write_text(code)
        elif language == "python":
            exec(compile(code, f"{page.name}, block {number}", "exec"), namespace)
        elif language == "bash":
            for line in code.splitlines():
                program, *arguments = shlex.split(line)
                assert program == "spikeneuro", f"{page.name}: {line}"
                result = CliRunner().invoke(app, arguments, catch_exceptions=False)
                assert result.exit_code == 0, result.output
    return len(blocks)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_runs(page, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert run_page(page) > 0


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "how-to" / "index.md").read_text(encoding="utf-8")
    listed = re.search(r"```{toctree}\n(.*?)```", index, re.DOTALL)[1].split()
    assert sorted(listed) == [page.stem for page in PAGES]
