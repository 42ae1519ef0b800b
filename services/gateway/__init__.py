"""Gateway is the public door: HTTP in, messages out."""
