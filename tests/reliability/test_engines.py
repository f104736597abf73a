"""The same commands on Dask, Ray and Spark: the same bytes, and a deadly clip costs only itself."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mocrop_prep.config import RunSettings
from mocrop_prep.engines import close_engine
from mocrop_prep.errors import UsageError
from mocrop_prep.journal import Journal

from tests.commands import PROGRAM, outputs, prep, start
from tests.conftest import HOLDOUT
from tests.reliability import clusters
from tests.reliability.test_worker_death import tries, work_on

ROOT = Path(__file__).parents[2]
PACKAGES = {"dask": "distributed", "ray": "ray", "spark": "joblibspark"}
KINDS = ["good", "killed", "good", "bug", "segfault", "good", "clip error", "good", "good"]
CODES = ["", "worker-died", "", "internal", "worker-died", "", "corrupt", "", ""]
slow = pytest.mark.slow
every = pytest.mark.parametrize(
    "backend", ["dask", pytest.param("ray", marks=slow), pytest.param("spark", marks=slow)]
)
every_slowly = pytest.mark.parametrize("backend", [pytest.param(name, marks=slow) for name in PACKAGES])


@pytest.fixture(autouse=True)
def installed(request: pytest.FixtureRequest) -> Iterator[None]:
    """Skip what the engine of a test is not installed for, and leave no connection behind."""
    for name in ("backend", "cluster"):
        if name in request.fixturenames:
            package = PACKAGES[request.node.callspec.params[name]]
            pytest.importorskip(package, reason=f"{package} is not installed: an extra of its own")
            if package == "joblibspark" and shutil.which("java") is None:
                pytest.skip("Spark needs Java, which is not installed")
    with pytest.MonkeyPatch.context() as patch:
        # workers import the deeds of these tests
        patch.setenv("PYTHONPATH", os.pathsep.join([*sys.path, str(ROOT)]))
        yield
        close_engine()


@every
def test_the_bytes_are_those_of_one_process(backend: str, source: Path, kept: Path, tmp_path: Path) -> None:
    done = prep("run", source, tmp_path / "w", *HOLDOUT, "--backend", backend, "--jobs", 2, "--quiet")
    assert (done.status, done.errors) == (0, [])
    assert outputs(tmp_path / "w") == outputs(kept)
    assert list((tmp_path / "w/journal/inflight").iterdir()) == []


@every_slowly
def test_a_deadly_clip_costs_only_itself(backend: str, tmp_path: Path) -> None:
    records = work_on(tmp_path, KINDS, backend=backend)
    assert [records[f"{number:02d}"].code for number in range(len(KINDS))] == CODES
    assert [tries(tmp_path, number) for number in (1, 4)] == [2, 2]
    assert "died 2 times, on " in records["01"].detail
    assert "Segmentation fault" in records["04"].traceback
    assert "deeds.py" in records["04"].traceback
    assert list((tmp_path / "inflight").iterdir()) == []


def test_a_deadly_clip_on_dask_costs_only_itself(tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="an extra of its own")
    records = work_on(tmp_path, ["good", "killed", "good"], backend="dask")
    assert [records[f"{number:02d}"].code for number in range(3)] == ["", "worker-died", ""]
    assert tries(tmp_path, 1) == 2


@every_slowly
def test_a_single_worker_takes_nobody_along(backend: str, tmp_path: Path) -> None:
    records = work_on(tmp_path, ["killed", "good"], backend=backend, jobs=1)
    assert [records[clip_id].code for clip_id in ("00", "01")] == ["worker-died", ""]


@every_slowly
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminated"])
def test_a_stop_ends_all_and_the_same_command_goes_on(
    backend: str, number: signal.Signals, source: Path, tmp_path: Path
) -> None:
    many = tmp_path / "clips"
    for copy in range(15):
        shutil.copytree(source, many, dirs_exist_ok=True, copy_function=copied_as(copy))
    command = ("run", many, tmp_path / "w", "--backend", backend, "--jobs", 2)
    process = start(*command)
    journal = tmp_path / "w/journal/run-foreground.jsonl"
    while not journal.exists() or journal.read_bytes().count(b"\n") < 3:
        assert process.poll() is None
        time.sleep(0.02)
    # a terminal tells all, `kill` only one
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    assert process.wait(30) == 130
    _, errors = process.communicate()
    assert "the same command goes on from there" in errors
    assert "Traceback" not in errors
    assert live_of_session(process.pid) == []
    before = journal.read_bytes().count(b"\n")
    assert before < 90
    assert prep(*command).status == 0
    assert journal.read_bytes().count(b"\n") == 90


def copied_as(number: int) -> Callable[[str, str], str]:
    """Return a function that copies a clip under a name of its own."""

    def copy(source: str, target: str) -> str:
        path = Path(target)
        return str(shutil.copy2(source, path.with_name(f"{path.stem}x{number}{path.suffix}")))

    return copy


def live_of_session(leader: int) -> list[str]:
    """Return what still runs of a session, but for what is ending."""
    for _ in range(50):
        listed = subprocess.run(
            ["ps", "-e", "-o", "sess=,stat=,args="], capture_output=True, text=True
        ).stdout
        rows = [line.split(None, 2) for line in listed.splitlines()]
        live = [row[2] for row in rows if row[0] == str(leader) and not row[1].startswith("Z")]
        if not live:
            return []
        time.sleep(0.1)
    return live


@contextmanager
def running(cluster: str, folder: Path) -> Iterator[str]:
    with getattr(clusters, f"{cluster}_cluster")(folder) as address:
        yield address
        close_engine()


@slow
@pytest.mark.parametrize("cluster", list(PACKAGES))
def test_a_cluster_that_runs_already_does_the_same(
    cluster: str, source: Path, kept: Path, tmp_path: Path
) -> None:
    with running(cluster, tmp_path) as address:
        options = ("--backend", cluster, "--scheduler", address, "--jobs", 0, "--quiet")
        done = prep("run", source, tmp_path / "w", *HOLDOUT, *options)
        assert (done.status, done.errors) == (0, [])
        assert outputs(tmp_path / "w") == outputs(kept)
        (tmp_path / "deeds").mkdir()
        records = work_on(tmp_path / "deeds", KINDS, backend=cluster, scheduler=address, jobs=0)
        assert [records[f"{number:02d}"].code for number in range(len(KINDS))] == CODES


@slow
@pytest.mark.parametrize("backend", ["dask"])
def test_calls_that_the_engine_gives_up_for_good_are_done_apart(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dask = pytest.importorskip("dask", reason="an extra of its own")
    monkeypatch.setattr("mocrop_prep.engines.backend._SEND_AGAIN", 0)
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
        records = work_on(tmp_path, KINDS, backend=backend)
    assert [records[f"{number:02d}"].code for number in range(len(KINDS))] == CODES


@slow
@pytest.mark.parametrize("cluster", ["dask"])
def test_a_scheduler_that_goes_away_ends_the_command_with_what_is_done(cluster: str, tmp_path: Path) -> None:
    with running(cluster, tmp_path) as address:
        deeds = tmp_path / "deeds"
        deeds.mkdir()

        def end() -> None:
            while len(list(deeds.glob("*.diary"))) < 10:
                time.sleep(0.02)
            os.kill(int((tmp_path / "scheduler.pid").read_text()), signal.SIGKILL)

        threading.Thread(target=end, daemon=True).start()
        with pytest.raises(
            UsageError, match=r"the connection to the dask cluster at \S+ is lost; what is done is kept"
        ):
            work_on(deeds, ["slow"] * 400, backend="dask", scheduler=address)
        assert 0 < len(Journal(deeds / "stage.jsonl").read()) < 400


@slow
@pytest.mark.parametrize("cluster", ["dask"])
def test_dask_workers_that_are_not_fit_are_refused(cluster: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    for package in ("manifests/mocrop_manifests", "pipeline/mocrop_prep"):
        shutil.copytree(ROOT / package, other / Path(package).name)
    init = other / "mocrop_manifests/__init__.py"
    init.write_text(init.read_text().replace('__version__ = "', '__version__ = "9.'))
    environment = {"PYTHONPATH": os.pathsep.join([str(other), str(ROOT)])}
    with clusters.dask_cluster(tmp_path, 1, environment=environment) as address:
        with pytest.raises(
            UsageError, match=r"has mocrop 9\.\S+ instead of .*install the same on every machine"
        ):
            work_on(tmp_path, ["good"], backend="dask", scheduler=address)
        close_engine()


@slow
@pytest.mark.parametrize("cluster", ["dask"])
def test_dask_workers_without_the_package_are_refused(cluster: str, tmp_path: Path) -> None:
    with clusters.dask_cluster(tmp_path, 1, environment={"PYTHONPATH": ""}) as address:
        with pytest.raises(UsageError, match="cannot import mocrop_prep: install the same release"):
            work_on(tmp_path, ["good"], backend="dask", scheduler=address)
        close_engine()


@slow
@pytest.mark.parametrize("cluster", ["dask"])
@pytest.mark.parametrize(
    ("workers", "threads", "message"),
    [(0, 1, "has no workers after"), (1, 2, "has 2 threads: .*--nthreads 1")],
    ids=["nobody", "threads"],
)
def test_a_dask_cluster_without_proper_workers_is_refused(
    cluster: str, workers: int, threads: int, message: str, tmp_path: Path
) -> None:
    with clusters.dask_cluster(tmp_path, workers, threads) as address:
        with pytest.raises(UsageError, match=message):
            work_on(tmp_path, ["good"], backend="dask", scheduler=address)
        close_engine()


@every
def test_a_wrong_address_is_one_line(backend: str, source: Path, tmp_path: Path) -> None:
    scheme = {"dask": "tcp://", "ray": "", "spark": "spark://"}[backend]
    address = f"{scheme}127.0.0.1:{clusters.free_port()}"
    started = time.monotonic()
    done = prep("run", source, tmp_path / "w", "--backend", backend, "--scheduler", address)
    assert done.status == 2
    assert len(done.errors) == 1
    assert f"--scheduler {address}: no {backend} scheduler answers there" in done.errors[0]
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("name", list(PACKAGES))
def test_an_engine_that_is_not_installed_says_how_to_get_it(name: str, source: Path, tmp_path: Path) -> None:
    block = f"import sys; sys.modules[{PACKAGES[name]!r}] = None; {PROGRAM}"
    words = [sys.executable, "-c", block, "run", str(source), str(tmp_path / "w"), "--backend", name]
    done = subprocess.run(words, capture_output=True, text=True)
    errors = [line for line in done.stderr.splitlines() if not line.startswith("note: ")]
    assert done.returncode == 2
    assert len(errors) == 1
    assert f"pip install 'mocrop[{name}]'" in errors[0]


def test_a_scheduler_needs_a_backend_that_has_one() -> None:
    with pytest.raises(UsageError, match="--scheduler here:1 goes with --backend dask, ray or spark"):
        RunSettings(scheduler="here:1")


@pytest.mark.parametrize("limit", [{"timeout": 1.0}, {"max_memory": "1GB"}], ids=str)
def test_limits_stay_with_the_processes_of_this_machine(limit: dict[str, float | str]) -> None:
    with pytest.raises(UsageError, match="--backend loky alone"):
        RunSettings(backend="dask", **limit)  # type: ignore[arg-type]
