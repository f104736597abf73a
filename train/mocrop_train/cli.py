"""The commands mocrop-train and mocrop-compare: they read arguments, call, and print; no logic.

Modules that import torch are imported where they are used: help and bad usage need not wait for it.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from mocrop_manifests import ManifestError, __version__
from mocrop_manifests.files import publish_text

from mocrop_train import config as settings
from mocrop_train.config import TrainConfig
from mocrop_train.errors import TrainError, printable
from mocrop_train.progress import console

Command = TypeVar("Command", bound=Callable[..., Any])
FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
_INTERRUPTED = 130

TRAIN_EXAMPLES = """\b
Examples:
  A first number in minutes, on a CPU too: a linear head on a pretrained, frozen backbone
    mocrop-train --shards work/shards/ours --out runs/head --model resnet50 --weights imagenet --freeze
  A small network from scratch
    mocrop-train --shards work/shards/ours --out runs/small --model resnet18 --epochs 40
  Fine-tuning on a GPU
    mocrop-train --shards work/shards/ours --out runs/tuned --model swin_t --weights imagenet
        --lr 1e-4 --amp bf16
  Settings from a file; what is on the command line wins
    mocrop-train --shards work/shards/ours --out runs/c --config train.toml --seed 2
  Go on after an interruption, with the settings of the run
    mocrop-train --shards work/shards/ours --out runs/small --resume
  The same network on other crops of the same clips, and the comparison
    mocrop-train --shards work/shards/center --eval-only --checkpoint runs/small/best.pt --json center.json
    mocrop-compare runs/small/predictions.json center.json

\b
A run folder holds
  config.json       all settings and versions       log.csv    one line per epoch
  last.pt           state after the last epoch      best.pt    the epoch that is best on split val;
  predictions.json  every test clip                            without val, the last one
"""

COMPARE_EXAMPLES = """\b
Examples:
  mocrop-compare runs/ours/predictions.json runs/center/predictions.json
  mocrop-compare ours.json center.json full.json random.json --json table.json

All files must be of the same clips. The intervals are bootstraps: over clips, and over whole groups (the
clips that share a video or an actor), which is the honest one where groups are known.
"""


_EXTRA = ("torch", "torchvision", "safetensors", "PIL")


class OneLineErrors(click.Command):
    """A command whose every error is one line on stderr; options are listed by their section."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the command and exit: 0 done, 2 bad usage or nothing could be done, 130 interrupted."""
        try:
            code = super().main(*args, **{**extra, "standalone_mode": False})
        except click.ClickException as error:
            click.echo(f"{self.name}: {' '.join(error.format_message().split())}", err=True)
            code = 2
        except (KeyboardInterrupt, click.Abort):
            click.echo(f"{self.name}: interrupted", err=True)
            code = _INTERRUPTED
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:
        """Call the command; without --debug its errors become one line."""
        try:
            with console(quiet=ctx.params.get("quiet", False)):
                return super().invoke(ctx)
        except (TrainError, ManifestError, OSError) as error:
            if ctx.params["debug"]:
                raise
            # an error from a loader process carries that process's traceback; its last line is the message
            raise click.ClickException(printable(str(error).strip().rpartition("\n")[2])) from error
        except ModuleNotFoundError as error:
            if ctx.params["debug"] or error.name not in _EXTRA:
                raise
            # the pipeline installs alone; whoever then trains is told what is missing
            raise click.ClickException(
                f"{error.name} is not installed: pip install 'mocrop[train]'"
            ) from error

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options of the run first, then those of TrainConfig by section."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record:
                section = parameter.section if isinstance(parameter, Setting) else "Options"
                sections.setdefault(section, []).append(record)
        for title in sorted(sections, key=lambda title: title != "Options"):
            with formatter.section(title):
                formatter.write_dl(sections[title])


class Setting(click.Option):
    """An option made of a field of TrainConfig, listed in its section."""

    def __init__(self, *names: Any, section: str, **attributes: Any) -> None:
        super().__init__(*names, **attributes)
        self.section = section


def config_options(command: Command) -> Command:
    """Give a command one option for every field of TrainConfig; unset ones are None."""
    for field in reversed(dataclasses.fields(TrainConfig)):
        about, kind = field.metadata, settings.value_type(field)
        notes = [f"default: {_in_words(field)}"]
        if bounds := settings.bounds(field):
            notes.append(bounds)
        name = settings.flag(field.name)
        command = click.option(
            f"{name}/--no-{name[2:]}" if kind is bool else name,
            field.name,
            cls=Setting,
            section=about["section"],
            type=click.Choice(about["choices"]) if about["choices"] else kind,
            default=None,
            help=f"{about['help']}  [{'; '.join(notes)}]",
        )(command)
    return command


def _in_words(field: dataclasses.Field[Any]) -> str:
    if field.default is None:
        return str(field.metadata["auto"])
    return (
        {True: "on", False: "off"}[field.default] if isinstance(field.default, bool) else str(field.default)
    )


@click.command("mocrop-train", cls=OneLineErrors, epilog=TRAIN_EXAMPLES)
@click.option("--shards", type=FOLDER, required=True, help="Shard set: the folder that holds dataset.json.")
@click.option("--out", type=FOLDER, help="Run folder; made if need be. Needed unless --eval-only.")
@click.option("--resume", is_flag=True, help="Go on from last.pt of the run folder, with its settings.")
@click.option("--eval-only", is_flag=True, help="Train nothing: evaluate --checkpoint on the shard set.")
@click.option("--checkpoint", type=FILE, help="Checkpoint to evaluate, such as RUN/best.pt.")
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    help="Split that --eval-only evaluates.  [default: test]",
)
@click.option(
    "--json",
    "predictions",
    type=FILE,
    help="Where the predictions go.  [default: predictions.json in --out]",
)
@click.option("--config", "file", type=FILE, help="TOML file with any of the settings below.")
@click.option("--verify", is_flag=True, help="Check the sha256 of every shard first, not only its size.")
@click.option("--quiet", is_flag=True, help="Only warnings and the result.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@config_options
@click.version_option(__version__)
def main(
    shards: Path,
    out: Path | None,
    resume: bool,
    eval_only: bool,
    checkpoint: Path | None,
    split: str | None,
    predictions: Path | None,
    file: Path | None,
    verify: bool,
    quiet: bool,
    debug: bool,
    **options: Any,
) -> None:
    """Train an image network on the frames of a shard set, and test it clip by clip.

    A clip's logits are the mean over its frames. Every clip of the split test counts once; test is looked at
    once, at the end.
    """
    del quiet, debug  # OneLineErrors has seen to them
    asked = settings.given({name: value for name, value in options.items() if value is not None}, file)
    in_folder = out / "predictions.json" if out else None
    if eval_only:
        _check_usage(not resume, "--resume and --eval-only exclude each other")
        _check_usage(checkpoint is not None, "--eval-only needs --checkpoint FILE")
        _evaluate(
            shards, checkpoint or Path(), asked, split or "test", predictions or in_folder, verify=verify
        )
        return
    _check_usage(
        checkpoint is None, "--checkpoint goes with --eval-only; to start from weights use --weights"
    )
    _check_usage(split is None, "--split goes with --eval-only")
    if out is None or in_folder is None:
        raise click.UsageError("--out RUN is needed: the folder for checkpoints and results")
    _train(shards, out, asked, predictions or in_folder, resume=resume, verify=verify)


def _check_usage(fine: bool, message: str) -> None:
    if not fine:
        raise click.UsageError(message)


def _train(
    shards: Path, out: Path, asked: dict[str, Any], predictions: Path, *, resume: bool, verify: bool
) -> None:
    config = TrainConfig() if resume else settings.build(asked)
    from mocrop_train import checkpoint, loop

    if resume:
        config = settings.resumed(checkpoint.load(out / "last.pt")["config"], asked)
    report = loop.train(shards, out, config, resume=resume, verify=verify, predictions=predictions)
    click.echo(loop.format_report(report))
    if report.test:
        click.echo(f"predictions: {predictions}")


def _evaluate(
    shards: Path,
    checkpoint: Path,
    asked: dict[str, Any],
    split: str,
    predictions: Path | None,
    *,
    verify: bool,
) -> None:
    from mocrop_train import evaluate
    from mocrop_train.predictions import write_predictions

    found = evaluate.evaluate_checkpoint(shards, checkpoint, asked, split=split, verify=verify)
    click.echo(evaluate.format_result(found))
    if predictions:
        publish_text(predictions, write_predictions(found))
        click.echo(f"predictions: {predictions}")


@click.command("mocrop-compare", cls=OneLineErrors, epilog=COMPARE_EXAMPLES)
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="A.json B.json [C.json ...]")
@click.option("--json", "out", type=FILE, help="Write the numbers to this file, too.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the bootstrap.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.version_option(__version__)
def compare_main(files: tuple[Path, ...], out: Path | None, seed: int, debug: bool) -> None:
    """Compare the first prediction file with each of the others, clip by clip.

    wins are clips that the first has right and the other wrong. p is the exact McNemar test: how often
    chance alone makes wins and losses at least as uneven.
    """
    del debug  # OneLineErrors has seen to it
    _check_usage(len(files) > 1, "two prediction files or more are needed")
    from mocrop_train import compare

    comparisons = [compare.compare(files[0], other, seed=seed) for other in files[1:]]
    click.echo(compare.format_table(comparisons))
    if out:
        publish_text(out, compare.format_json(comparisons))
