"""SOURCE in a store: the clips, and every byte that is made of them, are those of the same folder on disk."""

from __future__ import annotations

import csv
import functools
import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import pytest

from tests.commands import DEFAULT, Outcome, journal, ok, outputs, prep, tree
from tests.conftest import HOLDOUT
from tests.films import WEB, encode, moving_square
from tests.stores import Bucket

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed: no URLs to test")


@pytest.fixture(scope="session")
def on_disk(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos with and without a word about them in their names, and what is none."""
    root = Path(shutil.copytree(source, tmp_path_factory.mktemp("on-disk") / "clips"))
    shutil.copy(root / "walk/v_walk_g02_c01.mp4", root / "walk/film.of_mine")
    (root / "walk/noise.of_mine").write_bytes(b"no film " * 500)
    (root / "run/.hidden.mp4").write_bytes(b"")
    (root / "run/notes.txt").write_text("nothing\n")
    (root / "odd name, =1+1 é").mkdir()
    shutil.copy(root / "walk/v_walk_g02_c01.mp4", root / "odd name, =1+1 é/a b#c?d%20.mp4")
    return root


@pytest.fixture(scope="session")
def made(on_disk: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WORKDIR of the folder on disk."""
    workdir = tmp_path_factory.mktemp("made") / "work"
    ok("run", on_disk, workdir, *HOLDOUT, "--keep", "--backend", "sequential")
    return workdir


def here(*arguments: object) -> Outcome:
    """Run a command without workers, which take a while to start."""
    return ok(*arguments, "--backend", "sequential")


def results(workdir: Path) -> dict[str, str]:
    return {
        name: digest for name, digest in tree(workdir).items() if not name.startswith(("journal/", "rep"))
    }


def test_a_folder_in_a_store_gives_the_bytes_of_the_folder_on_disk(
    on_disk: Path, made: Path, bucket: Bucket, tmp_path: Path
) -> None:
    ok("run", bucket.put(on_disk, "clips"), tmp_path / "work", *HOLDOUT, "--keep")
    assert results(tmp_path / "work") == results(made)
    assert not list(tmp_path.rglob(".tmp-*"))


@pytest.mark.slow
def test_the_stages_read_a_store_as_the_fused_run_does(
    on_disk: Path, made: Path, bucket: Bucket, tmp_path: Path
) -> None:
    here("transcode", bucket.put(on_disk, "clips"), tmp_path / "work", *HOLDOUT)
    for stage in ("extract", "crop", "shard"):
        here(stage, tmp_path / "work")
    assert results(tmp_path / "work") == results(made)


def test_one_listing_stands_for_all_clips_and_each_is_fetched_once(
    source: Path, bucket: Bucket, tmp_path: Path
) -> None:
    clips = bucket.put(source, "clips")
    asked = bucket.server.requests
    asked.clear()
    here("run", clips, tmp_path / "work")
    videos = sorted(f"/{bucket.name}/clips/{path.relative_to(source)}" for path in source.glob("*/*"))
    assert sorted(path for method, path in asked if method == "GET" and "/clips/" in path) == videos
    asked.clear()
    here("run", clips, tmp_path / "work")
    assert len(asked) <= 1 + 2  # the folder and its two classes: not one for a clip


def table(path: Path, rows: list[tuple[str, str]]) -> Path:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([("path", "label"), *rows])
    return path


@pytest.mark.parametrize("where", ["a table in the store", "a table on disk, with URLs"])
def test_a_table_of_objects_is_read_as_one_of_files(
    source: Path, bucket: Bucket, tmp_path: Path, where: str
) -> None:
    clips = bucket.put(source, "clips")
    names = sorted(path.relative_to(source).as_posix() for path in source.glob("*/*"))
    rows = [(name, name.split("/")[0]) for name in names]
    if where == "a table in the store":
        local = table(
            source.parent / f"{uuid4().hex}.csv", [(f"clips/{name}", label) for name, label in rows]
        )
        bucket.write("list.csv", local.read_bytes())
        here("run", f"{bucket.url}/list.csv", tmp_path / "far")
        here("run", local, tmp_path / "near")
        assert outputs(tmp_path / "far") == outputs(tmp_path / "near")
    else:
        here(
            "run",
            table(tmp_path / "urls.csv", [(f"{clips}/{name}", label) for name, label in rows]),
            tmp_path / "far",
        )
        records = journal(tmp_path / "far", f"run-{DEFAULT}")
        assert [record["status"] for record in records] == ["ok"] * len(rows)
        assert not {record["clip_id"] for record in records} & {name.split(".")[0] for name in names}


def test_lists_in_the_store_choose_clips_as_lists_on_disk(
    source: Path, bucket: Bucket, tmp_path: Path
) -> None:
    clips = bucket.put(source, "clips")
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "trainlist01.txt").write_text("walk/v_walk_g01_c01.avi 1\nrun/v_run_g01_c01.mpg 2\n")
    (lists / "testlist01.txt").write_text("walk/v_walk_g02_c01.avi\n")
    far = bucket.put(lists, "lists")
    here("transcode", clips, tmp_path / "far", "--train-list", far, "--test-list", f"{far}/testlist01.txt")
    here(
        "transcode", source, tmp_path / "near", "--train-list", lists, "--test-list", lists / "testlist01.txt"
    )
    assert (tmp_path / "far/clips.csv").read_bytes() == (tmp_path / "near/clips.csv").read_bytes()


def test_an_object_that_changes_is_done_again_and_one_that_is_stored_again_is_not(
    source: Path, bucket: Bucket, tmp_path: Path
) -> None:
    clips = bucket.put(source, "clips")
    here("transcode", clips, tmp_path / "work")
    bucket.put(source, "clips")
    bucket.write("clips/walk/v_walk_g01_c01.avi", (source / "walk/v_walk_g03_c01.mov").read_bytes())
    foreseen = prep("transcode", clips, tmp_path / "work", "--dry-run")
    assert "transcode: 1 to do, 5 done before" in foreseen.out
    assert "1 x source changed" in foreseen.out
    assert "1 to do: source changed" in prep("status", tmp_path / "work").out
    here("transcode", clips, tmp_path / "work")
    assert "transcode: 0 to do" in prep("transcode", clips, tmp_path / "work", "--dry-run", "--checksum").out


def failed(outcome: Outcome, workdir: Path) -> dict[str, tuple[str, str]]:
    assert outcome.status == 1, outcome
    with (workdir / "reports/failures.csv").open() as stream:
        return {row["clip_id"]: (row["code"], row["detail"]) for row in csv.DictReader(stream)}


def test_an_object_that_is_gone_or_no_film_costs_one_row_that_names_its_url(
    source: Path, bucket: Bucket, tmp_path: Path
) -> None:
    clips = bucket.put(source, "clips")
    bucket.write("clips/walk/text.mp4", b"no film at all")
    rows = [
        ("clips/walk/gone.mp4", "walk"),
        ("clips/walk/text.mp4", "walk"),
        ("clips/run/v_run_g02_c01.webm", "run"),
    ]
    bucket.write("list.csv", table(tmp_path / "list.csv", rows).read_bytes())
    outcome = prep("run", f"{bucket.url}/list.csv", tmp_path / "work", "--backend", "sequential")
    assert "note: rows whose file is not there: 1 (clips/walk/gone.mp4)" in outcome.err
    found = failed(outcome, tmp_path / "work")
    assert found["clips__walk__gone"] == ("missing-file", f"{clips}/walk/gone.mp4 is not there")
    code, detail = found["clips__walk__text"]
    assert code == "not-video"
    assert detail.startswith(f"{clips}/walk/text.mp4: ")


def test_a_store_that_is_down_is_named_before_anything_is_done(
    source: Path, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mocrop_prep.remote import store

    monkeypatch.setattr(store, "_WAITS", (0.01,))
    clips = bucket.put(source, "clips")
    bucket.server.stop()
    try:
        outcome = prep("run", clips, tmp_path / "work")
    finally:
        bucket.server.start()
    assert outcome.status == 2
    assert outcome.err.count("\n") == 1
    assert f"cannot read the folder {clips}: EndpointConnectionError" in outcome.err
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["s3://no-such-bucket-1/clips"], "there is no no-such-bucket-1"),
        (["{bucket}/nothing"], "no video files below"),
        (["{bucket}/none.csv"], "SOURCE {bucket}/none.csv cannot be read: no such file"),
        (["s3://"], "names no folder"),
        (["zip://a.zip::s3://b/c"], "URLs in URLs are not read"),
        (["nowhere://a/b"], "Protocol not known: nowhere"),
        (["memory://clips"], "take --backend sequential or threading"),
    ],
)
def test_a_url_that_leads_nowhere_is_one_line(
    bucket: Bucket, tmp_path: Path, words: list[str], line: str
) -> None:
    outcome = prep("run", *(word.format(bucket=bucket.url) for word in words), tmp_path / "work")
    assert (outcome.status, len(outcome.errors)) == (2, 1)
    assert line.format(bucket=bucket.url) in outcome.err
    assert not (tmp_path / "work").exists()


def test_videos_of_a_web_server_are_read_by_their_urls(source: Path, tmp_path: Path) -> None:
    pytest.importorskip("aiohttp", reason="aiohttp is not installed: no web to read from")
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(source))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        web = f"http://127.0.0.1:{server.server_port}"
        names = ["walk/v_walk_g01_c01.avi", "run/v_run_g02_c01.webm"]
        here(
            "run",
            table(tmp_path / "list.csv", [(f"{web}/{name}", name[:3]) for name in names]),
            tmp_path / "far",
        )
        outcome = prep("status", tmp_path / "far")
        server.shutdown()
    assert f"run-{DEFAULT} 2 of 2 done, 0 failed" in outcome.out
    assert "to do" not in outcome.out


def test_videos_and_workdir_can_live_in_memory(tmp_path: Path) -> None:
    name = uuid4().hex
    for group in (1, 2):
        film = encode(tmp_path / f"{group}.mp4", moving_square(12, seed=group), WEB)
        fsspec.filesystem("memory").put_file(str(film), f"/{name}/clips/walk/v_a_g0{group}_c01.mp4")
    options = ("--backend", "threading", "--local", tmp_path / "copy", "--quiet")
    for _ in range(2):
        assert prep("run", f"memory://{name}/clips", f"memory://{name}/work", *options).status == 0
    there = fsspec.filesystem("memory").find(f"/{name}/work")
    assert f"/{name}/work/shards/{DEFAULT}/dataset.json" in there


def test_a_file_url_is_the_folder_that_it_names(source: Path, tmp_path: Path) -> None:
    here("transcode", f"file://{source}", f"file://{tmp_path}/work")
    assert f"made from {source}\n" in prep("status", tmp_path / "work").out
