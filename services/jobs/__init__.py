"""The jobs service: flows of steps, the queue they wait in, and the children that run them."""
