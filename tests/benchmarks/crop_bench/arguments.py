"""What the commands of the crop bench are told alike."""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.benchmarks.crop_bench.sets import QUICK


def bench_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the folders, the workers, the size of the sets and the file of the figures."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=Path("demo/bench-crops"), help="what is computed once")
    parser.add_argument("--demo", type=Path, default=Path("demo"), help="its videos/ is the demo set")
    parser.add_argument("--jobs", type=int, default=0, help="worker processes; 0 takes one for each core")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} clips of each set")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    return parser
