"""Markup from Jinja templates, and charts as SVG: for the page and for the files beside a model card."""

from bertspace.drawing.charts import BASE, TUNED, WIDTH, Chart, Line, Matrix, in_a_row, tick
from bertspace.drawing.scales import Point, thin, ticks
from bertspace.drawing.templates import Templates, escaped

__all__ = [
    "BASE",
    "TUNED",
    "WIDTH",
    "Chart",
    "Line",
    "Matrix",
    "Point",
    "Templates",
    "escaped",
    "in_a_row",
    "thin",
    "tick",
    "ticks",
]
