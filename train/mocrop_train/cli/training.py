"""The command mocrop-train. What imports torch is imported where it is used: help need not wait for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from mocrop_manifests import __version__
from mocrop_manifests.files import publish_text

from mocrop_train import config as configs
from mocrop_train import settings
from mocrop_train.cli.frame import FILE, FOLDER, OneLineErrors, check_usage, config_options
from mocrop_train.cli.reporting import report
from mocrop_train.config import TrainConfig

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
  The page of a run, made again
    mocrop-train --report runs/small
  The same network on other crops of the same clips, and the comparison
    mocrop-train --shards work/shards/center --eval-only --checkpoint runs/small/best.pt --json center.json
    mocrop-compare runs/small/predictions.json center.json

\b
A run folder holds
  config.json       all settings and versions       log.csv    one line per epoch
  last.pt           state after the last epoch      best.pt    the epoch that is best on split val;
  predictions.json  every test clip                            without val, the last one
  report.html       the run on one page: results, curves, confusions, the worst clips
"""


@click.command("mocrop-train", cls=OneLineErrors, epilog=TRAIN_EXAMPLES)
@click.option("--shards", type=FOLDER, help="Shard set: the folder that holds dataset.json.")
@click.option("--out", type=FOLDER, help="Run folder; made if need be. Needed unless --eval-only.")
@click.option("--resume", is_flag=True, help="Go on from last.pt of the run folder, with its settings.")
@click.option("--eval-only", is_flag=True, help="Train nothing: evaluate --checkpoint on the shard set.")
@click.option(
    "--report",
    "report_on",
    type=FOLDER,
    metavar="RUN",
    help="Train nothing: make report.html of a run folder again. Its thumbnails come from the shards that it "
    "was trained on, or from --shards.",
)
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
    shards: Path | None,
    out: Path | None,
    resume: bool,
    eval_only: bool,
    report_on: Path | None,
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
    if report_on is not None:
        check_usage(not (resume or eval_only or out or checkpoint), "--report goes with --shards and --json")
        report(report_on, shards=shards, predictions=predictions)
        return
    if shards is None:
        raise click.UsageError("Missing option '--shards': the folder that holds dataset.json")
    in_folder = out / "predictions.json" if out else None
    if eval_only:
        check_usage(not resume, "--resume and --eval-only exclude each other")
        check_usage(checkpoint is not None, "--eval-only needs --checkpoint FILE")
        _evaluate(
            shards, checkpoint or Path(), asked, split or "test", predictions or in_folder, verify=verify
        )
        return
    check_usage(checkpoint is None, "--checkpoint goes with --eval-only; to start from weights use --weights")
    check_usage(split is None, "--split goes with --eval-only")
    if out is None or in_folder is None:
        raise click.UsageError("--out RUN is needed: the folder for checkpoints and results")
    _train(shards, out, asked, predictions or in_folder, resume=resume, verify=verify)


def _train(
    shards: Path, out: Path, asked: dict[str, Any], predictions: Path, *, resume: bool, verify: bool
) -> None:
    config = TrainConfig() if resume else configs.build(asked)
    from mocrop_train import loop
    from mocrop_train.run import checkpoint

    if resume:
        config = configs.resumed(checkpoint.load(out / "last.pt")["config"], asked)
    outcome = loop.train(shards, out, config, resume=resume, verify=verify, predictions=predictions)
    click.echo(loop.format_report(outcome))
    if outcome.test:
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
    from mocrop_train.evaluation import evaluate
    from mocrop_train.evaluation.predictions import write_predictions

    found = evaluate.evaluate_checkpoint(shards, checkpoint, asked, split=split, verify=verify)
    click.echo(evaluate.format_result(found))
    if predictions:
        publish_text(predictions, write_predictions(found))
        click.echo(f"predictions: {predictions}")
