"""One module per resource, each a table of routes."""
