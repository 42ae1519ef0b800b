"""Doing the work of the ledger: claiming, heartbeats, checkpoints, child processes."""
