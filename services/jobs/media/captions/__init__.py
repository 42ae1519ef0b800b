"""From boxes and crops to captions: layout, extents and lines. Pure functions."""
