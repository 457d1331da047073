"""The training loop, its checkpoints, and how long a run will take."""

from bertspace.training.loop import train
from bertspace.training.session import open_session

__all__ = ["checkpoints", "forecast", "open_session", "session", "train"]
