"""The command mocrop-train. What imports torch is imported where it is used: help need not wait for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from mocrop_manifests import __version__

from mocrop_train import config as configs
from mocrop_train import settings
from mocrop_train.cli.costing import tell_cost
from mocrop_train.cli.evaluating import evaluate_one, evaluate_several
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
  Fine-tuning as one would today, or with the published values; what is given as well wins
    mocrop-train --shards work/shards/ours --out runs/today --model resnet50 --recipe modern --amp bf16
    mocrop-train --shards work/shards/ours --out runs/published --model resnet50 --recipe paper
  Settings from a file; what is on the command line wins
    mocrop-train --shards work/shards/ours --out runs/c --config train.toml --seed 2
  On four GPUs of one machine
    torchrun --nproc-per-node 4 -m mocrop_train --shards work/shards/ours --out runs/four --batch-size 64
  Several seeds of a head, of which the first computes the features for all
    mocrop-train --shards work/shards/ours --out runs/s1 --weights imagenet --freeze --seed 1
        --feature-cache runs/features
  Go on after an interruption, with the settings of the run
    mocrop-train --shards work/shards/ours --out runs/small --resume
  The page of a run, made again
    mocrop-train --report runs/small
  The same network on other crops of the same clips, all held against the first; call it again to go on
    mocrop-train --eval ours=work/shards/ours center=work/shards/center full=work/shards/full
        --checkpoint runs/small/best.pt --out runs/small/eval
  One shard set, and the comparison in full
    mocrop-train --shards work/shards/center --eval-only --checkpoint runs/small/best.pt --json center.json
    mocrop-compare runs/small/predictions.json center.json
  What a prediction costs: counted, and measured on this machine
    mocrop-train --cost --model resnet50 --shards work/shards/ours

\b
A run folder holds
  config.json       all settings and versions       log.csv    one line per epoch
  last.pt           what --resume goes on from      best.pt    the epoch that is best on split val,
  predictions.json  every test clip                            or on training groups held out
  metrics.json      accuracies and calibration      confusion.csv, confusion.png, reliability.png
  report.html       the run on one page: results, curves, confusions, the worst clips
"""

_EVAL_ALONE = (
    "--eval goes with --checkpoint, --out and --split, not with --shards, --json, --resume or --eval-only"
)


@click.command("mocrop-train", cls=OneLineErrors, epilog=TRAIN_EXAMPLES)
@click.argument("more_sets", nargs=-1, metavar="[NAME=DIR ...]")
@click.option(
    "--shards",
    type=FOLDER,
    help="Shard set: the folder that holds dataset.json. Needed unless --eval, --cost or --report.",
)
@click.option("--out", type=FOLDER, help="Run folder; made if need be. Needed unless --eval-only.")
@click.option("--resume", is_flag=True, help="Go on from last.pt of the run folder, with its settings.")
@click.option("--eval-only", is_flag=True, help="Train nothing: evaluate --checkpoint on the shard set.")
@click.option(
    "--eval",
    "sets",
    multiple=True,
    metavar="NAME=DIR [NAME=DIR ...]",
    help="Train nothing: evaluate --checkpoint on each of these shard sets and compare them with the first. "
    "OUT/NAME gets the results of each; DIR alone takes the name of the set. What is done already, with this "
    "checkpoint and these shards, is not done again.",
)
@click.option(
    "--report",
    "report_on",
    type=FOLDER,
    metavar="RUN",
    help="Train nothing: make report.html of a run folder again. Its thumbnails come from the shards that it "
    "was trained on, or from --shards.",
)
@click.option(
    "--cost",
    is_flag=True,
    help="Train nothing: count the multiply-adds and parameters of --model, or of --checkpoint, and time its "
    "predictions, alone and in batches of --batch-size clips; at --input-size, else the size of --shards, "
    "else at 224 and 192 px.",
)
@click.option(
    "--frames",
    type=click.IntRange(1, 1024),
    help="Frames of a clip for --cost.  [default: those of --shards, else 8]",
)
@click.option("--checkpoint", type=FILE, help="Checkpoint to evaluate, such as RUN/best.pt.")
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    help="Split that --eval and --eval-only evaluate.  [default: test]",
)
@click.option(
    "--json",
    "predictions",
    type=FILE,
    help="Where the predictions go, or what --cost found.  [default: predictions.json in --out]",
)
@click.option("--config", "file", type=FILE, help="TOML file with any of the settings below.")
@click.option("--verify", is_flag=True, help="Check the sha256 of every shard first, not only its size.")
@click.option("--quiet", is_flag=True, help="Only warnings and the result.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@config_options
@click.version_option(__version__)
def main(
    more_sets: tuple[str, ...],
    shards: Path | None,
    out: Path | None,
    resume: bool,
    eval_only: bool,
    sets: tuple[str, ...],
    report_on: Path | None,
    cost: bool,
    frames: int | None,
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
    if cost:
        check_usage(
            not (resume or eval_only or out or split or sets or more_sets),
            "--cost takes no run folder, split or other mode",
        )
        tell_cost(asked, shards=shards, saved=checkpoint, frames=frames, out=predictions)
        return
    check_usage(frames is None, "--frames goes with --cost; for training there is --segments")
    if sets:
        check_usage(not (resume or eval_only or shards or predictions), _EVAL_ALONE)
        evaluate_several((*sets, *more_sets), checkpoint, asked, split or "test", out, verify=verify)
        return
    check_usage(
        not more_sets, f"Got unexpected extra argument ({' '.join(more_sets)}); NAME=DIR goes with --eval"
    )
    if shards is None:
        raise click.UsageError("Missing option '--shards': the folder that holds dataset.json")
    in_folder = out / "predictions.json" if out else None
    if eval_only:
        check_usage(not resume, "--resume and --eval-only exclude each other")
        evaluate_one(shards, checkpoint, asked, split or "test", predictions or in_folder, verify=verify)
        return
    check_usage(
        checkpoint is None,
        "--checkpoint goes with --eval-only, --eval or --cost; to start from weights use --weights",
    )
    check_usage(split is None, "--split goes with --eval-only or --eval")
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
