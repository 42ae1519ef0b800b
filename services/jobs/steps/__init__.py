"""Child steps: the work on untrusted content, each in a process of its own."""
