"""Catalog keeps what is known of a video."""
