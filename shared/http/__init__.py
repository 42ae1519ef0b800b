"""The HTTP layer that every Reelway door shares; it knows no service."""
