"""The figures as Markdown tables, and as what a JSON file holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from mocrop_prep.evaluation.bootstrap import Estimate
from mocrop_prep.evaluation.tables import estimate_cell, markdown_table

from tests.benchmarks.preset_bench.candidates import BASE
from tests.benchmarks.preset_bench.floor import RUN, Floor
from tests.benchmarks.preset_bench.looks import METHODS
from tests.benchmarks.preset_bench.timing import Spent, speeds
from tests.benchmarks.preset_bench.verdict import RULE, contends, losses
from tests.benchmarks.preset_bench.worth import Worth

NOTES = (
    "encode: frames/s of processor time, the source's decoding included; extract: of one decode with all",
    f"vectors; together: how many times as quick as {BASE} in both, the median of interleaved rounds with",
    "its range. bytes: of the files, over the default's. likeness: correlation of density maps with those of",
    "the exhaustive search. kept: share of the actor in the crop, in per cent; overlap: intersection over",
    f"union of {METHODS[0]}'s crop with that from the exhaustive search. PSNR, SSIM: luma of key frames, to",
    f"the source. less: the same minus {BASE}'s on the same clips, kept in points. In brackets the 95 %",
    "interval of a bootstrap over clips; bold where it leaves out 0. With so many candidates some will by",
    "chance.",
)


def cost_table(spent: Mapping[str, Spent], worths: Mapping[str, Worth]) -> list[str]:
    """Return what each candidate costs, and how good its pictures are."""
    head = ("candidate", "encode", "extract", "together", "bytes", "vectors", "PSNR", "less", "SSIM")
    quick = speeds(spent) if spent else {}
    rows = []
    for name, worth in worths.items():
        took = spent.get(name)
        rates = (f"{took.rate(took.encode):.0f}", f"{took.rate(took.extract):.0f}") if took else ("-", "-")
        together = "{:.2f} ({:.2f}-{:.2f})".format(*quick[name]) if took else "-"
        rows.append(
            (
                *(name, *rates, together, f"{worth.size:.2f}", f"{worth.vectors:.0f}"),
                *(f"{worth.psnr.value.value:.2f}", _apart(worth.psnr.apart, 2)),
                f"{worth.ssim.value.value:.4f}",
            )
        )
    return markdown_table(head, rows)


def worth_table(worths: Mapping[str, Worth]) -> list[str]:
    """Return what the vectors of each candidate are worth to the crop."""
    first = next(iter(worths.values()))
    head = ["candidate"]
    for method in METHODS:
        head += [f"likeness `{method}`", "less"]
    for method, area in first.kept:
        head += [f"kept `{method}` {_area(area)}", "less"]
    head += ["overlap", "less"]
    rows = []
    for name, worth in worths.items():
        if worth.same_as:
            rows.append([name, f"the same as {worth.same_as}", *[""] * (len(head) - 2)])
            continue
        row = [name]
        for like in worth.likeness.values():
            row += [_cell(like.value, 3), _apart(like.apart, 3)]
        for kept in worth.kept.values():
            row += [estimate_cell(kept.value), _bold(estimate_cell(kept.apart, signed=True), kept.apart)]
        rows.append([*row, _cell(worth.overlap.value, 3), _apart(worth.overlap.apart, 3)])
    return markdown_table(head, rows)


def choice_lines(worths: Mapping[str, Worth], speed: Mapping[str, float], choice: str) -> list[str]:
    """Return the rule, the candidates from the quickest, and the first that loses nothing."""
    ordered = sorted((name for name in worths if name in speed), key=lambda name: -speed[name])
    rows = [(name, f"{speed[name]:.2f}", "; ".join(losses(worths[name])) or "nothing") for name in ordered]
    return [
        *RULE,
        "",
        *markdown_table(("candidate", "speed", "loses"), rows),
        "",
        f"The quickest that loses nothing: {choice}.",
        "",
    ]


def floor_lines(name: str, found: Floor) -> list[str]:
    """Return where the time of a run goes."""
    rows = [
        (part, f"{found.frames / took:.0f}", f"{100 * found.share(part):.0f} %")
        for part, took in found.seconds.items()
    ]
    parts = sum(found.share(part) for part in found.seconds if part != RUN)
    rows.append(("all the rest", "", f"{100 * (1 - parts):.0f} %"))
    return [*markdown_table((f"work, {name}", "frames/s", f"of {RUN}"), rows), ""]


def worth_body(worths: Mapping[str, Worth]) -> dict[str, Any]:
    """Return the figures by candidate, with methods and areas as texts."""
    body = {}
    for name, worth in worths.items():
        kept = {f"{method} {_area(area)}": asdict(one) for (method, area), one in worth.kept.items()}
        body[name] = {**asdict(worth), "kept": kept, "loses": losses(worth) if contends(name) else []}
    return body


def spent_body(spent: Mapping[str, Spent]) -> dict[str, Any]:
    """Return times and speeds by candidate."""
    quick = speeds(spent)
    return {
        name: {
            "frames": took.frames,
            "encode_frames_per_s": took.rate(took.encode),
            "extract_frames_per_s": took.rate(took.extract),
            "speed": dict(zip(("median", "least", "most"), quick[name], strict=True)),
        }
        for name, took in spent.items()
    }


def _area(area: float | None) -> str:
    return "own" if area is None else f"{area:g}"


def _cell(one: Estimate, digits: int, sign: str = "") -> str:
    value = f"{one.value:{sign}.{digits}f}"
    if one.interval is None:
        return value
    low, high = (f"{end:{sign}.{digits}f}" for end in one.interval)
    return f"{value} [{low}, {high}]"


def _apart(one: Estimate, digits: int) -> str:
    return _bold(_cell(one, digits, "+"), one)


def _bold(cell: str, one: Estimate) -> str:
    if one.interval is None:
        return cell
    low, high = one.interval
    return f"**{cell}**" if low > 0 or high < 0 else cell
