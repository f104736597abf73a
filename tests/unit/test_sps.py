"""The number of reference frames, held against FFmpeg's own reading of the same headers."""

from __future__ import annotations

import io
import re
import time

import av
import av.logging
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from av.video.stream import VideoStream
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mocrop_prep.video.sps import first_sps, reference_frames, sps_in_packet

CONTAINERS = ("mp4", "h264")


def encode(container: str, *, profile: str = "high", params: str = "ref=1", pixels: str = "yuv420p") -> bytes:
    """A short H.264 clip; mp4 keeps its headers as avcC, a bare stream as Annex B."""
    out = io.BytesIO()
    rng = np.random.default_rng(0)
    with av.open(out, "w", format=container) as target:
        options = {"profile": profile, "x264-params": f"threads=1:{params}"}
        stream = target.add_stream("libx264", rate=10, options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        for _ in range(6):
            picture = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixels)
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return out.getvalue()


def extradata_of(clip: bytes) -> bytes:
    with av.open(io.BytesIO(clip), "r") as container:
        extradata = container.streams.video[0].codec_context.extradata
        assert extradata is not None
        return bytes(extradata)


def traced_references(clip: bytes) -> int:
    """max_num_ref_frames as FFmpeg's bitstream filter `trace_headers` prints it."""
    level = av.logging.get_level()
    with av.open(io.BytesIO(clip), "r") as container:
        stream = container.streams.video[0]
        av.logging.set_level(av.logging.INFO)
        try:
            with av.logging.Capture() as lines:
                tracer = BitStreamFilterContext("trace_headers", stream)
                for packet in container.demux(stream):
                    tracer.filter(packet)
        finally:
            av.logging.set_level(level)
    found = re.search(r"max_num_ref_frames\s+[01]+ = (\d+)", "\n".join(line[2] for line in lines))
    assert found is not None
    return int(found[1])


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("profile", ["baseline", "main", "high"])
@pytest.mark.parametrize("references", [1, 2, 4])
def test_it_is_what_the_encoder_was_asked_for(container: str, profile: str, references: int) -> None:
    clip = encode(container, profile=profile, params=f"ref={references}:bframes=0:weightp=0")
    assert reference_frames(extradata_of(clip)) == traced_references(clip) == references


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize(
    ("profile", "params", "pixels"),
    [
        ("high", "ref=3:bframes=3:b-pyramid=normal", "yuv420p"),
        ("high", "ref=1:bframes=2", "yuv420p"),
        ("main", "ref=2:interlaced=1", "yuv420p"),
        ("high444", "ref=2:bframes=0", "yuv444p"),
        ("high422", "ref=5:bframes=0", "yuv422p"),
        ("high10", "ref=2:bframes=0", "yuv420p10le"),
        ("high", "ref=16:bframes=0:keyint=infinite", "yuv420p"),
        ("baseline", "keyint=1", "yuv420p"),
        ("high", "ref=1:bframes=0:sar=4096/4095:colorprim=bt709:fullrange=on", "yuv420p"),
    ],
)
def test_it_is_what_ffmpeg_reads(container: str, profile: str, params: str, pixels: str) -> None:
    clip = encode(container, profile=profile, params=params, pixels=pixels)
    assert reference_frames(extradata_of(clip)) == traced_references(clip)


def test_it_is_read_from_a_clip_as_the_pipeline_writes_it() -> None:
    params = "keyint=12:min-keyint=12:scenecut=0:bframes=0:ref=1:weightp=1:mbtree=0"
    assert reference_frames(extradata_of(encode("mp4", params=params))) == 1


class _Writer:
    """Bits and Exp-Golomb codes of a header."""

    def __init__(self) -> None:
        self.bits = ""

    def fixed(self, value: int, width: int) -> _Writer:
        self.bits += f"{value:0{width}b}"
        return self

    def golomb(self, *values: int) -> _Writer:
        for value in values:
            code = f"{value + 1:b}"
            self.bits += "0" * (len(code) - 1) + code
        return self

    def unit(self) -> bytes:
        """The NAL unit, with its stop bit and emulation prevention."""
        bits = self.bits + "1"
        bits += "0" * (-len(bits) % 8)
        raw = int(bits, 2).to_bytes(len(bits) // 8, "big")
        out, zeros = bytearray(), 0
        for byte in raw:
            if zeros == 2 and byte <= 3:
                out.append(3)
                zeros = 0
            out.append(byte)
            zeros = zeros + 1 if byte == 0 else 0
        return bytes(out)


def header(
    profile: int, identity: int, frame_bits: int, order: int, offsets: list[int], references: int
) -> bytes:
    """A sequence parameter set; `order` is pic_order_cnt_type, `offsets` those of type 1."""
    writer = _Writer().fixed(0x67, 8).fixed(profile, 8).fixed(0, 8).fixed(30, 8).golomb(identity)
    if profile == 100:
        writer.golomb(1, 0, 0).fixed(0, 2)
    writer.golomb(frame_bits, order)
    if order == 0:
        writer.golomb(12)
    if order == 1:
        writer.fixed(0, 1).golomb(2**18, 0, len(offsets), *offsets)
    return writer.golomb(references).fixed(0, 1).golomb(19, 14).fixed(0b1100, 4).unit()


def as_avcc(unit: bytes) -> bytes:
    picture_header = b"\x68\xce\x3c\x80"
    return (
        b"\x01\x42\x00\x1e\xff\xe1" + len(unit).to_bytes(2, "big") + unit + b"\x01\x00\x04" + picture_header
    )


@settings(max_examples=200)
@given(
    st.sampled_from((66, 77, 88, 100)),
    st.integers(0, 31),
    st.integers(0, 12),
    st.integers(0, 2),
    st.lists(st.integers(0, 2**20), max_size=6),
    st.integers(0, 16),
)
@example(66, 0, 0, 1, [2**30 - 1], 3)
def test_every_order_of_pictures_and_emulated_start_codes_are_read(
    profile: int, identity: int, frame_bits: int, order: int, offsets: list[int], references: int
) -> None:
    unit = header(profile, identity, frame_bits, order, offsets, references)
    assert reference_frames(as_avcc(unit)) == references
    assert reference_frames(b"\x00\x00\x00\x01" + unit + b"\x00\x00\x01\x68\xce") == references


def test_a_header_with_scaling_matrices_is_not_read() -> None:
    writer = _Writer().fixed(0x67, 8).fixed(100, 8).fixed(0, 8).fixed(30, 8).golomb(0, 1, 0, 0)
    unit = writer.fixed(0, 1).fixed(1, 1).fixed(0, 8).golomb(0, 2, 4).fixed(0, 8).unit()
    assert reference_frames(as_avcc(unit)) is None


@pytest.mark.parametrize("extradata", [None, b"", b"\x01", bytes(64), b"\xff" * 64, b"\x00\x00\x01"])
def test_without_a_header_there_is_no_number(extradata: bytes | None) -> None:
    assert reference_frames(extradata) is None


def test_an_avcc_record_without_a_sequence_header_has_no_number() -> None:
    # as in `avc3` tracks, whose parameter sets travel with the pictures
    pps = b"\x68\xeb\xe3\xcb\x22\xc0\x40\x12\x34\x56"
    record = b"\x01\x64\x00\x1e\xff" + b"\xe0" + b"\x01" + len(pps).to_bytes(2, "big") + pps
    assert reference_frames(record) is None


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_cut_header_has_the_number_or_none(container: str) -> None:
    extradata = extradata_of(encode(container, params="ref=4:bframes=0"))
    found = [reference_frames(extradata[:length]) for length in range(len(extradata) + 1)]
    assert found[0] is None
    assert found[-1] == 4
    assert set(found) <= {None, 4}


@settings(max_examples=400)
@given(
    st.binary(max_size=80), st.sampled_from((b"", b"\x01", b"\x00\x00\x01g", b"\x01d\x00\x1e\xff\xe1\x00"))
)
def test_garbage_is_never_an_exception(data: bytes, start: bytes) -> None:
    found = reference_frames(start + data)
    assert found is None or found >= 0


@settings(max_examples=100)
@given(st.data())
def test_damaged_headers_are_never_an_exception(data: st.DataObject) -> None:
    extradata = bytearray(ANNEX_B)
    for position in data.draw(st.lists(st.integers(0, len(extradata) - 1), min_size=1, max_size=5)):
        extradata[position] = data.draw(st.integers(0, 255))
    found = reference_frames(bytes(extradata))
    assert found is None or found >= 0


ANNEX_B = extradata_of(encode("h264", params="ref=4"))


@pytest.mark.parametrize(("container", "repeated"), [("mp4", 0), ("mp4", 1), ("h264", 1)])
def test_the_sps_inside_a_packet_is_that_of_the_header(container: str, repeated: int) -> None:
    params = f"repeat-headers={repeated}:keyint=3:min-keyint=3:scenecut=0:bframes=0"
    clip = encode(container, params=params)
    with av.open(io.BytesIO(clip), "r") as film:
        extradata = extradata_of(clip)
        carried = [
            (packet.is_keyframe, sps_in_packet(bytes(packet), extradata))
            for packet in film.demux(video=0)
            if packet.size
        ]
    assert first_sps(extradata) is not None
    in_band = first_sps(extradata) if repeated else None
    keys = [sps for is_key, sps in carried if is_key]
    assert keys[0] == in_band
    assert set(keys[1:]) <= {in_band}
    assert {sps for is_key, sps in carried if not is_key} == {None}


@given(packet=st.binary(max_size=60), extradata=st.binary(max_size=12))
def test_any_bytes_have_an_sps_or_none(packet: bytes, extradata: bytes) -> None:
    for form in (extradata, b"\x01" + extradata):
        found = sps_in_packet(packet, form)
        assert found is None or found.rstrip(b"\x00") in packet


def test_a_code_without_end_is_refused_at_once() -> None:
    zeros = b"\x67\x42\x00\x1e" + bytes(200_000)
    started = time.perf_counter()
    assert reference_frames(b"\x00\x00\x01" + zeros + b"\x01") is None
    assert time.perf_counter() - started < 1
