"""What was measured as Markdown: the parts, the whole prices, and the crop's own beside the network's."""

from __future__ import annotations

from collections.abc import Iterator

from tests.benchmarks.cost_bench.measure import FRAMES, Figure, Prices
from tests.benchmarks.cost_bench.parts import (
    ALL,
    CROP,
    FULL,
    FUSED,
    IN_PLACE,
    SIDES,
    STORED,
    TRANSCODE,
    TRANSCODED,
    VECTORS,
    WRITE,
    choice,
    sized,
)

LARGE, SMALL = SIDES
WAYS = {
    "in place": (IN_PLACE, False),
    "transcoded before": (TRANSCODED, False),
    "to be transcoded": (TRANSCODED, True),
}
"""The three ways to a crop: the route of its parts, and whether transcoding is to be paid."""


def tables(prices: Prices, method: str) -> Iterator[str]:
    """Yield the lines of all tables; the prices are those of crops by `method`."""
    yield from parts_table(prices)
    yield ""
    for name in WAYS:
        yield from whole_table(prices, method, name)
        yield ""
    yield from own_table(prices, method)


def parts_table(prices: Prices) -> Iterator[str]:
    """Yield what each part takes, a clip and a second of video."""
    yield (
        f"| part ({FRAMES} frames stored) | {IN_PLACE}, ms a clip | ms a second of video | "
        f"{TRANSCODED}, ms a clip | ms a second of video |"
    )
    yield "|---|---|---|---|---|"
    for name in prices.parts[TRANSCODED]:
        cells = []
        for route in (IN_PLACE, TRANSCODED):
            found = prices.parts[route].get(name)
            cells += [_range(found), _ms(found.median / prices.seconds)] if found else ["", ""]
        yield _row(name, *cells)


def whole_table(prices: Prices, method: str, way: str) -> Iterator[str]:
    """Yield the whole price of a prediction, from the file to the scores, by network."""
    yield f"Sources {way}:"
    yield ""
    yield (
        f"| network | full frame, {LARGE} px | full frame, {SMALL} px | attention: crop, {LARGE} px | "
        f"efficiency: crop, {SMALL} px | attention / full | efficiency / full |"
    )
    yield "|---|---|---|---|---|---|---|"
    for model, found in prices.networks.items():
        full, crop = (
            {side: seconds + found[side].median for side, seconds in before.items()}
            for before in (frames_without_crop(prices, way), frames_with_crop(prices, method, way))
        )
        yield _row(
            model,
            *(_ms(seconds) for seconds in (full[LARGE], full[SMALL], crop[LARGE], crop[SMALL])),
            f"{crop[LARGE] / full[LARGE]:.2f}",
            f"{crop[SMALL] / full[LARGE]:.2f}",
        )


def own_table(prices: Prices, method: str) -> Iterator[str]:
    """Yield the crop's own price beside the network's, and beside what 192 px save of it."""
    own = {
        f"vectors and choice, {IN_PLACE}": own_price(prices, method, IN_PLACE),
        f"vectors and choice, {TRANSCODED}": own_price(prices, method, TRANSCODED),
        f"and frames decoded for them alone, {TRANSCODED}": own_price(
            prices, method, TRANSCODED, frames=True
        ),
    }
    told = "; ".join(f"{name}, {_ms(seconds)} ms" for name, seconds in own.items())
    yield f"The crop's own price a clip: {told}."
    yield ""
    columns = " | ".join(f"{name} / network, {LARGE} px" for name in own)
    yield (
        f"| network | G multiply-adds a clip, {LARGE}, {SMALL} px | ms, {LARGE} px | ms, {SMALL} px | "
        f"time, {SMALL} / {LARGE} px | {SMALL} px save, ms | {columns} |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for model, found in prices.networks.items():
        large, small = found[LARGE].median, found[SMALL].median
        counted = ", ".join(f"{prices.counts[model][side].multiply_adds / 1e9:.1f}" for side in SIDES)
        yield _row(
            model,
            counted,
            _range(found[LARGE]),
            _range(found[SMALL]),
            f"{small / large:.2f}",
            _ms(large - small),
            *(f"{seconds / large:.1%}" for seconds in own.values()),
        )


def own_price(prices: Prices, method: str, route: str, *, frames: bool = False) -> float:
    """Return what vectors add to a decode of all frames, and the choice, in seconds a clip.

    With `frames`, what they add to a decode for the stored frames alone: where those are key frames, the
    others are decoded for the vectors.
    """
    vectors = prices.part(route, VECTORS) - prices.part(route, STORED if frames else ALL)
    return vectors + prices.part(route, choice(method))


def frames_without_crop(prices: Prices, way: str) -> dict[int, float]:
    """Return the seconds from a file to the full frames of a clip, by size in px.

    What would have to be transcoded for the vectors need not be for this.
    """
    route, transcoded = WAYS[way]
    route = IN_PLACE if transcoded else route
    return {side: prices.part(route, STORED) + prices.part(route, sized(FULL, side)) for side in SIDES}


def frames_with_crop(prices: Prices, method: str, way: str) -> dict[int, float]:
    """Return the seconds from a file to the crops of a clip, by size in px."""
    route, transcoded = WAYS[way]
    before = prices.part(route, VECTORS) + prices.part(route, choice(method))
    if transcoded:
        before += prices.part(route, TRANSCODE)
    return {side: before + prices.part(route, sized(CROP, side)) for side in SIDES}


def parts_of_fused(prices: Prices, method: str, route: str) -> float:
    """Return what the parts come to that `fuse_clip` does in one go, in seconds a clip."""
    names = (VECTORS, choice(method), sized(CROP, LARGE), sized(WRITE, LARGE))
    return sum(prices.part(route, name) for name in names)


def checks(prices: Prices, method: str) -> Iterator[str]:
    """Yield how far the parts add up to the whole."""
    for route in (IN_PLACE, TRANSCODED):
        whole, parts = prices.part(route, FUSED), parts_of_fused(prices, method, route)
        yield f"{route}: the parts come to {parts / whole:.2f} of {FUSED} ({_ms(whole)} ms)"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _range(found: Figure) -> str:
    return f"{_ms(found.median)} ({_ms(found.low)}-{_ms(found.high)})"


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.3g}"
