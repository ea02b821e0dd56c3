"""How fast Wardline is beside what the same machine could do at most: `./dev bench [name…]`."""
