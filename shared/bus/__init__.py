"""Typed messages over any carrier."""
