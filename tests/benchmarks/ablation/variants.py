"""The methods with one part at a time left out or set otherwise; the first of each family is the method."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from mocrop_manifests import Clip
from mocrop_prep.config import CropSettings
from mocrop_prep.foreground.density import PARTS, Parts
from mocrop_prep.foreground.framing import Framing
from mocrop_prep.methods import Chooser
from mocrop_prep.motion import Importance
from mocrop_prep.vectors import ClipInfo

from tests.benchmarks.ablation.builds import Foreground, Paper, centred, squared

Build = Callable[[Clip, ClipInfo, float | None], Chooser]
"""Makes the chooser of one clip, for crops of an area, or of the method's own for None."""

_NO_PARTS = Parts(
    camera="none",
    least=0,
    most=math.inf,
    noise=0,
    coherence=False,
    turbulence=False,
    texture=False,
    overlay=False,
    balance=False,
    blur=0,
)
_V1, _V2 = CropSettings(method="mocrop-v1"), CropSettings(method="mocrop-v2")

PAPER_V1: Mapping[str, Build] = {
    "mocrop-v1": Paper(_V1),
    "DM out: all that move at all": Paper(CropSettings(method="mocrop-v1", eps=0)),
    "MCS out: all counted": Paper(CropSettings(method="mocrop-v1", samples=10**9)),
    "DM and MCS out": Paper(CropSettings(method="mocrop-v1", eps=0, samples=10**9)),
    "AC out: the centre": Paper(_V1, place=centred),
    "AC out: the best square": Paper(_V1, place=squared),
}
PAPER_V2: Mapping[str, Build] = {
    "mocrop-v2": Paper(_V2),
    "DM out: all that move at all": Paper(_V2, Importance(kept=1.0)),
    "MCS out: all counted": Paper(_V2, Importance(sampled=1.0)),
    "MCS uniform, not by length": Paper(_V2, Importance(exponent=0)),
    "DM and MCS out": Paper(_V2, Importance(kept=1.0, sampled=1.0)),
    "AC out: the centre": Paper(_V2, place=centred),
    "AC out: the best square": Paper(_V2, place=squared),
}
OURS: Mapping[str, Build] = {
    "foreground": Foreground(),
    "camera: translation only": Foreground(Parts(camera="translation")),
    "camera: none": Foreground(Parts(camera="none")),
    "least motion: 0": Foreground(Parts(least=0)),
    "noise: 0": Foreground(Parts(noise=0)),
    "least motion and noise: 0": Foreground(Parts(least=0, noise=0)),
    "longest motion: no limit": Foreground(Parts(most=math.inf)),
    "coherence off, turbulence with it": Foreground(Parts(coherence=False)),
    "turbulence off": Foreground(Parts(turbulence=False)),
    "texture off": Foreground(Parts(texture=False)),
    "overlay off": Foreground(Parts(overlay=False)),
    "balance off": Foreground(Parts(balance=False)),
    "blur halved": Foreground(Parts(blur=PARTS.blur / 2)),
    "blur doubled": Foreground(Parts(blur=PARTS.blur * 2)),
    "border ignored": Foreground(border=False),
    "sharpness 1": Foreground(framing=Framing(sharpness=1)),
    "sharpness 3": Foreground(framing=Framing(sharpness=3)),
    "prior: none": Foreground(framing=Framing(prior=0)),
    "prior 0.12": Foreground(framing=Framing(prior=0.12)),
    "prior 0.25": Foreground(framing=Framing(prior=0.25)),
    "prior 0.35": Foreground(framing=Framing(prior=0.35)),
    "never unsure": Foreground(framing=Framing(least_confidence=0)),
    "lattice: the coarse one": Foreground(fineness=1),
    "lattice: coarser still": Foreground(fineness=0.5),
    "all off: area times motion": Foreground(_NO_PARTS, Framing(1, 0, 0), border=False),
    "center-square": Paper(CropSettings(method="center-square")),
}
FAMILIES: Mapping[str, Mapping[str, Build]] = {
    "mocrop-v1": PAPER_V1,
    "mocrop-v2": PAPER_V2,
    "foreground": OURS,
}
"""Variants by what they do differently, by method; in each family the method itself comes first."""
TIMED = (
    "foreground",
    "camera: translation only",
    "camera: none",
    "least motion and noise: 0",
    "coherence off, turbulence with it",
    "turbulence off",
    "texture off",
    "balance off",
    "lattice: the coarse one",
    "prior: none",
    "all off: area times motion",
)
"""Variants of OURS that may take another time."""
PROBED = (
    "foreground",
    "camera: none",
    "coherence off, turbulence with it",
    "prior: none",
    "sharpness 1",
    "all off: area times motion",
    "center-square",
)
"""Variants of OURS whose crops are worth the time of a probe."""
