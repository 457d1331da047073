"""What is at work: runs submitted, queued, trained and compared, and transfers from and to the Hub."""

__all__ = ["comparison", "engine", "queue", "transfers"]
