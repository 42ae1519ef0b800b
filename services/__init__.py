"""The four services of Reelway: gateway, drive, catalog, jobs."""
