"""The words services say to each other: frozen data, no behaviour."""
