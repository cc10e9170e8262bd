"""Cells on a Dask cluster: the same rows as in this process."""

import pytest

from spikeneuro import bench
from spikeneuro.bench.store import Store


def rows(folder):
    with Store(folder) as store:
        return [
            (row["key"], row["metrics"], {k: v.tolist() for k, v in store.predictions(row["key"]).items()})
            for row in store.rows(status="ok")
        ]


def test_dask_workers_change_nothing(make_suite, tmp_path):
    distributed = pytest.importorskip("distributed")
    path = make_suite()
    bench.run(path, tmp_path / "serial", progress=False)
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=None) as cluster,
        distributed.Client(cluster),
    ):
        result = bench.run(path, tmp_path / "dask", jobs=2, backend="dask", progress=False)
    assert result.counts["ok"] == result.counts["planned"] == 12
    assert rows(tmp_path / "dask") == rows(tmp_path / "serial")
