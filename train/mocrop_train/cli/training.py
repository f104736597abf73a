"""The command mocrop-train. What imports torch is imported where it is used: help need not wait for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from mocrop_manifests import __version__

from mocrop_train import overrides, settings
from mocrop_train.cli.exporting import parse_formats
from mocrop_train.cli.frame import FILE, FOLDER, OneLineErrors, config_options
from mocrop_train.cli.modes import FLAGS, Call, other_mode
from mocrop_train.config import TrainConfig
from mocrop_train.errors import TrainError

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
  Several seeds of a head; features that one has computed the others read
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
  The network for other programs: torch.export and ONNX, checked, with its preprocessing
    mocrop-train --export runs/small/export --checkpoint runs/small/best.pt

\b
A run folder holds
  config.json       all settings and versions       log.csv    one line per epoch
  last.pt           what --resume goes on from      best.pt    the epoch that is best on split val,
  predictions.json  every test clip                            or on training groups held out
  metrics.json      accuracies and calibration      confusion.csv, confusion.png, reliability.png
  report.html       the run on one page: results, curves, confusions, the worst clips
"""


@click.command("mocrop-train", cls=OneLineErrors, epilog=TRAIN_EXAMPLES)
@click.argument("more_sets", nargs=-1, metavar="[NAME=DIR ...]")
@click.option(
    "--shards",
    type=FOLDER,
    help="Shard set: the folder that holds dataset.json. Needed unless --eval, --export, --cost or --report.",
)
@click.option(
    "--out",
    type=FOLDER,
    help="Run folder, or that of the results of --eval; made if need be. Needed by both.",
)
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
@click.option("--checkpoint", type=FILE, help="Checkpoint to evaluate, export or count, such as RUN/best.pt.")
@click.option(
    "--export",
    "export_to",
    type=FOLDER,
    help="Train nothing: write --checkpoint to this new folder as programs that need no code of ours, each "
    "compared with the network first, and model.json with all that is to be known to use them.",
)
@click.option(
    "--export-formats",
    callback=parse_formats,
    help="Forms of --export: pt2 (torch.export), onnx (pip install 'mocrop[onnx]').  [default: pt2,onnx]",
)
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
def main(file: Path | None, quiet: bool, debug: bool, **given: Any) -> None:
    """Train an image network on the frames of a shard set, and test it clip by clip.

    A clip's logits are the mean over its frames. Every clip of the split test counts once; test is looked at
    once, at the end.
    """
    del quiet, debug  # OneLineErrors has seen to them
    arguments = {name: given.pop(name) for name in FLAGS}
    asked = settings.given({name: value for name, value in given.items() if value is not None}, file)
    call = Call(asked=asked, **arguments)
    mode = other_mode(call)
    if mode is None:
        _train(call)
    else:
        mode.run(call)


def _train(call: Call) -> None:
    shards, out, predictions = call.shards or Path(), call.out or Path(), call.predictions_file or Path()
    config = TrainConfig() if call.resume else overrides.build(call.asked)
    from mocrop_train import loop
    from mocrop_train.run import checkpoint

    if call.resume:
        last = out / "last.pt"
        if not last.exists():
            raise TrainError(
                f"{last}: no such checkpoint; a run that has saved nothing starts without --resume"
            )
        config = overrides.resumed(checkpoint.load(last)["config"], call.asked)
    outcome = loop.train(shards, out, config, resume=call.resume, verify=call.verify, predictions=predictions)
    click.echo(loop.format_report(outcome))
    if outcome.test:
        click.echo(f"predictions: {predictions}")
