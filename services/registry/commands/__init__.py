"""Everything that changes what the registry holds, by subject."""
