"""Progress: lines where nobody watches, a bar on a terminal, silence when asked."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
import time

import pytest
from mocrop_prep import progress
from mocrop_prep.progress import Progress


def run(total: int, *, failed: int = 0, quiet: bool = False) -> None:
    with Progress("transcode", total, quiet=quiet) as counter:
        for number in range(total):
            counter.advance(failed=number < failed)


def test_a_log_gets_few_lines_and_the_last_one(capsys: pytest.CaptureFixture[str]) -> None:
    run(1000, failed=3)
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert [line.partition(",")[0] for line in lines] == [
        f"transcode: {done}/1000 clips" for done in (250, 500, 750, 1000)
    ]
    assert all(line.endswith(", 3 failed") for line in lines)


@pytest.mark.parametrize("total", [1, 2, 3, 7])
def test_small_jobs_end_with_a_line_too(capsys: pytest.CaptureFixture[str], total: int) -> None:
    run(total)
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith(f"transcode: {total}/{total} clips, ")
    assert "failed" not in lines[-1]


def test_slow_work_says_that_it_is_alive(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.01)
    with Progress("crop", 1000, quiet=False) as counter:
        counter.advance()
        time.sleep(0.02)
        counter.advance()
    assert capsys.readouterr().err.startswith("crop: 2/1000 clips")


def test_quiet_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    run(100, failed=100, quiet=True)
    assert capsys.readouterr() == ("", "")


def test_nothing_to_do_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    run(0)
    assert capsys.readouterr() == ("", "")


def test_an_exception_passes_through() -> None:
    with pytest.raises(KeyboardInterrupt), Progress("crop", 3, quiet=False):
        raise KeyboardInterrupt


def test_a_terminal_gets_a_bar_that_cleans_up_after_itself() -> None:
    program = (
        "from mocrop_prep.progress import Progress\n"
        "import time\n"
        "with Progress('extract', 40, quiet=False) as counter:\n"
        "    for number in range(40):\n"
        "        counter.advance(failed=number == 2)\n"
        "        time.sleep(0.01)\n"
    )
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 80))
    try:
        child = subprocess.Popen([sys.executable, "-c", program], stdout=slave, stderr=slave, env=os.environ)
        os.close(slave)
        shown = b""
        while True:
            try:
                part = os.read(master, 4096)
            except OSError:  # the last writer has closed the terminal
                break
            shown += part
            if not part:
                break
        assert child.wait(timeout=20) == 0
    finally:
        os.close(master)
    text = shown.decode()
    assert "extract:" in text
    assert "/40" in text
    assert "1 failed" in text
    assert "\n" not in text  # one line, drawn over itself
    assert text.rstrip("\r").endswith(" ")  # and wiped in the end
