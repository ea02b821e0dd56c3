"""Everything that changes data: who people are, one step in one store, a sweep over all."""
