"""Tables and columns of the store.

Arrays beside a row. Predictions hold ``index`` (sample numbers in the recordings) and ``unit`` (strings), and for
classification ``y_true`` and ``prediction`` (codes 0..k-1) with ``probability`` or else ``decision`` ``(n, k)`` where
the candidate gives one; for regression ``y_true`` and ``prediction``; for labels per step ``confusion`` ``(n, k, k)``,
the counts of each sample with the truth along the rows. A raster holds one uint8 array ``(steps, neurons)`` per spiking
layer, by the layer's name, of the first test sample, and ``__dt__``, the length of a step in seconds or NaN.
"""

VERSION = 2
#: Marks the file as a store of this package ("spkn" in ASCII).
APPLICATION_ID = 0x73706B6E

#: What places a cell in its suite.
COORDINATES = ("experiment", "candidate", "fold", "seed")

#: One row per cell. JSON columns hold lists and dicts; NULL means "not defined here", with the reason in `notes`.
CELL_COLUMNS = {
    "key": "TEXT",
    "suite": "TEXT",
    "experiment": "TEXT",
    "candidate": "TEXT",
    "model": "TEXT",
    "spiking": "INTEGER",  # 0 or 1
    "kind": "TEXT",  # network or pipeline
    "fold": "INTEGER",
    "fold_name": "TEXT",
    "seed": "INTEGER",
    "shuffled": "INTEGER",  # 1: labels were permuted on purpose
    "status": "TEXT",  # ok or failed
    "error": "TEXT",  # traceback
    "started": "TEXT",  # ISO 8601, UTC
    "duration": "REAL",  # seconds
    "n_train": "INTEGER",
    "n_validation": "INTEGER",
    "n_test": "INTEGER",
    "train_groups": "JSON",
    "validation_groups": "JSON",
    "test_groups": "JSON",
    "metrics": "JSON",  # name -> value on the test part of this cell
    "parameters": "INTEGER",
    "bytes": "INTEGER",
    "macs": "REAL",  # effective, per sample
    "acs": "REAL",
    "dense_macs": "REAL",
    "dense_acs": "REAL",
    "other_ops": "JSON",  # kind -> number per sample
    "energy_j": "REAL",  # joules per sample, modelled at 45 nm
    "dense_energy_j": "REAL",
    "cost_model": "TEXT",  # name and fingerprint of the prices behind the two
    "ledger": "JSON",  # list of rows, one per layer
    "spike_rate": "REAL",  # spikes per neuron and step
    "spike_rate_by_layer": "JSON",
    "health": "JSON",
    "train_seconds": "REAL",
    "inference_seconds_per_sample": "REAL",
    "peak_memory_bytes": "INTEGER",
    "history": "JSON",  # one dict per epoch
    "notes": "JSON",  # column or topic -> remark
    "versions": "JSON",
    "machine": "TEXT",  # processor that computed this cell
    "threads": "INTEGER",  # that it might use
    "command": "TEXT",
}

PLAN_COLUMNS = {"key": "TEXT", "experiment": "TEXT", "candidate": "TEXT", "fold": "INTEGER", "seed": "INTEGER"}

EXPERIMENT_COLUMNS = {
    "name": "TEXT",
    "suite": "TEXT",
    "definition": "JSON",
    "description": "TEXT",  # of the data
    "modality": "TEXT",
    "simulated": "INTEGER",
    "n_samples": "INTEGER",
    "shape": "JSON",  # of one sample; lengths that differ are null
    "sfreq": "REAL",
    "classes": "JSON",  # label -> number of samples; null for regression
    "labels": "JSON",  # names of the labels in their order
    "unit": "TEXT",
    "n_units": "INTEGER",
    "n_folds": "INTEGER",
    "data_fingerprint": "TEXT",
    "task": "TEXT",
    "scorer": "TEXT",
    "note": "TEXT",
    "reference": "JSON",
    "audit": "JSON",  # checked, unchecked, findings, allowed
}

RUN_COLUMNS = {
    "suite": "TEXT",
    "title": "TEXT",
    "description": "TEXT",
    "variant": "TEXT",
    "variant_note": "TEXT",  # what the variant leaves out
    "suite_yaml": "TEXT",
    "shuffled": "INTEGER",
    "command": "TEXT",
    "versions": "JSON",
    "machine": "TEXT",  # processor
    "cores": "INTEGER",
    "jobs": "INTEGER",
    "threads": "INTEGER",  # per cell
    "started": "TEXT",
    "ended": "TEXT",  # NULL: interrupted
}


def _table(name: str, columns: dict[str, str], first: str) -> str:
    kinds = {"JSON": "TEXT"}
    body = ", ".join(f"{column} {kinds.get(kind, kind)}" for column, kind in columns.items())
    return f"CREATE TABLE {name} ({first}, {body});"


SCHEMA = " ".join(
    [
        _table("cells", CELL_COLUMNS, "id INTEGER PRIMARY KEY AUTOINCREMENT"),
        "CREATE UNIQUE INDEX cells_by_key ON cells (key);",
        "CREATE INDEX cells_by_place ON cells (experiment, candidate, fold, seed);",
        "CREATE TABLE predictions (key TEXT PRIMARY KEY, data BLOB);",
        "CREATE TABLE rasters (key TEXT PRIMARY KEY, data BLOB);",
        _table("plan", PLAN_COLUMNS, "position INTEGER PRIMARY KEY"),
        _table("experiments", EXPERIMENT_COLUMNS, "position INTEGER PRIMARY KEY"),
        _table("runs", RUN_COLUMNS, "id INTEGER PRIMARY KEY AUTOINCREMENT"),
    ]
)

#: Cells of the plan by state; stale ones have a row at the same place under another key.
COUNTS = """
SELECT
    coalesce(sum(cells.status = 'ok'), 0),
    coalesce(sum(cells.status = 'failed'), 0),
    count(*),
    coalesce(sum(cells.key IS NULL AND EXISTS (
        SELECT 1 FROM cells AS old
        WHERE old.experiment = plan.experiment AND old.candidate = plan.candidate
            AND old.fold = plan.fold AND old.seed = plan.seed
    )), 0)
FROM plan LEFT JOIN cells USING (key)
WHERE (:experiment IS NULL OR plan.experiment = :experiment)
    AND (:candidate IS NULL OR plan.candidate = :candidate)
"""
