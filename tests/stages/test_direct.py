"""Sources that are read in place: which they are, that nothing of them is guessed, what is left of them."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
from av.codec.context import Flags2
from av.packet import Packet
from mocrop_manifests import read_crops
from mocrop_prep.config import ShardSettings, TranscodeSettings
from mocrop_prep.errors import ClipError, UsageError
from mocrop_prep.stages.extract import extract_clip
from mocrop_prep.stages.shard import frames_to_keep
from mocrop_prep.stages.transcode import transcode_clip
from mocrop_prep.vectors import AV_MOTION_VECTOR, SCHEMA
from mocrop_prep.video import VECTOR_CODECS, StreamIndex, inspect_source, predicted_index, read_clip
from numpy.typing import NDArray

from tests.commands import DEFAULT, journal, ok, outputs, prep, tree
from tests.conftest import HOLDOUT
from tests.corpus import corpus
from tests.films import DVD, VP9, WEB, XVID, Film, encode, moving_square

DIRECT = TranscodeSettings(direct=True)
SIZE = (176, 144)
FILMS = {
    "h264, B-frames, references, 8x8dct": (
        "a.mp4", Film(b_frames=3, gop=40, options={"x264-params": "ref=4:8x8dct=1:b-pyramid=normal"})
    ),
    "h264, CAVLC": ("a.mkv", Film(b_frames=2, gop=40, options={"x264-params": "cabac=0:ref=2"})),
    "h264 in AVI": ("a.avi", Film(gop=40, options={"x264-params": "ref=3"})),
    "mpeg1video": ("a.mpg", Film(codec="mpeg1video", b_frames=2)),
    "mpeg2video": ("a.mpg", DVD),
    "mpeg4": ("a.avi", Film(codec="mpeg4", gop=40)),
    "mpeg4, B-frames": ("a.avi", XVID),
    "mpeg4, B-frames, quarter pixels": (
        "a.mp4", Film(codec="mpeg4", b_frames=2, options={"flags": "+qpel+mv4"})
    ),
    "msmpeg4v2": ("a.avi", Film(codec="msmpeg4v2")),
    "msmpeg4v3": ("a.avi", Film(codec="msmpeg4")),
    "h263": ("a.mov", Film(codec="h263")),
    "flv1": ("a.flv", Film(codec="flv")),
    "wmv1": ("a.wmv", Film(codec="wmv1")),
    "wmv2": ("a.wmv", Film(codec="wmv2")),
}  # fmt: skip


def film(folder: Path, name: str, count: int = 40) -> Path:
    file, how = FILMS[name]
    return encode(folder / file, moving_square(count, size=SIZE), how)


def plain_decode(path: Path) -> list[tuple[NDArray[np.uint8], NDArray[Any]]]:
    """Decode in one thread and nothing else: planes and vectors of every frame."""
    found: list[tuple[NDArray[np.uint8], NDArray[Any]]] = []
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        context.thread_count = 1
        context.flags2 |= Flags2.export_mvs
        for frame in container.decode(video=0):
            data = frame.side_data.get("MOTION_VECTORS")
            vectors = np.frombuffer(b"" if data is None else bytes(data), AV_MOTION_VECTOR)
            found.append((np.asarray(frame.to_ndarray(format="yuv420p"), np.uint8), vectors))
    return found


def index_of(path: Path) -> StreamIndex:
    return read_clip(path, lambda one: one.decode(sink=None), source=inspect_source(path))[0]


def insert_dropped(source: Path, target: Path, places: Sequence[int]) -> Path:
    """Copy an MPEG-4 film at 25 frames/s, with frames before these that say that they are not coded."""
    with av.open(str(source)) as old, av.open(str(target), "w") as out:
        copied = out.add_stream_from_template(old.streams.video[0])
        packets = [packet for packet in old.demux(old.streams.video[0]) if packet.size]
        number = 0
        for place, packet in enumerate(packets):
            both: list[Packet[Any]] = [Packet(bytes.fromhex("000001b6504f")), packet]
            for one in both if place in places else both[1:]:
                one.stream, one.time_base = copied, Fraction(1, 25)
                one.pts = one.dts = number
                out.mux(one)
                number += 1
    return target


@pytest.mark.parametrize("name", FILMS)
def test_vectors_and_pictures_of_every_codec_are_those_of_a_plain_decode(tmp_path: Path, name: str) -> None:
    source = film(tmp_path, name)
    done = transcode_clip(source, tmp_path / "none.mp4", DIRECT)
    assert (done["action"], done["damaged"]) == ("direct", 0)
    assert not (tmp_path / "none.mp4").exists()
    plain = plain_decode(source)
    extract_clip(source, tmp_path / "a.parquet", direct=True)
    stored = pq.read_table(tmp_path / "a.parquet")
    for column in SCHEMA.names[1:]:
        wanted = np.concatenate([vectors[column] for _, vectors in plain])
        assert np.array_equal(stored[column].to_numpy(), wanted), column
    lengths = np.bincount(stored["frame"].to_numpy(), minlength=len(plain))
    assert lengths.tolist() == [len(vectors) for _, vectors in plain]
    assert lengths.sum() > 40 * 50
    _, pictures = read_clip(
        source, lambda one: one.decode(sink=None, keep=range(40)), source=inspect_source(source)
    )
    for number, (planes, _) in enumerate(plain):
        picture = np.concatenate([plane.ravel() for plane in pictures[number]])
        assert np.array_equal(picture, planes.ravel())


def test_the_codecs_tried_here_are_those_that_are_read_in_place(tmp_path: Path) -> None:
    assert {inspect_source(film(tmp_path, name)).codec for name in FILMS} == VECTOR_CODECS


UNLIKE = {
    "no motion vectors of vp9": ("a.webm", VP9),
    "not yuv420p": ("a.mp4", Film(pix_fmt="yuv444p")),
    "not square": ("a.mp4", Film(aspect=Fraction(4, 3))),
    "rotated": ("a.mp4", Film(rotation=90)),
    "colours are not BT.601": ("a.mp4", Film(colorspace=1)),
    "full range": ("a.mp4", Film(pix_fmt="yuvj420p")),
    "interlaced": ("a.mp4", Film(options={"x264-params": "tff=1"})),
}


@pytest.mark.parametrize("rule", UNLIKE)
def test_what_is_not_as_promised_is_encoded_and_never_says_why(tmp_path: Path, rule: str) -> None:
    name, how = UNLIKE[rule]
    source = encode(tmp_path / name, moving_square(14), how)
    assert transcode_clip(source, tmp_path / "out.mp4", DIRECT)["action"] == "encode"
    with pytest.raises(ClipError, match=rule) as refused:
        transcode_clip(source, tmp_path / "out.mp4", TranscodeSettings(direct=True, transcode="never"))
    assert refused.value.code == "needs-transcode"


def test_a_source_that_must_be_scaled_is_encoded(tmp_path: Path) -> None:
    source = encode(tmp_path / "a.avi", moving_square(14), XVID)
    scaled = TranscodeSettings(direct=True, short_side=64)
    assert transcode_clip(source, tmp_path / "out.mp4", scaled)["action"] == "encode"


def test_a_source_without_a_key_frame_is_encoded(tmp_path: Path) -> None:
    source = next(case for case in corpus() if case.name == "no-key-xvid.avi").write(tmp_path)
    plain = transcode_clip(source, tmp_path / "plain.mp4", TranscodeSettings())
    assert transcode_clip(source, tmp_path / "out.mp4", DIRECT) == plain
    assert plain["action"] == "encode"


def test_to_read_in_place_and_to_encode_always_are_not_asked_for_together() -> None:
    with pytest.raises(UsageError, match="drop one"):
        TranscodeSettings(direct=True, transcode="always")


class TestIndex:
    """What is foreseen of the frames, and that the decode has the last word."""

    @pytest.mark.parametrize("name", FILMS)
    def test_frames_and_key_frames_are_numbered_as_they_are_shown(self, tmp_path: Path, name: str) -> None:
        source = film(tmp_path, name)
        with av.open(str(source)) as container:
            keys = [n for n, frame in enumerate(container.decode(video=0)) if frame.key_frame]
        index = index_of(source)
        assert (index.info.frames, list(index.info.key_frames)) == (40, keys)
        assert index.info.fps == 25
        assert index.times == pytest.approx([n / 25 for n in range(40)], abs=0.002)

    @pytest.mark.parametrize("name", FILMS)
    def test_the_guess_is_right_where_packets_are_frames(self, tmp_path: Path, name: str) -> None:
        source = film(tmp_path, name)
        assert predicted_index(inspect_source(source)) == index_of(source)

    def test_a_wrong_guess_is_told_by_the_decode_and_done_again(self, tmp_path: Path) -> None:
        whole = encode(tmp_path / "whole.avi", moving_square(30), Film(codec="mpeg4"))
        source = insert_dropped(whole, tmp_path / "dropped.avi", (5, 17, 18))
        guess = predicted_index(inspect_source(source))
        assert (guess.info.frames, guess.info.key_frames) == (33, (0, 13, 27))
        assert index_of(source) == index_of(whole)
        assert index_of(whole).info.key_frames == (0, 12, 24)
        extract_clip(whole, tmp_path / "whole.parquet", direct=True)
        extract_clip(source, tmp_path / "dropped.parquet", direct=True)
        assert (tmp_path / "whole.parquet").read_bytes() == (tmp_path / "dropped.parquet").read_bytes()

    def test_sound_times_are_kept_from_zero(self, tmp_path: Path) -> None:
        stamps = [500, 540, 570, 650, 660, 833, 900, 901, 1000, 1400, 1433, 1466, 1500]
        how = Film(b_frames=2, milliseconds=stamps)
        index = index_of(encode(tmp_path / "a.mkv", moving_square(13), how))
        assert index.times == pytest.approx([(stamp - 500) / 1000 for stamp in stamps], abs=1e-6)
        assert index.info.fps == pytest.approx(12)

    def test_where_there_is_no_key_frame_of_many_a_number_means_frames_of_any_kind(
        self, tmp_path: Path
    ) -> None:
        index = index_of(encode(tmp_path / "a.avi", moving_square(40), Film(codec="mpeg4", gop=20)))
        assert index.info.key_frames == (0, 20)
        kept = {
            frames: frames_to_keep(index, ShardSettings(frames=frames))
            for frames in ("2", "4", "uniform:4", "key:4", "all")
        }
        assert kept["2"] == kept["key:4"] == kept["all"] == [0, 20]
        assert kept["4"] == kept["uniform:4"] == [5, 15, 25, 35]


def staged(source: Path, workdir: Path, *options: object) -> None:
    ok("transcode", source, workdir, *HOLDOUT, "--direct")
    ok("extract", workdir)
    ok("crop", workdir)
    ok("shard", workdir, *options)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source in which most clips can be read in place; one has fewer frames than packets."""
    root = tmp_path_factory.mktemp("mixed") / "clips"
    encode(root / "walk/v_walk_g01_c01.avi", moving_square(seed=1), XVID)
    encode(root / "walk/v_walk_g02_c01.mp4", moving_square(40, seed=2), WEB)
    encode(root / "walk/v_walk_g03_c01.webm", moving_square(seed=3), VP9)
    encode(root / "run/v_run_g01_c01.mpg", moving_square(seed=4, flip=True), DVD)
    whole = encode(root.parent / "whole.avi", moving_square(30, seed=5, flip=True), Film(codec="mpeg4"))
    insert_dropped(whole, root / "run/v_run_g02_c01.avi", (5, 17))
    encode(root / "run/v_run_g03_c01.flv", moving_square(30, seed=6, flip=True), Film(codec="flv", gop=50))
    return root


ROUTES = {
    "run__v_run_g01_c01": "direct",
    "run__v_run_g02_c01": "direct",
    "run__v_run_g03_c01": "direct",
    "walk__v_walk_g01_c01": "direct",
    "walk__v_walk_g02_c01": "direct",
    "walk__v_walk_g03_c01": "encode",
}


@pytest.fixture(scope="module")
def done(mixed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WORKDIR after the four stages."""
    workdir = tmp_path_factory.mktemp("done") / "work"
    staged(mixed, workdir)
    return workdir


@pytest.fixture
def workdir(done: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return Path(shutil.copytree(done, tmp_path / "work"))


@pytest.fixture
def own(mixed: Path, tmp_path: Path) -> Path:
    """A copy of the source that a test may change."""
    return Path(shutil.copytree(mixed, tmp_path / "clips"))


def routes(workdir: Path) -> dict[str, str | None]:
    return {row.clip_id: row.route for row in read_crops(workdir / "crops" / f"{DEFAULT}.csv")}


class TestCommands:
    def test_run_writes_what_the_stages_write_and_the_manifest_says_how(
        self, mixed: Path, done: Path, tmp_path: Path
    ) -> None:
        ok("run", mixed, tmp_path / "fused", *HOLDOUT, "--direct")
        assert outputs(tmp_path / "fused") == outputs(done)
        assert routes(done) == ROUTES
        assert not (tmp_path / "fused" / "transcoded").exists()
        assert [path.name for path in (done / "transcoded").iterdir()] == ["walk__v_walk_g03_c01.mp4"]

    @pytest.mark.parametrize("frames", ["key:2", "all", "uniform:5"])
    def test_keep_keeps_what_the_stages_leave_whatever_frames_are_stored(
        self, mixed: Path, workdir: Path, tmp_path: Path, frames: str
    ) -> None:
        ok("shard", workdir, "--frames", frames)
        ok("run", mixed, tmp_path / "fused", *HOLDOUT, "--direct", "--keep", "--frames", frames)
        for part in ("crops", "shards", "motion", "transcoded"):
            assert tree(tmp_path / "fused" / part) == tree(workdir / part)
        assert prep("verify", tmp_path / "fused").status == 0
        # what was kept is taken up by the stages
        ok("extract", tmp_path / "fused")
        assert tree(tmp_path / "fused" / "motion") == tree(workdir / "motion")

    def test_a_second_run_does_nothing_and_takes_up_what_transcode_left(
        self, mixed: Path, workdir: Path
    ) -> None:
        foreseen = prep("run", mixed, workdir, *HOLDOUT, "--direct", "--dry-run")
        assert f"run-{DEFAULT}: 6 to do, 0 done before" in foreseen.out
        ok("run", mixed, workdir, *HOLDOUT, "--direct")
        before = tree(workdir)
        again = prep("run", mixed, workdir, *HOLDOUT, "--direct", "--jobs", 1)
        assert again.out.splitlines()[1].split()[:5] == [f"run-{DEFAULT}", "6", "0", "6", "0"]
        staged(mixed, workdir)
        after = tree(workdir)
        assert {name for name in after if not name.startswith("reports/")} == {
            name for name in before if not name.startswith("reports/")
        }
        assert outputs(workdir) == {name: before[name] for name in outputs(workdir)}
        assert len(journal(workdir, "transcode")) == len(journal(workdir, "extract")) == 6

    def test_status_and_summary_count_the_routes(self, done: Path) -> None:
        told = prep("status", done).out
        assert "transcode   6 of 6 done, 0 failed; 1 encode, 5 direct" in told
        summary = json.loads((done / "reports" / "summary.json").read_text())
        assert summary["stages"][0]["stage"] == f"shard-{DEFAULT}"

    def test_the_record_of_a_source_read_in_place_is_that_of_the_source(
        self, mixed: Path, done: Path
    ) -> None:
        record = next(one for one in journal(done, "transcode") if one["clip_id"] == "walk__v_walk_g01_c01")
        assert record["data"]["sha256"] == record["data"]["source"]["sha256"]
        assert record["data"]["bytes"] == (mixed / "walk/v_walk_g01_c01.avi").stat().st_size

    def test_without_it_the_same_workdir_is_transcoded_and_with_it_no_more(
        self, mixed: Path, workdir: Path
    ) -> None:
        ok("transcode", mixed, workdir, *HOLDOUT)
        assert len(list((workdir / "transcoded").iterdir())) == 6
        ok("extract", workdir)
        staged(mixed, workdir)
        assert [path.name for path in (workdir / "transcoded").iterdir()] == ["walk__v_walk_g03_c01.mp4"]
        assert prep("verify", workdir).status == 0

    def test_preview_shows_such_clips_with_and_without_their_vectors(self, workdir: Path) -> None:
        for _ in range(2):
            ok("preview", workdir, "--all")
            page = (workdir / "reports" / "preview.html").read_text()
            assert "no frame" not in page
            assert "no density" not in page
            shutil.rmtree(workdir / "motion", ignore_errors=True)


class TestChange:
    """A source that is read in place may change, go, or be damaged."""

    def test_a_changed_source_is_told_by_every_stage_until_transcode_has_run(
        self, own: Path, tmp_path: Path
    ) -> None:
        workdir = tmp_path / "work"
        staged(own, workdir)
        encode(own / "walk/v_walk_g01_c01.avi", moving_square(seed=9), XVID)
        told = prep("verify", workdir)
        assert told.status == 1
        assert "v_walk_g01_c01.avi: changed since its clip was read from it" in told.out
        outcome = prep("shard", workdir, "--size", 32, "--quiet", "--jobs", 1)
        assert outcome.status == 1
        with (workdir / "reports" / "failures.csv").open() as file:
            (failure,) = csv.DictReader(file)
        assert failure["code"] == "bad-intermediate"
        assert "run `mocrop-prep transcode SOURCE WORKDIR` again" in failure["detail"]
        staged(own, workdir)
        ok("run", own, tmp_path / "fresh", *HOLDOUT, "--direct")
        assert outputs(workdir) == outputs(tmp_path / "fresh")
        assert prep("verify", workdir).status == 0

    def test_sources_that_are_gone_are_no_damage_but_cannot_be_read_again(
        self, own: Path, tmp_path: Path
    ) -> None:
        workdir = tmp_path / "work"
        staged(own, workdir)
        shutil.rmtree(own / "walk")
        told = prep("verify", workdir)
        assert (told.status, "3 sources read in place match their SHA-256; 2 are not there" in told.out) == (
            0,
            True,
        )
        assert prep("shard", workdir, "--size", 32, "--quiet", "--jobs", 1).status == 1

    @pytest.mark.parametrize("keep", [False, True], ids=["fail", "keep"])
    def test_damage_that_only_decoding_shows_fails_or_is_transcoded_with_what_decodes(
        self, own: Path, tmp_path: Path, keep: bool
    ) -> None:
        victim = own / "walk/v_walk_g02_c01.mp4"
        content = bytearray(victim.read_bytes())
        middle = len(content) // 2
        content[middle : middle + 400] = bytes(400)
        victim.write_bytes(content)
        how = ("--direct", "--on-corrupt", "keep" if keep else "fail")
        prep("transcode", own, tmp_path / "stages", *HOLDOUT, *how, "--quiet", "--jobs", 1)
        for stage in ("extract", "crop", "shard"):
            prep(stage, tmp_path / "stages", "--quiet", "--jobs", 1)
        prep("run", own, tmp_path / "fused", *HOLDOUT, *how, "--quiet", "--jobs", 1)
        assert outputs(tmp_path / "stages") == outputs(tmp_path / "fused")
        row = next(
            row
            for row in read_crops(tmp_path / "fused" / "crops" / f"{DEFAULT}.csv")
            if row.clip_id == "walk__v_walk_g02_c01"
        )
        expected = ("ok", "", "encode") if keep else ("failed", "corrupt", "direct")
        assert (row.status, row.reason, row.route) == expected
        assert (row.damaged or 0) > 0
