"""What is known about videos: opening, decoding, drawing and reading them. No network, no bus."""
