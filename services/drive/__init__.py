"""Drive keeps the bytes of a tenant."""
