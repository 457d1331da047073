"""What is at work: runs submitted, queued and trained by workers, and transfers from and to the Hub."""

__all__ = ["engine", "queue", "transfers"]
