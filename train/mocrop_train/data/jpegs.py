"""JPEGs to pixels: torchvision's decoder for plain pictures, Pillow for all others and for the last word."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mocrop_train.progress import log

try:
    from torchvision.io import ImageReadMode, decode_jpeg
except ImportError:  # torchvision has announced that its decoders will leave it
    decode_jpeg = None

# nvJPEG interpolates colour in another way: on a smooth picture a few levels
_TOLERANCE = 12
_SIZE = struct.Struct(">HH")
_FRAME_HEADERS = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
# tables and remarks, which a decoder reads or skips by their length; other markers are rare there
_SEGMENTS = frozenset({0xC4, 0xCC, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)})


class PictureError(ValueError):
    """Bytes that are no whole JPEG; the text says why."""


def decode(jpeg: bytes) -> Tensor:
    """Return a picture as uint8 RGB (3, height, width), whose memory is height, width, 3.

    Pictures in grey or CMYK are converted. Raises PictureError for what is no whole JPEG, and for one that
    is larger than Pillow opens. Both decoders are libjpeg-turbo with the same settings.
    """
    if decode_jpeg is not None and _is_plain(jpeg):
        try:
            pixels: Tensor = decode_jpeg(_bytes_of(jpeg), mode=ImageReadMode.RGB)
        except RuntimeError:
            return _decode_with_pillow(jpeg)  # which says in a line what is wrong
        return pixels
    return _decode_with_pillow(jpeg)


def decode_on(device: torch.device, jpegs: Sequence[bytes]) -> list[Tensor]:
    """Return pictures as uint8 RGB (3, height, width) on a device, decoded there: by nvJPEG on a GPU.

    What nvJPEG makes of a picture differs from `decode` by a few levels. If it cannot read one, all pictures
    of the call are left to `decode`. Raises PictureError as `decode` does.

    On a GPU no work may be queued on the current stream: nvJPEG writes to memory that a queued kernel may
    still read (pytorch/vision pull request 9606).
    """
    if decode_jpeg is not None and all(_is_plain(jpeg) for jpeg in jpegs):
        try:
            pixels: list[Tensor] = decode_jpeg(
                [_bytes_of(jpeg) for jpeg in jpegs], mode=ImageReadMode.RGB, device=device
            )
        except RuntimeError as error:
            log.debug("%s cannot decode a batch: %s", device, error)
        else:
            return pixels
    return [decode(jpeg).to(device) for jpeg in jpegs]


def can_decode_on(device: torch.device) -> bool:
    """Say whether a device decodes JPEGs, and decodes them right: a picture is tried."""
    if decode_jpeg is None or (device.type == "cuda" and not torch.cuda.is_available()):
        return False
    rows, columns = np.mgrid[:48, :64]
    picture = np.stack([4 * columns, 5 * rows, 2 * (rows + columns)], axis=2).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "JPEG", quality=95)
    if device.type == "cuda":
        torch.cuda.synchronize(device)  # see decode_on
    try:
        pixels = decode_jpeg([_bytes_of(out.getvalue())], mode=ImageReadMode.RGB, device=device)[0]
    except RuntimeError as error:  # a driver too old, or built without nvJPEG
        log.debug("%s decodes no JPEGs: %s", device, error)
        return False
    wrong = (pixels.cpu().int() - decode(out.getvalue()).int()).abs()
    return bool(wrong.max() <= _TOLERANCE)


def _decode_with_pillow(jpeg: bytes) -> Tensor:
    try:
        # Pillow would open many formats, and some with the help of other programs
        pixels = np.array(Image.open(io.BytesIO(jpeg), formats=("JPEG",)).convert("RGB"))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # what Pillow raises
        raise PictureError(str(error)) from error
    return torch.from_numpy(pixels).permute(2, 0, 1)


def _bytes_of(jpeg: bytes) -> Tensor:
    # torch wants bytes that could be written to
    return torch.frombuffer(bytearray(jpeg), dtype=torch.uint8)


def _is_plain(jpeg: bytes) -> bool:
    """Say whether its segments lead to a frame header, whose size is one that Pillow takes without a warning.

    torchvision allocates what the header claims, so it is looked at before. What is not plain here may be a
    good JPEG nevertheless.
    """
    if jpeg[:2] != b"\xff\xd8":
        return False
    at, end = 2, len(jpeg) - 9
    while at < end and jpeg[at] == 0xFF:
        marker = jpeg[at + 1]
        if marker in _FRAME_HEADERS:
            height, width = _SIZE.unpack_from(jpeg, at + 5)
            return bool(0 < height * width <= (Image.MAX_IMAGE_PIXELS or 0))
        if marker not in _SEGMENTS:
            return False
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4])
    return False
