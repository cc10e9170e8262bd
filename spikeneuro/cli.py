"""The command line: run, report, results, health, list, info, demo.

Mistakes of the user are one line on standard error and exit status 2; an interrupted run says how to go on (130); a
run with failed cells ends with 1. Everything heavy is imported inside the command that needs it.
"""

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from spikeneuro._version import __version__
from spikeneuro.errors import InputError

app = typer.Typer(
    name="spikeneuro",
    help="Spiking neural networks on neuroimaging signals, evaluated honestly.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Out = Annotated[Path | None, typer.Option("--out", help="Folder of the results; runs/SUITE by default.")]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, help="Cells computed at the same time.")]

#: Base of the mistakes in arguments; the parser's module is private, and another one in other versions.
_UsageError: Any = typer.BadParameter.__base__

Listed = ("models", "encoders", "datasets", "suites")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    del version


@app.command()
def run(
    suite: Annotated[str, typer.Argument(help="A YAML file, or a name that `spikeneuro list suites` shows.")],
    out: Out = None,
    jobs: Jobs = 1,
    only: Annotated[
        str | None, typer.Option(help="Only cells whose experiment, candidate or experiment/candidate match.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="The variant called full.")] = False,
    variant: Annotated[str | None, typer.Option(help="Another variant of the suite.")] = None,
    shuffle_labels: Annotated[
        bool, typer.Option("--shuffle-labels", help="Control: permute the labels, so that all must be at chance.")
    ] = False,
    threads: Annotated[int, typer.Option(min=1, help="Threads per cell; may change results in the last digits.")] = 1,
) -> None:
    """Run a suite, or what is missing of it."""
    if full and variant not in (None, "full"):
        raise InputError(f"--full and --variant {variant} name two variants; give one.")
    code = _run(suite, out, jobs, only, "full" if full else variant, shuffle_labels or None, threads)
    raise typer.Exit(code)


@app.command()
def report(folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a run.")]) -> None:
    """Write the HTML report of a run."""
    from spikeneuro import report as pages

    typer.echo(pages.write(folder))


@app.command()
def results(
    folders: Annotated[list[Path] | None, typer.Argument(metavar="[DIR]...", help="Folders of runs.")] = None,
    csv_dir: Annotated[Path, typer.Option(help="Folder of the CSV files, one per suite.")] = Path("benchmarks/results"),
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep earlier rows of a file for cells that the run lacks.")
    ] = False,
    md: Annotated[Path, typer.Option(help="Markdown page made from all CSV files.")] = Path("benchmarks/RESULTS.md"),
    readme: Annotated[Path | None, typer.Option(help="File whose overview between result marks is renewed.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Picture of the overview, PNG or SVG.")] = None,
) -> None:
    """Write the cells of runs as CSV, and the page of results from all CSV files."""
    from spikeneuro.bench.results import write_csv, write_results

    for folder in folders or []:
        typer.echo(write_csv(folder, csv_dir, keep=keep))
    table = write_results(csv_dir, md, readme)
    typer.echo(md)
    if picture is not None:
        from spikeneuro.report.plots import overview

        picture.parent.mkdir(parents=True, exist_ok=True)
        overview(table).savefig(picture, dpi=120)
        typer.echo(picture)


@app.command()
def health(
    model: Annotated[str, typer.Argument(help="A spiking model, or with --suite one of the suite's candidates.")],
    data: Annotated[
        str | None, typer.Option(help="Data set that `spikeneuro list datasets` shows, or your file.py:function.")
    ] = None,
    data_option: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Argument of the data set; may be repeated.")
    ] = None,
    suite: Annotated[str | None, typer.Option(help="Take data and parameters from a suite instead.")] = None,
    experiment: Annotated[str | None, typer.Option(help="Which of the suite's experiments.")] = None,
    option: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Hyperparameter of the model; may be repeated.")
    ] = None,
    training: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Argument of the training; may be repeated.")
    ] = None,
    epochs: Annotated[int, typer.Option(min=0, help="Train so long first; 0 looks at it as initialised.")] = 0,
    samples: Annotated[int, typer.Option(min=2, help="Most samples to look at.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Seed of initialisation and training.")] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the results; runs/health/MODEL by default.")
    ] = None,
) -> None:
    """Examine a spiking model on data: dead and saturated neurons, rates, gradients by layer and time."""
    if (data is None) == (suite is None):
        raise InputError("health needs data: give either --data NAME or --suite NAME.")
    if suite is None and experiment is not None:
        raise InputError("--experiment belongs to --suite.")
    if data is None and data_option:
        raise InputError("--data-option belongs to --data; a suite has its own parameters.")
    from spikeneuro.bench import checkup

    if suite is not None:
        case = checkup.case_of_suite(model, suite, experiment)
    else:
        case = checkup.case_of_data(model, str(data), checkup.parse_options(data_option or (), "--data-option"))
    found = checkup.examine(
        case,
        options=checkup.parse_options(option or (), "--option"),
        training=checkup.parse_options(training or (), "--training"),
        epochs=epochs,
        samples=samples,
        seed=seed,
    )
    from spikeneuro.report.health import show_health, write_health

    paths = write_health(found, out or Path("runs") / "health" / model)
    show_health(found)
    for path in paths:
        typer.echo(path)


@app.command("list")
def list_(what: Annotated[str, typer.Argument(help=f"What to list: {', '.join(Listed)}.")]) -> None:
    """List models, encoders, data sets or suites."""
    from spikeneuro._validation import check_choice
    from spikeneuro.bench import listing

    check_choice(what, Listed, "list")

    listing.show(what)


@app.command()
def info() -> None:
    """Show versions, backends, threads, optional packages and the data found."""
    from spikeneuro.bench import listing

    listing.show_info()


@app.command()
def demo(out: Out = None, jobs: Annotated[int | None, typer.Option("--jobs", "-j", min=1)] = None) -> None:
    """Run the demonstration on embedded data, and write its report."""
    folder = out or Path("runs") / "demo"  # what `spikeneuro run demo` takes too
    code = _run("demo", folder, jobs or min(4, os.cpu_count() or 1), None, None, None, 1)
    from spikeneuro import report as pages

    typer.echo(f"report: {pages.write(folder)}")
    raise typer.Exit(code)


def _run(
    suite: str,
    out: Path | None,
    jobs: int,
    only: str | None,
    variant: str | None,
    shuffle_labels: bool | None,
    threads: int,
) -> int:
    """Run, say how it went, and return the exit status."""
    from spikeneuro import bench
    from spikeneuro.bench.runner import WorkerDiedError, default_folder

    read = bench.load_suite(bench.find_suite(suite), variant, shuffle_labels=shuffle_labels)
    folder = out or default_folder(read)
    try:
        result = bench.run(read, folder, jobs, only, threads=threads)
    except KeyboardInterrupt:
        _say_interrupted(folder)
        return 130
    except WorkerDiedError as error:
        typer.echo(f"error: {error}", err=True)
        return 1
    counts = result.counts
    typer.echo(f"{counts['ok']} of {counts['planned']} cells are finished; results in {folder}")
    if counts["failed"]:
        typer.echo(
            f"{counts['failed']} cells failed; `spikeneuro report {shlex.quote(str(folder))}` shows why, and the same "
            "command tries them again",
            err=True,
        )
        return 1
    return 0


def _say_interrupted(folder: Path) -> None:
    from spikeneuro.bench import Store

    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    try:
        with Store(folder) as store:
            counts: dict[str, Any] = store.counts()
    except InputError:
        typer.echo(f"interrupted before the first cell; start again with: {command}", err=True)
        return
    typer.echo(f"interrupted: {counts['ok']} of {counts['planned']} cells are done; go on with: {command}", err=True)


def main() -> None:
    """Entry point."""
    sys.exit(_exit_status(sys.argv[1:]))


def _exit_status(arguments: list[str]) -> int:
    """Run one command.

    The parser's own runner is passed by: it turns every EOFError, such as that of a truncated file, into "Aborted.".
    """
    command = typer.main.get_command(app)
    try:
        with command.make_context("spikeneuro", list(arguments)) as context:
            command.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    except typer.Abort:
        return _failed("aborted", 1)
    except _UsageError as error:
        message = _usage_message(error)
        # Without arguments the help is shown, and the error has no message.
        return _failed(f"error: {message}", 2) if message else 2
    except InputError as error:
        return _failed(f"error: {' '.join(str(error).split())}", 2)
    except KeyboardInterrupt:
        return _failed("interrupted", 130)
    except BrokenPipeError:
        # Who read the output has gone; the interpreter must not fail again when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def _usage_message(error: Any) -> str:
    """What is wrong with the arguments, in a line, with the nearest name there is."""
    from spikeneuro._validation import suggestion

    possible = getattr(error, "possibilities", None)
    text = f"{error.message}; {suggestion(error.option_name, possible)}" if possible else error.format_message()
    return " ".join(str(text).split())


def _failed(message: str, status: int) -> int:
    typer.echo(message, err=True)
    return status


if __name__ == "__main__":
    main()
