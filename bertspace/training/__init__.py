"""The training loop, its checkpoints, and forecasts of how long a run will take."""

from bertspace.training.loop import train
from bertspace.training.training import open_training

__all__ = ["checkpoints", "forecast", "open_training", "train"]
