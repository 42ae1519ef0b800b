"""Bytes by location, on a local folder or an object store."""
