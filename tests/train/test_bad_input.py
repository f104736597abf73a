"""What cannot be trained or evaluated is refused in one line that says what to do, or warned of in one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from mocrop_train.cli import main
from mocrop_train.models import backbones
from mocrop_train.run import checkpoint

TINY = ["--model", "mobilenet_v2", "--epochs", 1, "--batch-size", 8, "--segments", 1, "--device", "cpu"]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def refused(*arguments: object) -> str:
    """Return the one line on stderr with which a command refuses; nothing else is said or left."""
    result = call(*arguments, "--quiet")
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return str(line)


def warned(*arguments: object) -> list[str]:
    """Return the lines on stderr of a command that does its work."""
    result = call(*arguments, "--quiet")
    assert result.exit_code == 0, result.output
    return list(result.stderr.splitlines())


@pytest.fixture
def trained(toys: Any, tmp_path: Path) -> Path:
    """The folder of a finished run on the shard set `toy`."""
    result = call("--shards", toys.write(clips=toys.clips(train=8, test=4)), "--out", tmp_path / "run", *TINY)
    assert result.exit_code == 0, result.output
    return tmp_path / "run"


def changed(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Rewrite a checkpoint as if by hand."""
    body = checkpoint.load(path)
    change(body)
    path.unlink()  # last.pt and best.pt may be one file
    torch.save(body, path)
    return path


def only(toys: Any, *labels: int, splits: tuple[str, ...] = ("train", "test")) -> list[Any]:
    """Make clips of which those of some splits are of some classes only."""
    return [clip for clip in toys.clips() if clip.label in labels or clip.split not in splits]


def test_training_without_training_clips(toys: Any, tmp_path: Path) -> None:
    folder = toys.write(clips=toys.clips(train=0))
    assert "no clips in split train; there are test" in refused(
        "--shards", folder, "--out", tmp_path / "run", *TINY
    )
    assert not (tmp_path / "run").exists()


def test_training_with_no_clips_at_all(toys: Any, tmp_path: Path) -> None:
    folder = toys.write(clips=[])
    assert "no clips in split train; there are none" in refused(
        "--shards", folder, "--out", tmp_path / "run", *TINY
    )


@pytest.mark.parametrize("classes", [1, 3])
def test_training_on_one_class_only(toys: Any, tmp_path: Path, classes: int) -> None:
    folder = toys.write(clips=only(toys, 0), classes=toys.classes[:classes])
    line = refused("--shards", folder, "--out", tmp_path / "run", *TINY)
    assert line.endswith("all training clips are of one class, across; there is nothing to tell apart")
    assert not (tmp_path / "run").exists()


def test_classes_without_training_clips_are_named(toys: Any, tmp_path: Path) -> None:
    folder = toys.write(clips=only(toys, 0, 2, splits=("train",)))
    (line,) = warned("--shards", folder, "--out", tmp_path / "run", *TINY)
    assert line == "1 of 3 classes have no training clips and will not be learned: down"


def test_a_limit_under_the_number_of_classes(toys: Any, tmp_path: Path) -> None:
    line = refused("--shards", toys.write(), "--out", tmp_path / "run", *TINY, "--limit", 2)
    assert line.endswith("--limit 2: fewer clips than the 3 classes; give 3 or more")


def test_a_share_that_leaves_nothing_to_validate_on(toys: Any, tmp_path: Path) -> None:
    (line,) = warned("--shards", toys.write(), "--out", tmp_path / "run", *TINY, "--val-share", 0.01)
    assert line == (
        "no split val, and the smallest group that can be held out has 6 of 24 training clips, too many for "
        "--val-share 0.01: the last epoch is kept"
    )


def test_a_share_that_leaves_nothing_to_train_on(toys: Any, tmp_path: Path) -> None:
    line = refused("--shards", toys.write(), "--out", tmp_path / "run", *TINY, "--val-share", 1)
    assert line.endswith("--val-share: 1.0 is not in the range 0.0 to 0.5")


@pytest.mark.parametrize("text", ["0.4;0.8", "half", "0.4,,0.8"])
def test_steps_that_are_no_numbers(tmp_path: Path, text: str) -> None:
    line = refused("--shards", tmp_path, "--out", tmp_path / "run", "--lr-steps", text)
    assert f"'--lr-steps': '{text}' is not numbers such as 0.4,0.8" in line


def test_peeking_where_there_is_no_test(toys: Any, tmp_path: Path) -> None:
    folder = toys.write(clips=toys.clips(test=0))
    line = refused("--shards", folder, "--out", tmp_path / "run", *TINY, "--peek-at-test")
    assert "has no clips in split test; leave the option out" in line


def test_who_peeks_reads_it_beside_the_result_and_so_does_who_evaluates(toys: Any, tmp_path: Path) -> None:
    folder, run = toys.write(), tmp_path / "run"
    said = "selected on test: optimistic, not a result to report"
    assert said in call("--shards", folder, "--out", run, *TINY, "--peek-at-test").stdout
    evaluated = call("--shards", folder, "--eval-only", "--checkpoint", run / "best.pt")
    assert said in evaluated.stdout
    honest = call("--shards", folder, "--out", tmp_path / "honest", *TINY)
    assert said not in honest.output


def test_evaluation_of_an_empty_split(toys: Any, trained: Path) -> None:
    line = refused(
        "--shards", toys.folder / "toy", "--eval-only", "--checkpoint", trained / "best.pt", "--split", "val"
    )
    assert "no clips in split val; there are train, test" in line


def test_evaluation_on_other_classes(toys: Any, trained: Path) -> None:
    folder = toys.write("other", only(toys, 0, 1), classes=("across", "upright"))
    line = refused("--shards", folder, "--eval-only", "--checkpoint", trained / "best.pt")
    assert "3 classes where the shards have 2; only in the checkpoint: down, slanted;" in line
    assert line.endswith("only in the shards: upright")


def test_evaluation_on_one_class_only_is_warned_of(toys: Any, trained: Path) -> None:
    folder = toys.write("other", only(toys, 1))
    (line,) = warned("--shards", folder, "--eval-only", "--checkpoint", trained / "best.pt")
    assert "all clips of split test are of one class, down" in line


def test_weights_of_another_architecture(toys: Any, tmp_path: Path) -> None:
    path = tmp_path / "resnet18.pth"
    torch.save(backbones.build("resnet18", 7).state_dict(), path)
    line = refused("--shards", toys.write(), "--out", tmp_path / "run", *TINY, "--weights", path)
    assert "resnet18.pth does not fit mobilenet_v2: " in line
    assert line.endswith("; --model resnet18 fits it")
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_of_another_architecture_as_weights(toys: Any, tmp_path: Path, trained: Path) -> None:
    line = refused(
        *("--shards", toys.folder / "toy", "--out", tmp_path / "b", "--weights", trained / "best.pt"),
        *("--model", "resnet50"),
    )
    assert line.endswith("best.pt: a checkpoint of mobilenet_v2, not of resnet50; give --model mobilenet_v2")


def test_a_checkpoint_whose_settings_name_another_network(toys: Any, trained: Path) -> None:
    path = changed(trained / "best.pt", lambda body: body["config"].update(model="resnet18"))
    line = refused("--shards", toys.folder / "toy", "--eval-only", "--checkpoint", path)
    assert "weights do not fit the network of its settings" in line


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "vgg16"}, "--model: 'vgg16' is not one of"),
        ({"segment": 3}, "unknown setting 'segment'; did you mean segments?"),
        ({"epochs": "many"}, "--epochs: 'many' is not of type int"),
    ],
)
def test_a_checkpoint_with_broken_settings(
    toys: Any, trained: Path, settings: dict[str, Any], message: str
) -> None:
    path = changed(trained / "best.pt", lambda body: body["config"].update(settings))
    line = refused("--shards", toys.folder / "toy", "--eval-only", "--checkpoint", path)
    assert f"best.pt: its settings are not those of this release: {message}" in line


def test_resuming_with_another_model(toys: Any, trained: Path) -> None:
    line = refused("--shards", toys.folder / "toy", "--out", trained, "--resume", "--model", "swin_t")
    assert "--model swin_t: a resumed run keeps its settings, and there it is mobilenet_v2" in line


def test_resuming_with_another_recipe_or_other_steps(toys: Any, trained: Path) -> None:
    resume = ("--shards", toys.folder / "toy", "--out", trained, "--resume")
    assert "--recipe paper: a resumed run keeps its settings" in refused(*resume, "--recipe", "paper")
    line = refused(*resume, "--lr-steps", "0.1,0.2")
    assert "--lr-steps 0.1,0.2: a resumed run keeps its settings, and there it is 0.5,0.75" in line


@pytest.mark.parametrize("part", ["model", "optimizer", "rng"])
def test_resuming_from_parts_of_another_network(toys: Any, trained: Path, part: str) -> None:
    path = changed(trained / "last.pt", lambda body: body.update({part: {"other": torch.zeros(1)}}))
    line = refused("--shards", toys.folder / "toy", "--out", trained, "--resume")
    assert f"{path}: " in line
    assert "do not fit the network" in line or "cannot go on from it" in line


def test_a_folder_that_holds_another_run(toys: Any, trained: Path) -> None:
    before = (trained / "last.pt").read_bytes()
    line = refused("--shards", toys.folder / "toy", "--out", trained, *TINY)
    assert line.endswith("holds a run already; --resume goes on with it, another --out starts a new one")
    other = toys.write("other", toys.clips(train=9))
    assert "trained on other shards" in refused("--shards", other, "--out", trained, "--resume")
    fewer = toys.write("fewer", only(toys, 0, 1), classes=("across", "down"))
    assert "3 classes where the shards have 2" in refused("--shards", fewer, "--out", trained, "--resume")
    assert (trained / "last.pt").read_bytes() == before
