"""Trained networks as spikes: accuracy and energy of a few steps by method, and the layers in which errors arise.

    python benchmarks/conversion/run.py digits --cache DIR
    python benchmarks/conversion/run.py dementia --cache DIR

write tables and a picture of the case into this folder (or --out), and the page of all cases in it.

digits: `cnn2d` on 55 000 of the 60 000 MNIST training images, shifted by up to two pixels at random, 12 epochs; 5 000
training images are for validation, the 10 000 test images are used once. dementia: `cnn2d` as the suite image_dementia
trains it, split by person into four folds, for every seed.

Everything that is chosen (the method, the number of epochs) is chosen on the validation part. All methods convert the
same ReLU network, "qcfs" after tuning it with quantised activations. Accuracies are compared with the ReLU network's,
modelled energies with those of the ReLU network whose batch normalisation is folded. Trained networks and answers are
kept under --cache, so that an interrupted run goes on; empty it when code that matters has changed. On one core it
takes minutes for dementia, half an hour for digits.
"""

import argparse
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from spikeneuro import NeuroClassifier, energy, models
from spikeneuro._files import writable, write_atomic
from spikeneuro._random import scoped_seed
from spikeneuro.data.splits import folds, make_splitter
from spikeneuro.report import plots
from spikeneuro.training import conversion_report, convert, correct_offsets, fold_batchnorm, with_qcfs
from spikeneuro.training.conversion import ConvertedNetwork

sys.path.insert(0, str(Path(__file__).parents[1] / "datasets"))

STEPS = (2, 4, 8, 16, 32, 64)
#: Steps for which networks are corrected and the method is chosen.
FEW = 8
PRICES = "horowitz45-fp32"
#: Scale, and whether the initial membranes are corrected; the number of "qcfs" is its levels.
METHODS = (
    "percentile 99.9, offsets", "percentile 99.9", "qcfs 8", "percentile 99", "percentile 99, offsets", "max",
    "qcfs 8, offsets", "qcfs 4", "qcfs 16",
)  # fmt: skip
#: Samples for scales and offsets, for the layer report and for the ledger.
CALIBRATION, REPORTED, COUNTED = 1000, 500, 32
#: Epochs and learning rate of the tuning with quantised activations; none is picked among the epochs.
TUNING = {"digits": (1, 1e-3), "dementia": (4, 5e-4)}


@dataclass
class Case:
    """A trained network and its data, scaled as it takes them."""

    name: str
    seed: int
    fold: int
    ann: nn.Module
    train: tuple[Tensor, Tensor]
    valid: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    #: Whom a test sample is of: intervals are over these.
    units: np.ndarray
    augment: Callable[[Tensor], Tensor]

    @property
    def label(self) -> str:
        return f"{self.name}-{self.seed}-{self.fold}"


# Data and training


def digits(cache: Path, seed: int) -> Iterator[Case]:
    """MNIST and its network."""
    import mnist

    data = mnist.load()
    split = data.metadata["split"].to_numpy()
    order = np.random.default_rng(0).permutation(np.flatnonzero(split == "train"))
    train, valid, test = order[5000:], order[:5000], np.flatnonzero(split == "test")
    x, y = torch.as_tensor(data.X).float(), torch.as_tensor(data.y).long()
    x = (x - x[train].mean()) / x[train].std()
    black = float(x.min())

    def shifted(batch: Tensor) -> Tensor:
        wide = nn.functional.pad(batch, (2, 2, 2, 2), value=black)
        rows, columns = torch.randint(0, 5, (2, len(batch))).tolist()
        corners = enumerate(zip(rows, columns, strict=True))
        return torch.stack([wide[i, :, r : r + 28, c : c + 28] for i, (r, c) in corners])

    with scoped_seed(seed):
        network = models.create("cnn2d", in_chans=1, image_size=28, n_outputs=10)
        case = Case("digits", seed, 0, network, *((x[part], y[part]) for part in (train, valid, test)),
                    np.arange(len(test)), shifted)  # fmt: skip
        remembered(cache / f"{case.label}.safetensors", network, lambda: fit(network, case, 12, 4e-3))
    yield case


def dementia(_: Path, seed: int) -> Iterator[Case]:
    """The folds of the suite image_dementia and their networks."""
    import alzheimer

    data = alzheimer.load(size=(36, 30), every=4)
    subjects = data.metadata["subject"].to_numpy()
    splitter = make_splitter("leave-groups-out", by="subject", n_splits=4, stratify=True, random_state=0)
    for fold in folds(data.metadata, data.y, splitter):
        X, y, people = data.X[fold.train], data.y[fold.train], subjects[fold.train]
        clf = NeuroClassifier("cnn2d", max_epochs=8, lr=1e-3, batch_size=32, random_state=seed)
        clf.fit(X, y, groups=people)
        labels = torch.as_tensor(np.searchsorted(clf.classes_, data.y))
        parts = [(clf.network_input(data.X[rows]), labels[rows]) for rows in
                 (fold.train[clf.train_index_], fold.train[clf.validation_index_], fold.test)]  # fmt: skip
        yield Case("dementia", seed, fold.index, clf.net_.module_.eval(), *parts, subjects[fold.test], lambda x: x)


def remembered(path: Path, network: nn.Module, train: Callable[[], None]) -> None:
    """Train a network, or load it if that was done before."""
    if path.exists():
        network.load_state_dict(load_file(path))
    else:
        train()
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(network.state_dict(), path)
    network.eval()


def fit(network: nn.Module, case: Case, epochs: int, lr: float, batch_size: int = 64) -> None:
    """Train with AdamW and one cycle of the learning rate."""
    x, y = case.train
    optimizer = torch.optim.AdamW(network.parameters(), lr, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=epochs * (len(x) // batch_size))
    for epoch in range(epochs):
        network.train()
        for rows in torch.randperm(len(x))[: len(x) // batch_size * batch_size].split(batch_size):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(case.augment(x[rows])), y[rows]).backward()
            optimizer.step()
            schedule.step()
        score = float((answers(network, case.valid[0]) == case.valid[1].numpy()).mean())
        print(f"{case.label}: epoch {epoch + 1} of {epochs}, validation accuracy {score:.4f}", flush=True)


def conversions(case: Case, cache: Path, wanted: Sequence[str]) -> Iterator[tuple[str, nn.Module, ConvertedNetwork]]:
    """Name of a method, the network it starts from and the spiking one."""
    samples = case.train[0][:CALIBRATION]
    for name in wanted:
        kind, _, options = name.partition(" ")
        value, _, offsets = options.partition(", ")
        start = tuned(case, int(value), cache) if kind == "qcfs" else case.ann
        scale = {"method": kind} if kind != "percentile" else {"percentile": float(value)}
        snn = convert(start, samples, steps=FEW, **scale)
        yield name, start, correct_offsets(start, snn, samples) if offsets else snn


def tuned(case: Case, levels: int, cache: Path) -> nn.Module:
    """The network after further training with quantised activations."""
    epochs, lr = TUNING[case.name]
    with scoped_seed(case.seed):
        network = with_qcfs(case.ann, levels, calibration_data=case.train[0][:CALIBRATION])
        path = cache / f"{case.label}-qcfs-{levels}.safetensors"
        remembered(path, network, lambda: fit(network, case, epochs, lr))
    return network


# Measuring


def answers(network: nn.Module, x: Tensor, steps: Sequence[int] = ()) -> np.ndarray:
    """Classes for every sample, of a converted network after each of these numbers of steps: (n,) or (steps, n)."""
    network.eval()
    with torch.no_grad():
        if not isinstance(network, ConvertedNetwork):
            return torch.cat([network(batch).argmax(1) for batch in x.split(200)]).numpy()
        wanted = torch.tensor(steps) - 1
        found = [network.run(batch, steps=max(steps)).outputs[wanted].argmax(2) for batch in x.split(20)]
    return torch.cat(found, 1).numpy()


def kept(path: Path, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """An array, or what was computed for it before."""
    if not path.exists():
        found = compute()
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, found)
    return np.load(path)


def costs(snn: ConvertedNetwork, x: Tensor, steps: int) -> tuple[float, float]:
    """Spikes and modelled energy in joules, for one sample."""
    with torch.no_grad():
        rates = snn.rates(x, steps)
    spikes = sum(float(rate.sum()) for rate in rates.values()) * steps / len(x)
    before, snn.steps = snn.steps, steps
    joules = energy.count(snn, x).energy(PRICES)
    snn.steps = before
    return spikes, joules


def measure(case: Case, cache: Path, steps: Sequence[int], wanted: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One row for each method and number of steps, with the answers, and one for each layer."""
    x, y = case.test
    original = answers(case.ann, x)
    ann_joules = energy.count(fold_batchnorm(case.ann, x[:2]), x[:COUNTED]).energy(PRICES)
    rows, layers = [], []
    for name, start, snn in conversions(case, cache, wanted):
        own = original if start is case.ann else answers(start, x)
        valid = answers(snn, case.valid[0][:1000], (FEW,))[0]
        chosen_by = float((valid == case.valid[1][:1000].numpy()).mean())
        found = kept(cache / f"{case.label}-{name}-{max(steps)}.npy", lambda snn=snn: answers(snn, x, steps))
        print(f"{case.label}: {name}", [round(float((row == y.numpy()).mean()), 4) for row in found], flush=True)
        for count, row in zip(steps, found, strict=True):
            spikes, joules = costs(snn, x[:COUNTED], count)
            rows.append({
                "case": case.name, "seed": case.seed, "fold": case.fold, "method": name, "steps": count,
                "validation_accuracy": chosen_by, "spikes": spikes, "joules": joules, "ann_joules": ann_joules,
                "units": case.units, "right": row == y.numpy(), "ann_right": original == y.numpy(),
                "own_right": own == y.numpy(), "agree": row == original,
            })  # fmt: skip
        for count in (FEW, 4 * FEW):
            report = conversion_report(start, snn, x[:REPORTED], steps=count)
            layers.append(report.assign(method=name, steps=count, case=case.name, seed=case.seed, fold=case.fold))
    return pd.DataFrame(rows), pd.concat(layers)


def interval(difference: np.ndarray, units: np.ndarray) -> tuple[float, float]:
    """95 % bootstrap interval of the mean over units."""
    _, places = np.unique(units, return_inverse=True)
    sums, sizes = np.bincount(places, difference), np.bincount(places)
    drawn = np.random.default_rng(0).integers(0, len(sums), (1000, len(sums)))
    low, high = np.quantile(sums[drawn].sum(1) / sizes[drawn].sum(1), (0.025, 0.975))
    return float(low), float(high)


def summarised(rows: pd.DataFrame) -> pd.DataFrame:
    """Each method after each number of steps, over all folds and seeds."""
    table = []
    for (case, method, steps), group in rows.groupby(["case", "method", "steps"], sort=False):
        right, ann, own, agree, units = (
            np.concatenate(group[name].to_list()) for name in ("right", "ann_right", "own_right", "agree", "units")
        )
        low, high = interval(right.astype(float) - ann, units)
        table.append({
            "case": case, "method": method, "steps": steps, "accuracy": right.mean(), "ann_accuracy": ann.mean(),
            "own_ann_accuracy": own.mean(), "difference": right.mean() - ann.mean(), "low": low, "high": high,
            "agreement": agree.mean(), "validation_accuracy": group["validation_accuracy"].mean(),
            "spikes": group["spikes"].mean(), "energy_uj": group["joules"].mean() * 1e6,
            "energy_ratio": group["joules"].mean() / group["ann_joules"].mean(),
        })  # fmt: skip
    return pd.DataFrame(table)


def chosen(table: pd.DataFrame) -> str:
    """Method that is best on the validation parts after few steps; of equals, the first."""
    few = table[table["steps"] == FEW]
    return str(few.loc[few["validation_accuracy"].idxmax(), "method"])


# Output

TITLES = {"digits": "Digits (MNIST)", "dementia": "Dementia from slices of magnetic resonance images, split by person"}

_HEAD = """# Trained networks as spikes

Written by `benchmarks/conversion/run.py`; not edited by hand.

The ReLU network, trained and converted; T: steps of the spiking one. *Points*: its accuracy minus that of the ReLU
network, with a 95 % bootstrap interval over images (digits) or people (dementia). *Same answer*: share of samples on
which the two agree. *Spikes* and *energy*: per sample, modelled at 45 nm, 32-bit floating point; the last column is its
ratio to the ReLU network's with batch normalisation folded. Errors by layer: root mean square over that of the
activations; *clipping*: activations above the largest rate, *quantisation*: rates are multiples of 1 / T, *unevenness*:
spikes that come too late or early for the layer behind. Methods are explained in the how-to page on conversion.
"""


def markdown(table: pd.DataFrame, layers: pd.DataFrame) -> str:
    """Tables of accuracy, energy and errors."""
    best, steps = chosen(table), sorted(table["steps"].unique())
    first = table.iloc[0]
    lines = [
        f"ANN (ReLU): accuracy {first['ann_accuracy']:.4f}. Chosen on validation data at T = {FEW}: {best}.", "",
        "| method | its own ANN | " + " | ".join(f"T = {count}" for count in steps) + " |",
        "|---|--:|" + "--:|" * len(steps),
    ]  # fmt: skip
    for method, group in table.groupby("method", sort=False):
        shown = f"**{method}**" if method == best else method
        cells = [f"{row.accuracy:.4f}" for row in group.itertuples()]
        lines.append(f"| {shown} | {group['own_ann_accuracy'].iloc[0]:.4f} | {' | '.join(cells)} |")
    lines += ["", "| method | T | points | 95 % interval | same answer | spikes | energy (µJ) | of the ANN's |",
              "|---|--:|--:|--:|--:|--:|--:|--:|"]  # fmt: skip
    lines += [
        f"| {row.method} | {row.steps} | {100 * row.difference:+.2f} | {100 * row.low:+.2f} to {100 * row.high:+.2f} | "
        f"{row.agreement:.4f} | {row.spikes:,.0f} | {row.energy_uj:.2f} | {row.energy_ratio:.2f} |"
        for row in table.itertuples()
    ]
    causes = [f"{cause}_rms" for cause in ("clipping", "quantisation", "unevenness", "total")]
    heads = "| T | layer | clipping | quantisation | unevenness | total | rate |"
    lines += ["", f"Errors by layer of '{best}', relative to the activations:", "",
              heads, "|--:|---|" + "--:|" * 5]  # fmt: skip
    few = layers[layers["method"] == best].groupby(["steps", "layer"], sort=False)[[*causes, "rate"]].mean()
    for (count, layer), row in few.iterrows():
        cells = ["" if np.isnan(value) else f"{value:.3f}" for value in row]
        lines.append(f"| {count} | {layer} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def draw(table: pd.DataFrame, layers: pd.DataFrame, path: Path) -> None:
    """Errors by layer, and accuracy over steps, of the chosen method."""
    best = chosen(table)
    mine = table[table["method"] == best]
    report = layers[(layers["method"] == best) & (layers["steps"] == FEW)]
    means = report.drop(columns=["method", "case"]).groupby("layer", sort=False).mean().reset_index()
    figure = plots.conversion(
        means.to_dict("records"), mine[["steps", "accuracy"]].to_dict("list"), float(mine["ann_accuracy"].iloc[0])
    )
    with writable(path):
        figure.savefig(path, dpi=120)


def page(folder: Path) -> str:
    """The page of all cases measured so far."""
    parts = [_HEAD]
    for case, title in TITLES.items():
        if (folder / f"{case}.csv").exists():
            table, layers = (pd.read_csv(folder / f"{case}{part}.csv") for part in ("", "-layers"))
            parts += [f"## {title}", "", f"Made by `{table['command'].iloc[0]}`.", "", markdown(table, layers),
                      f"![Errors by layer at T = {FEW}, and accuracy over steps]({case}.png)", ""]  # fmt: skip
    return "\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=tuple(TITLES))
    parser.add_argument("--seeds", type=int, nargs="+", help="default: 0 for digits, 0 1 2 for dementia")
    parser.add_argument("--max-steps", type=int, default=STEPS[-1], help="leave out larger T")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    given = parser.parse_args()
    if given.max_steps < FEW:
        parser.error(f"--max-steps must be at least {FEW}, the steps for which the method is chosen.")
    torch.set_num_threads(1)
    seeds = given.seeds or {"digits": [0], "dementia": [0, 1, 2]}[given.case]
    load = {"digits": digits, "dementia": dementia}[given.case]
    steps = [count for count in STEPS if count <= given.max_steps]
    measured = [measure(case, given.cache, steps, given.methods) for seed in seeds for case in load(given.cache, seed)]
    rows, layers = (pd.concat(parts, ignore_index=True) for parts in zip(*measured, strict=True))
    asked = shlex.join("DIR" if value == str(given.cache) else value for value in sys.argv[1:])
    table = summarised(rows).assign(command=f"python benchmarks/conversion/run.py {asked}")
    for part, frame in (("", table), ("-layers", layers)):
        write_atomic(given.out / f"{given.case}{part}.csv", frame.to_csv(index=False, float_format="%.6g"))
    draw(table, layers, given.out / f"{given.case}.png")
    write_atomic(given.out / "RESULTS.md", page(given.out))
    print(markdown(table, layers))


if __name__ == "__main__":
    main()
