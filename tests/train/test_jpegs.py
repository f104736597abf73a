"""Pictures become the pixels that Pillow sees, whatever decodes them; what is no whole JPEG is refused."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mocrop_train.data import jpegs
from numpy.typing import NDArray
from PIL import Image

CPU, GPU = torch.device("cpu"), torch.device("cuda")
# both decoders are libjpeg-turbo; two releases of it may round in different ways
TOLERANCE = 2


def picture() -> Image.Image:
    """Make a picture of noise, coarse enough that a JPEG holds it, with sides that fill no block."""
    noise = np.random.default_rng(0).integers(0, 256, (21, 27, 3), dtype=np.uint8)
    return Image.fromarray(noise.repeat(5, 0).repeat(5, 1))


def encoded(image: Image.Image | None = None, **options: Any) -> bytes:
    out = io.BytesIO()
    (image or picture()).save(out, **{"format": "JPEG", "quality": 95, **options})
    return out.getvalue()


def seen_by_pillow(jpeg: bytes) -> NDArray[np.int64]:
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")).astype(np.int64)


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x112] = 6
    return exif


FORMS = {
    "4:2:0": encoded(subsampling=2),
    "4:2:2": encoded(subsampling=1),
    "4:4:4": encoded(subsampling=0),
    "progressive": encoded(progressive=True),
    "optimised": encoded(optimize=True),
    "restart markers": encoded(restart_marker_rows=1),
    "grey": encoded(picture().convert("L")),
    "CMYK": encoded(picture().convert("CMYK")),
    "EXIF rotation": encoded(exif=turned()),
    "remark": encoded(comment=b"\xff\xc0" * 99),
    "bytes behind the end": encoded() + b"more",
}
BROKEN = {
    "empty": b"",
    "half": encoded()[: len(encoded()) // 2],
    "without its end": encoded()[:-20],
    "behind a byte": b"x" + encoded(),
    "PNG": encoded(format="PNG", quality=None),
    "GIF": encoded(format="GIF", quality=None),
    "a head alone": encoded()[:4],
    "a segment beyond the end": b"\xff\xd8\xff\xe0\xff\xff",
}


@pytest.mark.parametrize("form", FORMS)
def test_pixels_are_those_that_pillow_sees(form: str) -> None:
    pixels = jpegs.decode(FORMS[form])
    assert pixels.dtype == torch.uint8
    assert np.abs(pixels.permute(1, 2, 0).numpy() - seen_by_pillow(FORMS[form])).max() <= TOLERANCE


@pytest.mark.parametrize("form", FORMS)
def test_pixels_are_the_same_once_torchvision_decodes_no_more(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_torchvision = jpegs.decode(FORMS[form])
    monkeypatch.setattr(jpegs, "decode_jpeg", None)
    with_pillow = jpegs.decode(FORMS[form])
    assert (with_torchvision.int() - with_pillow.int()).abs().max() <= TOLERANCE
    assert with_torchvision.stride() == with_pillow.stride()
    assert torch.equal(jpegs.decode_on(CPU, [FORMS[form]])[0], with_pillow)
    assert not jpegs.can_decode_on(CPU)


def test_the_fast_decoder_takes_the_pictures_that_the_pipeline_writes() -> None:
    assert jpegs._is_plain(encoded())
    assert jpegs._is_plain(encoded(picture().convert("L")))


@pytest.mark.parametrize("fault", BROKEN)
def test_what_is_no_whole_jpeg_is_refused_in_one_line(fault: str) -> None:
    with pytest.raises(jpegs.PictureError) as caught:
        jpegs.decode(BROKEN[fault])
    assert "\n" not in str(caught.value)
    with pytest.raises(jpegs.PictureError):
        jpegs.decode_on(CPU, [encoded(), BROKEN[fault]])


@pytest.mark.parametrize("side", [9460, 65500])
def test_a_header_that_claims_more_than_pillow_opens_calmly_is_left_to_pillow(side: int) -> None:
    claims = bytearray(encoded())
    at = claims.index(b"\xff\xc0") + 5
    claims[at : at + 4] = side.to_bytes(2) * 2
    assert not jpegs._is_plain(bytes(claims))


@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, 700), value=st.integers(0, 255), cut=st.integers(0, 2000))
def test_damaged_bytes_are_decoded_or_refused_and_never_beyond_the_limit(
    place: int, value: int, cut: int
) -> None:
    damaged = bytearray(encoded())
    damaged[place] = value
    del damaged[len(damaged) - cut :]
    if jpegs._is_plain(bytes(damaged)):
        try:
            pixels = jpegs.decode(bytes(damaged))
        except jpegs.PictureError:
            return
        assert pixels.shape[1] * pixels.shape[2] <= (Image.MAX_IMAGE_PIXELS or 0)


def test_a_device_that_decodes_gives_the_pictures_in_their_order() -> None:
    pictures = jpegs.decode_on(CPU, list(FORMS.values()))
    assert all(torch.equal(a, jpegs.decode(b)) for a, b in zip(pictures, FORMS.values(), strict=True))


def test_a_cpu_decodes_and_a_gpu_that_is_not_there_does_not() -> None:
    assert jpegs.can_decode_on(CPU)
    if not torch.cuda.is_available():
        assert not jpegs.can_decode_on(GPU)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_decodes_nearly_the_pixels_of_the_cpu() -> None:
    if not jpegs.can_decode_on(GPU):
        pytest.skip("torchvision was built without nvJPEG")
    torch.cuda.synchronize()
    smooth = encoded(picture().resize((640, 480), Image.Resampling.BICUBIC))
    on_gpu = jpegs.decode_on(GPU, [smooth] * 3)
    assert {pixels.device.type for pixels in on_gpu} == {"cuda"}
    wrong = (on_gpu[2].cpu().int() - jpegs.decode(smooth).int()).abs().float()
    assert wrong.mean() < 2
