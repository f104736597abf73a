"""The rule by which settings are judged."""

from __future__ import annotations

from collections.abc import Mapping

from mocrop_prep.evaluation.bootstrap import Estimate

from tests.benchmarks.preset_bench.candidates import REDRAWN, REFERENCE
from tests.benchmarks.preset_bench.looks import METHODS
from tests.benchmarks.preset_bench.worth import Worth

LIKENESS, KEPT, PSNR = 0.01, 0.005, 0.5
"""What is too much to lose: of the correlation, of the actor's share (half a point), of dB."""
SIZE = 1.1
"""How large files may be, over the default's."""
RULE = (
    "A candidate loses something where the 95 % interval of its difference from the default lies below 0",
    f"and the difference below -{LIKENESS:g} (likeness), -{100 * KEPT:g} points (kept) or -{PSNR:g} dB. For",
    f"`{METHODS[0]}` and the pictures it must be clear as well that it does not: the interval's lower end",
    "lies above twice that. Files may grow by a tenth. UCF101 Diving has no say in it.",
)


def losses(worth: Worth) -> list[str]:
    """Return what is lost against the default, or not clearly kept; empty for nothing."""
    found = []
    for method, one in worth.likeness.items():
        found += _judged(f"likeness {method}", one.apart, LIKENESS, strict=method == METHODS[0])
    for (method, area), one in worth.kept.items():
        what = f"kept {method} {'own' if area is None else f'{area:g}'}"
        found += _judged(what, one.apart, KEPT, strict=method == METHODS[0])
    found += _judged("PSNR", worth.psnr.apart, PSNR, strict=True)
    return [*found, *(["bytes"] if worth.size > SIZE else [])]


def quickest(worths: Mapping[str, Worth], speed: Mapping[str, float]) -> str:
    """Return the quickest candidate that loses nothing, of those with the same encodes the first."""
    apart = {name: worth for name, worth in worths.items() if name in speed and not worth.same_as}
    return max((name for name, worth in apart.items() if not losses(worth)), key=lambda name: speed[name])


def contends(name: str) -> bool:
    """Say whether a name is a candidate's, not the exhaustive search's."""
    return name not in (REFERENCE.name, REDRAWN.name)


def _judged(what: str, apart: Estimate, most: float, *, strict: bool) -> list[str]:
    if apart.interval is None:
        return []
    low, high = apart.interval
    if high < 0 and apart.value < -most:
        return [what]
    return [f"{what} unclear"] if strict and low < -2 * most else []
