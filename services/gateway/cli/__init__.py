"""Commands that talk to a gateway over HTTP: ``reelway jobs …`` and ``reelway pools …``."""
