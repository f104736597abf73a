"""Backbones and the weights they start from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from mocrop_train.config import MODELS, TrainConfig
from mocrop_train.errors import TrainError
from mocrop_train.models import backbones, build_model
from mocrop_train.run import checkpoint
from safetensors.torch import load_file, save_file
from torch import Tensor

SMALL = "mobilenet_v2"
REAL = Path(__file__).parents[2].parent / "shared" / "weights"


def pretrained(classes: int = 5) -> dict[str, Tensor]:
    """Return the weights of a network that has seen the world: nothing in it is at its initial value."""
    torch.manual_seed(3)
    state = torchvision.models.mobilenet_v2(num_classes=classes).state_dict()
    return {
        key: torch.rand_like(value) + 0.1 if value.is_floating_point() else value
        for key, value in state.items()
    }


def built(**options: Any) -> dict[str, Tensor]:
    return build_model(TrainConfig(model=SMALL, **options), 3).state_dict()


@pytest.mark.parametrize("name", MODELS)
def test_every_backbone_gives_logits_of_single_frames(name: str) -> None:
    model = build_model(TrainConfig(model=name), 4).eval()
    frames = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        assert model(frames).shape == (2, 4)
        assert torch.equal(model.head(model.features(frames)), model(frames))


def test_frames_are_normalised_with_the_mean_and_deviation_of_imagenet() -> None:
    model = build_model(TrainConfig(model=SMALL), 3).eval()
    frames = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    with torch.inference_mode():
        expected = model.backbone((frames / 255 - mean) / std)
        assert torch.allclose(model.features(frames), expected, atol=1e-4)


def test_resnet50_v1_has_its_strides_in_the_first_convolution_of_a_stage() -> None:
    v1, v15 = backbones.build("resnet50-v1", 3), backbones.build("resnet50", 3)
    for stage in ("layer2", "layer3", "layer4"):
        assert v1.get_submodule(f"{stage}.0.conv1").stride == (2, 2)
        assert v1.get_submodule(f"{stage}.0.conv2").stride == (1, 1)
        assert v15.get_submodule(f"{stage}.0.conv2").stride == (2, 2)
    assert v1.state_dict().keys() == v15.state_dict().keys()


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_weights_come_from_files_of_any_precision(tmp_path: Path, suffix: str, dtype: torch.dtype) -> None:
    path = tmp_path / f"weights{suffix}"
    state = {
        key: value.to(dtype) if value.is_floating_point() else value for key, value in pretrained().items()
    }
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    found = built(weights=str(path))
    for key, value in state.items():
        if not key.startswith("classifier"):
            assert torch.equal(
                found[f"backbone.{key}"], value.float() if value.is_floating_point() else value
            )
    assert {value.dtype for value in found.values()} == {torch.float32, torch.int64}


def test_a_head_for_as_many_classes_is_kept_and_another_one_dropped(tmp_path: Path) -> None:
    for classes in (3, 5):
        state = pretrained(classes)
        torch.save(state, tmp_path / "w.pth")
        found = built(weights=str(tmp_path / "w.pth"))
        kept = torch.equal(found["head.linear.bias"], state["classifier.1.bias"])
        assert kept == (classes == 3)


def test_weights_nested_as_state_dict_are_found(tmp_path: Path) -> None:
    state = pretrained()
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "w.pth")
    found = built(weights=str(tmp_path / "w.pth"))
    assert torch.equal(found["backbone.features.0.0.weight"], state["features.0.0.weight"])


def test_weights_of_the_features_part_alone_are_enough(tmp_path: Path) -> None:
    state = {
        key.removeprefix("features."): value
        for key, value in pretrained().items()
        if key.startswith("features.")
    }
    save_file(state, tmp_path / "features.safetensors")
    found = built(weights=str(tmp_path / "features.safetensors"))
    assert torch.equal(found["backbone.features.0.0.weight"], state["0.0.weight"])


def damaged() -> dict[str, Tensor]:
    state = pretrained()
    del state["features.1.conv.0.0.weight"]
    state["features.0.0.weight"] = torch.ones(8, 3, 3, 3)
    state["layer1.0.conv1.weight"] = torch.ones(1)
    return state


def test_every_key_that_does_not_fit_is_listed(tmp_path: Path) -> None:
    torch.save(damaged(), tmp_path / "w.pth")
    with pytest.raises(TrainError) as caught:
        built(weights=str(tmp_path / "w.pth"))
    message = str(caught.value)
    assert "1 missing (features.1.conv.0.0.weight)" in message
    assert "1 unexpected (layer1.0.conv1.weight)" in message
    assert "1 of another shape (features.0.0.weight (8, 3, 3, 3) for (32, 3, 3, 3))" in message
    assert "--allow-partial" in message
    assert "\n" not in message


@pytest.mark.parametrize("other", ["resnet18", "resnet50", "mobilenet_v3_large", "swin_t"])
def test_weights_of_another_model_are_refused_with_its_name(tmp_path: Path, other: str) -> None:
    torch.save(backbones.build(other, 7).state_dict(), tmp_path / "w.pth")
    with pytest.raises(TrainError, match=rf"does not fit {SMALL}: .*; --model {other} fits it") as caught:
        built(weights=str(tmp_path / "w.pth"))
    assert len(str(caught.value)) < 2000


def test_a_checkpoint_of_a_model_with_the_same_keys_is_refused_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = build_model(TrainConfig(model="resnet50-v1"), 3).state_dict()
    body = {"format": checkpoint.FORMAT, "model": state, "ema": None, "config": {"model": "resnet50-v1"}}
    torch.save(body, tmp_path / "best.pt")
    with pytest.raises(
        TrainError, match="a checkpoint of resnet50-v1, not of resnet50; give --model resnet50"
    ):
        build_model(TrainConfig(model="resnet50", weights=str(tmp_path / "best.pt")), 3)
    part = TrainConfig(model="resnet50", weights=str(tmp_path / "best.pt"), allow_partial=True)
    for config in (part, TrainConfig(model="resnet50-v1", weights=str(tmp_path / "best.pt"))):
        found = build_model(config, 3).state_dict()
        assert torch.equal(found["head.linear.weight"], state["head.linear.weight"])
    assert [record.levelname for record in caplog.records].count("WARNING") == 1


def test_allow_partial_loads_what_fits(tmp_path: Path) -> None:
    state = damaged()
    torch.save(state, tmp_path / "w.pth")
    found = built(weights=str(tmp_path / "w.pth"), allow_partial=True)
    assert torch.equal(found["backbone.features.2.conv.0.0.weight"], state["features.2.conv.0.0.weight"])


def test_weights_of_another_network_are_refused_even_in_part(tmp_path: Path) -> None:
    save_file({"encoder.weight": torch.ones(2)}, tmp_path / "other.safetensors")
    with pytest.raises(TrainError, match="nothing fits"):
        built(weights=str(tmp_path / "other.safetensors"), allow_partial=True)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("w.pth", b"garbage", "not a file of plain tensors"),
        ("w.safetensors", b"garbage", "not a file of plain tensors"),
        ("w.pth", None, "no such file"),
    ],
)
def test_an_unreadable_weights_file_is_one_line(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(TrainError, match=message) as caught:
        built(weights=str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_a_pickle_that_could_run_code_is_refused(tmp_path: Path) -> None:
    torch.save({"model": Path("/")}, tmp_path / "w.pth")
    with pytest.raises(TrainError, match="not a file of plain tensors"):
        built(weights=str(tmp_path / "w.pth"))


def test_without_a_network_imagenet_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # the discard port: nothing listens
    with pytest.raises(
        TrainError, match=r"cannot download https://.*; give --weights FILE or none"
    ) as caught:
        built(weights="imagenet")
    assert "\n" not in str(caught.value)


def test_imagenet_weights_that_torchvision_has_not_are_refused() -> None:
    with pytest.raises(TrainError, match="torchvision has none for resnet50-v1"):
        build_model(TrainConfig(model="resnet50-v1", weights="imagenet"), 3)


def test_a_frozen_backbone_has_nothing_to_train_but_the_head() -> None:
    model = build_model(TrainConfig(model=SMALL, freeze=True), 3)
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert trained == ["head.linear.weight", "head.linear.bias"]


@pytest.mark.parametrize(
    ("model", "file"),
    [
        ("resnet50-v1", "resnet50_imagenet_fp16.safetensors"),
        ("mobilenet_v2", "mobilenet_v2_features_fp16.safetensors"),
    ],
)
def test_real_weights_fit_whole(model: str, file: str) -> None:
    if not (REAL / file).exists():
        pytest.skip(f"{file} is not here; it is not part of the project")
    found = build_model(TrainConfig(model=model, weights=str(REAL / file), freeze=True), 6)
    stored = load_file(REAL / file)
    own = found.backbone.state_dict()
    prefix = "" if model.startswith("resnet") else "features."
    backbone = {f"{prefix}{key}": value for key, value in stored.items() if not key.startswith("fc.")}
    assert own.keys() == backbone.keys()
    assert all(torch.equal(own[key], backbone[key].to(own[key].dtype)) for key in own)
