"""Redis: the ledger. Only this folder knows its client library."""
