"""What Reelway tells about itself: logs, metrics, traces, by the names in one file."""
