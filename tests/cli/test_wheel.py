"""The wheel: everything the demo needs is inside, and the demo imports nothing that an extra installs."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCKED = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"moabb", "mne_bids", "braindecode", "pyriemann", "dask", "distributed"}:
            raise ImportError(f"{name} is blocked: the demo must run on the core install")
sys.meta_path.insert(0, Refuse())
sys.path.insert(0, sys.argv.pop(1))
import spikeneuro
assert ".whl" in spikeneuro.__file__ or "unpacked" in spikeneuro.__file__, spikeneuro.__file__
from spikeneuro.cli import main
sys.exit(main())
"""


@pytest.mark.slow
def test_demo_runs_from_the_wheel_on_the_core_install(tmp_path):
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(tmp_path), str(ROOT)],
                   check=True, capture_output=True)  # fmt: skip
    wheel = next(tmp_path.glob("*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "unpacked")
    for needed in (
        "spikeneuro/py.typed", "spikeneuro/bench/suites/demo.yaml", "spikeneuro/report/template.html.j2",
        "spikeneuro/energy/cost_models/horowitz45-fp32.yaml",
    ):  # fmt: skip
        assert needed in names
    ran = subprocess.run(
        [sys.executable, "-c", BLOCKED, str(tmp_path / "unpacked"), "run", "demo", "--out", "out", "--only",
         "digits/pca-svm"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "pca-svm" in ran.stdout
