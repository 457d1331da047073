"""A white sheet to draw a card's pictures on: lines, boxes and words in points, smooth edges, round corners.

The sheet is opaque, so that it reads the same on the Hub's light and dark pages. Pillow draws hard edges:
everything is drawn larger and shrunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from bertspace.charts.scales import Point

if TYPE_CHECKING:
    from PIL import ImageFont

PIXELS = 2  # a point in the file, for sharp screens
FINER = 2  # times as large while it is drawn
CORNER = 10
PAPER, INK, QUIET, RULE = "#ffffff", "#1a2433", "#64748b", "#e3e8ee"
BASE, TUNED = "#0072B2", "#D55E00"  # the page's two colours, in ui/theme.py

Box = tuple[float, float, float, float]


class Canvas:
    """width, height in points."""

    def __init__(self, width: float, height: float) -> None:
        from PIL import Image, ImageDraw

        self.width, self.height = round(width), round(height)
        fine = PIXELS * FINER
        self.image = Image.new("RGB", (self.width * fine, self.height * fine), PAPER)
        self.draw = ImageDraw.Draw(self.image)

    def _pixels(self, points: Sequence[float]) -> tuple[int, ...]:
        return tuple(round(point * PIXELS * FINER) for point in points)

    def box(self, box: Box, fill: str) -> None:
        self.draw.rectangle(self._pixels(box), fill=fill)

    def dot(self, at: Point, radius: float, fill: str, edge: str = "") -> None:
        x, y = at
        place = self._pixels((x - radius, y - radius, x + radius, y + radius))
        self.draw.ellipse(place, fill=fill, outline=edge or None, width=round(1.5 * PIXELS * FINER))

    def line(self, points: Sequence[Point], colour: str, width: float = 1.0, dashed: bool = False) -> None:
        if dashed:
            for piece in _dashes(points):
                self.line(piece, colour, width)
            return
        flat = [self._pixels(point) for point in points]
        self.draw.line(flat, fill=colour, width=max(1, round(width * PIXELS * FINER)), joint="curve")

    def words(
        self, at: Point, text: str, size: float = 12, colour: str = INK, anchor: str = "lm", up: bool = False
    ) -> None:
        """anchor: Pillow's, l m r across and t m b down. up: turned to read upwards from the point."""
        font = _font(size * PIXELS * FINER)
        x, y = self._pixels(at)
        if not up:
            self.draw.text((x, y), text, fill=colour, font=font, anchor=anchor)
            return
        from PIL import Image, ImageDraw

        left, top, right, bottom = font.getbbox(text, anchor="lt")
        strip = Image.new("L", (int(right - left) + 2, int(font.size * 1.3)), 0)
        ImageDraw.Draw(strip).text((0, strip.height / 2), text, fill=255, font=font, anchor="lm")
        turned = strip.rotate(90, expand=True)
        self.image.paste(colour, (int(x - turned.width / 2), int(y - turned.height)), turned)

    def save(self, path: Path) -> None:
        from PIL import Image, ImageDraw

        corners = Image.new("L", self.image.size, 0)
        edges = (0, 0, self.image.width - 1, self.image.height - 1)
        ImageDraw.Draw(corners).rounded_rectangle(edges, CORNER * PIXELS * FINER, fill=255)
        whole = self.image.convert("RGBA")
        whole.putalpha(corners)
        small = (self.width * PIXELS, self.height * PIXELS)
        path.parent.mkdir(parents=True, exist_ok=True)
        whole.resize(small, Image.Resampling.LANCZOS).save(path, optimize=True)


def _dashes(points: Sequence[Point], on: float = 5, off: float = 4) -> list[list[Point]]:
    """Pieces of a straight line."""
    (x0, y0), (x1, y1) = points[0], points[-1]
    length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5 or 1.0
    pieces, start = [], 0.0
    while start < length:
        ends = (start / length, min(start + on, length) / length)
        pieces.append([(x0 + (x1 - x0) * share, y0 + (y1 - y0) * share) for share in ends])
        start += on + off
    return pieces


def mixed(colour: str, share: float) -> str:
    """The colour on the paper, from none of it (0) to all of it (1)."""
    parts = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    return "#" + "".join(f"{round(255 + (part - 255) * share):02x}" for part in parts)


def length(text: str, size: float) -> float:
    """Points that the words take."""
    return _font(size * PIXELS * FINER).getlength(text) / (PIXELS * FINER)


@lru_cache(maxsize=32)
def _font(pixels: float) -> ImageFont.FreeTypeFont:
    """Pillow's own font, Aileron, so that pictures are the same on every machine."""
    from PIL import ImageFont

    font = ImageFont.load_default(pixels)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise OSError("Pillow has no FreeType")
    return font


def can_write(text: str) -> bool:
    """Whether the font has every letter of the text; it knows Latin ones only."""
    font = _font(40)
    unknown = bytes(font.getmask("\uffff"))
    return all(char == " " or bytes(font.getmask(char)) != unknown for char in text)
