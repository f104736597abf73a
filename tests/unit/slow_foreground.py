"""The density of foreground motion written as it is described: slot by slot, cell by cell, in plain Python.

It shares no code with what it checks. Where a cell is within rounding of what decides whether it moves, the
answer is not defined: `UndecidedError` says so.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from tests.fields import Block

Cell = tuple[int, int]
Motion = tuple[float, float]
Field = dict[Cell, Motion]
Map = Sequence[Sequence[float]]
Terms = list[list[float]]
_CLOSE = 1e-4
_TIE = 1e-7


class UndecidedError(Exception):
    """Rounding decides."""


@dataclass(frozen=True)
class Slot:
    """One slot of 80 ms: by cell the area in units^2, the residual motion in units, and the vectors."""

    area: dict[Cell, float]
    motion: Field
    count: dict[Cell, int]


@dataclass(frozen=True)
class SlowDensity:
    """The result: the density by fine cell, the trust in it, and the vectors of moving cells."""

    cells: list[list[float]]
    trust: float
    kept: int


@dataclass(frozen=True)
class SlowForeground:
    """The estimate for a clip of width x height pixels at fps, with the parts that are given."""

    width: int
    height: int
    fps: float
    camera: str = "affine"
    least: float = 0.75
    most: float = 8.0
    noise: float = 3.0
    coherence: bool = True
    turbulence: bool = True
    texture: bool = True
    overlay: bool = True
    balance: bool = True
    blur: float = 1.2

    @property
    def unit(self) -> float:
        return min(self.width, self.height) / 240

    @property
    def rows(self) -> int:
        return max(1, round(self.height / self._side))

    @property
    def columns(self) -> int:
        return max(1, round(self.width / self._side))

    @property
    def _side(self) -> float:
        return max(4.0, min(self.width, self.height) / 15)

    @property
    def lattice(self) -> list[Cell]:
        return list(product(range(self.rows), range(self.columns)))

    @property
    def _frames(self) -> int:
        """The frames of a slot."""
        return max(1, round(self.fps * 0.08))

    def density(self, blocks: Sequence[Block], texture: Map | None, steady: Map | None = None) -> SlowDensity:
        """Return the density; `texture` is in grey levels per pixel, `steady` is true for lasting cells."""
        slots = [self._foreground(slot, steady if self.overlay else None) for slot in self._slots(blocks)]
        if not slots:
            return SlowDensity([[0.0] * (2 * self.columns) for _ in range(2 * self.rows)], 0.0, 0)
        weights = list(self._weights(slots))
        still = 0.05 * self.width * self.height / self.unit**2
        total: dict[Cell, float] = defaultdict(float)
        for weight in weights:
            level = max(sum(weight.values()), still) if self.balance else still
            for cell, value in weight.items():
                total[cell] += value * self._trust(texture, cell) / level / len(slots)
        kept = sum(
            sum(slot.count[cell] for cell, value in weight.items() if value)
            for slot, weight in zip(slots, weights, strict=True)
        )
        return SlowDensity(self._smoothed(total), self._certainty(slots, weights, still), kept)

    def _certainty(self, slots: Sequence[Slot], weights: Sequence[dict[Cell, float]], still: float) -> float:
        """How far the density can be trusted: the share of the motion that counts, how much that is, and of
        how much of the frame it is known."""
        left = sum(slot.area[c] * math.hypot(*motion) for slot in slots for c, motion in slot.motion.items())
        sums = [sum(weight.values()) for weight in weights]
        if not left:
            return 0.0
        purity, active = sum(sums) / left, sum(min(1.0, each / still) for each in sums) / len(sums)
        frame = self.width * self.height / self.unit**2
        covered = sum(sum(slot.area.values()) for slot in slots) / len(slots) / frame
        return purity / (purity + 0.005) * active / (active + 0.005) * covered / (covered + 0.05)

    def _slots(self, blocks: Sequence[Block]) -> Iterator[list[Block]]:
        by_slot: dict[int, list[Block]] = defaultdict(list)
        for block in blocks:
            by_slot[int(block.frame // self._frames)].append(block)
        for number in sorted(by_slot):
            yield by_slot[number]

    def _foreground(self, blocks: Sequence[Block], steady: Map | None) -> Slot:
        """Average the blocks by cell, and take the camera's motion away; an overlay does not move."""
        area: dict[Cell, float] = defaultdict(float)
        moved_x: dict[Cell, float] = defaultdict(float)
        moved_y: dict[Cell, float] = defaultdict(float)
        count: dict[Cell, int] = defaultdict(int)
        for block in blocks:
            x, y = min(max(block.x, 0), self.width - 1), min(max(block.y, 0), self.height - 1)
            cell = y * self.rows // self.height, x * self.columns // self.width
            size = block.w * block.h
            area[cell] += size
            count[cell] += 1
            moved_x[cell] += size * block.u / block.scale
            moved_y[cell] += size * block.v / block.scale
        # from pixels in a frame to pixels in 1/25 s
        pace = {cell: self.fps / 25 / size for cell, size in area.items()}
        seen = {cell: (moved_x[cell] * pace[cell], moved_y[cell] * pace[cell]) for cell in area}
        motion = {}
        for cell, (u, v) in self._camera(area, seen).items():
            stays = self._less(math.hypot(*seen[cell]), 0.25 * self.unit)
            camera_moves = not self._less(math.hypot(u, v), self.unit)
            overlay = steady is not None and steady[cell[0]][cell[1]] and stays and camera_moves
            apart = (seen[cell][0] - u) / self.unit, (seen[cell][1] - v) / self.unit
            motion[cell] = (0.0, 0.0) if overlay else apart
        # the mean over the frames of a slot
        return Slot({c: size / self._frames / self.unit**2 for c, size in area.items()}, motion, count)

    @staticmethod
    def _less(one: float, other: float) -> bool:
        if abs(one - other) < _TIE:
            raise UndecidedError
        return one < other

    def _camera(self, area: dict[Cell, float], seen: Field) -> Field:
        """Fit the camera to every other cell, as on a chessboard, from two starts; take the better one."""
        if self.camera == "none":
            return dict.fromkeys(seen, (0.0, 0.0))
        fitted = {cell: area[cell] for cell in seen if sum(cell) % 2 == 0}
        pushed = self._mean(fitted, seen)
        for scale in (8.0, 2.0):
            pushed = self._mean(self._near(fitted, seen, pushed, scale), seen)
        terms = pushed
        if self.camera == "affine":
            terms = self._fit(fitted, seen)
            for scale in (8.0, 2.0, 1.0):
                terms = self._fit(self._near(fitted, seen, terms, scale), seen)
            for scale in (4.0, 1.0):
                pushed = self._fit(self._near(fitted, seen, pushed, scale), seen)
            # the first start wins unless the other explains more, to a millionth of all
            if self._loss(fitted, seen, pushed) < self._loss(fitted, seen, terms):
                terms = pushed
        return {cell: (self._at(terms[0], cell), self._at(terms[1], cell)) for cell in seen}

    def _apart(self, seen: Field, terms: Terms, cell: Cell) -> float:
        """The squared distance of a cell's motion from the camera's."""
        return sum((seen[cell][axis] - self._at(terms[axis], cell)) ** 2 for axis in (0, 1))

    def _near(self, area: dict[Cell, float], seen: Field, terms: Terms, scale: float) -> dict[Cell, float]:
        square = (scale * self.unit) ** 2
        return {c: size * (square / (square + self._apart(seen, terms, c))) ** 2 for c, size in area.items()}

    def _loss(self, area: dict[Cell, float], seen: Field, terms: Terms) -> int:
        """The share of the area that a camera leaves unexplained."""
        apart = {cell: self._apart(seen, terms, cell) for cell in area}
        unexplained = sum(size * apart[c] / (apart[c] + self.unit**2) for c, size in area.items())
        return self._rounded(unexplained / max(sum(area.values()), 1e-100) * 2**20)

    @staticmethod
    def _rounded(value: float) -> int:
        if abs(value % 1 - 0.5) < _TIE:
            raise UndecidedError
        return round(value)

    def _place(self, cell: Cell) -> tuple[float, float]:
        """The cell's centre, from the frame's, in halves of the frame's height."""
        x = ((cell[1] + 0.5) / self.columns - 0.5) * self.width / (self.height / 2)
        return x, ((cell[0] + 0.5) / self.rows - 0.5) * 2

    def _at(self, terms: Sequence[float], cell: Cell) -> float:
        x, y = self._place(cell)
        return terms[0] + terms[1] * x + terms[2] * y

    def _mean(self, weights: dict[Cell, float], seen: Field) -> Terms:
        """A motion that is the same everywhere."""
        total = sum(weights.values())
        sums = [sum(weight * seen[cell][axis] for cell, weight in weights.items()) for axis in (0, 1)]
        return [[self._rounded(each / total * 1024) / 1024 if total else 0.0, 0.0, 0.0] for each in sums]

    def _fit(self, weights: dict[Cell, float], seen: Field) -> Terms:
        """Least squares about the weighted mean place; the slopes are held by 1/1000 of the weight."""
        total = sum(weights.values())
        if not total:
            return [[0.0] * 3, [0.0] * 3]
        places = {cell: self._place(cell) for cell in weights}
        mean_x, mean_y = (sum(weights[c] * places[c][axis] for c in weights) / total for axis in (0, 1))
        xx = yy = total / 1000
        xy = 0.0
        for cell, weight in weights.items():
            x, y = places[cell][0] - mean_x, places[cell][1] - mean_y
            xx, yy, xy = xx + weight * x * x, yy + weight * y * y, xy + weight * x * y
        determinant, fits = xx * yy - xy * xy, []
        for axis in (0, 1):
            mean = sum(weights[c] * seen[c][axis] for c in weights) / total
            px = sum(w * (places[c][0] - mean_x) * (seen[c][axis] - mean) for c, w in weights.items())
            py = sum(w * (places[c][1] - mean_y) * (seen[c][axis] - mean) for c, w in weights.items())
            along_x, along_y = ((px * yy - py * xy) / determinant, (py * xx - px * xy) / determinant)
            terms = (mean - along_x * mean_x - along_y * mean_y, along_x, along_y)
            fits.append([self._rounded(term * 1024) / 1024 for term in terms])
        return fits

    def _trust(self, texture: Map | None, cell: Cell) -> float:
        """How much the vectors of a cell count: half where its texture is 16 grey levels per pixel."""
        if not self.texture or texture is None:
            return 1.0
        square = texture[cell[0]][cell[1]] ** 2
        return square / (square + 16**2)

    def _weights(self, slots: Sequence[Slot]) -> Iterator[dict[Cell, float]]:
        strengths, disagreements = zip(*(self._agreement(slots, n) for n in range(len(slots))), strict=True)
        turbulence = {
            cell: sorted(one[cell] for one in disagreements)[int(0.75 * (len(slots) - 1))]
            for cell in self.lattice
        }
        for slot, strength in zip(slots, strengths, strict=True):
            weights = {}
            for cell in self._moving(slot):
                weight = slot.area[cell] * min(strength[cell], self.most)
                if self.turbulence:
                    square = strength[cell] ** 2
                    weight *= square / (square + turbulence[cell] ** 2) if square else 0
                if 0 < strength[cell] < _CLOSE:
                    raise UndecidedError
                weights[cell] = weight
            yield weights

    def _moving(self, slot: Slot) -> list[Cell]:
        lengths = {cell: math.hypot(*motion) for cell, motion in slot.motion.items()}
        median = sorted(lengths.values())[(len(lengths) - 1) // 2]
        threshold = max(self.least, self.noise * median)
        if any(abs(length - threshold) < _CLOSE for length in lengths.values()):
            raise UndecidedError
        return [cell for cell, length in lengths.items() if length > threshold]

    def _agreement(self, slots: Sequence[Slot], number: int) -> tuple[dict[Cell, float], dict[Cell, float]]:
        """The length of the mean motion around each cell, and by how much the mean length is more."""
        strength, disagreement = {}, {}
        for cell in self.lattice:
            if not self.coherence:
                motion = slots[number].motion.get(cell, (0.0, 0.0))
                strength[cell], disagreement[cell] = math.hypot(*motion), 0.0
                continue
            area = u = v = length = 0.0
            for slot in slots[max(0, number - 1) : number + 2]:
                for row, column in product(range(cell[0] - 1, cell[0] + 2), range(cell[1] - 1, cell[1] + 2)):
                    weight = slot.area.get((row, column), 0.0)
                    motion = slot.motion.get((row, column), (0.0, 0.0))
                    area += weight
                    u += weight * motion[0]
                    v += weight * motion[1]
                    length += weight * math.hypot(*motion)
            strength[cell] = math.hypot(u, v) / area if area else 0.0
            disagreement[cell] = length / area - strength[cell] if area else 0.0
        return strength, disagreement

    def _smoothed(self, total: dict[Cell, float]) -> list[list[float]]:
        """Spread every cell as a Gaussian over the fine cells, two along one; beyond the edge it is lost."""
        fine = [[0.0] * (2 * self.columns) for _ in range(2 * self.rows)]
        for (row, column), value in total.items():
            for y, x in product(range(2 * self.rows), range(2 * self.columns)):
                apart = ((y + 0.5) / 2 - row - 0.5) ** 2 + ((x + 0.5) / 2 - column - 0.5) ** 2
                fine[y][x] += value * math.exp(-apart / 2 / self.blur**2) / (2 * math.pi * self.blur**2)
        return fine
