"""Fuzz one target, guided by coverage, for as long as one likes: `python -m tests.fuzz TARGET --seconds 600`.

Inputs that broke a promise lie in WORK/TARGET/crashes; `--input FILE` tries one again. The corpus is kept in
WORK/TARGET/corpus, so that the next run goes on from there.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.fuzz.targets import Target

PACKAGES = ["mocrop_manifests", "mocrop_prep", "mocrop_train", "tarfile"]
"""Instrumented for coverage: ours, and the one library in Python that reads the bytes for us."""
_LIMITS = {"timeout": 10, "rss_limit_mb": 2048, "print_final_stats": 1, "verbosity": 1}


def main() -> None:
    """Fuzz a target; the exit status is libFuzzer's: 0, or not if a promise was broken."""
    arguments = _arguments()
    if arguments.input:
        target = _target(arguments.target)
        for path in arguments.input:
            with tempfile.TemporaryDirectory() as folder:
                print(f"{path}: {'read' if target.read(Path(folder), path.read_bytes()) else 'refused'}")
        return
    try:
        import atheris
    except ImportError:
        sys.exit("atheris is not installed: pip install 'mocrop[fuzz]' (Linux, x86-64, CPython 3.11 to 3.14)")
    with atheris.instrument_imports(include=PACKAGES):
        target = _target(arguments.target)
    folders = {name: arguments.work / arguments.target / name for name in ("corpus", "crashes", "files")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    for seed in target.seeds():
        (folders["corpus"] / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
    limits = _LIMITS | {"max_total_time": arguments.seconds, "max_len": target.longest}
    limits["artifact_prefix"] = f"{folders['crashes']}/"
    options = [f"-{name}={value}" for name, value in limits.items()]
    atheris.Setup(
        [sys.argv[0], *options, str(folders["corpus"])], lambda data: target.read(folders["files"], data)
    )
    atheris.Fuzz()


def _target(name: str) -> Target:
    from tests.fuzz.targets import TARGETS  # late: what is imported before atheris is not instrumented

    if name not in TARGETS:
        about = "\n".join(f"  {known:20}{target.about}" for known, target in TARGETS.items())
        sys.exit(f"{name} is no target; these are:\n{about}")
    return TARGETS[name]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", metavar="TARGET", help="what to fuzz; any other word lists them")
    parser.add_argument("--seconds", type=int, default=60, help="how long (60)")
    default = Path(tempfile.gettempdir()) / "mocrop-fuzz"
    parser.add_argument(
        "--work", type=Path, default=default, help=f"where corpus and crashes lie ({default})"
    )
    parser.add_argument("--input", type=Path, nargs="+", help="only try these files, without atheris")
    return parser.parse_args()


if __name__ == "__main__":
    main()
