"""Our method: crops that follow what moves on its own, whatever the camera does."""

from mocrop_prep.foreground.density import PARTS, ForegroundDensity, Parts
from mocrop_prep.foreground.framing import FRAMING, ForegroundChooser, Framing

__all__ = ["FRAMING", "PARTS", "ForegroundChooser", "ForegroundDensity", "Framing", "Parts"]
