"""What leaves the register in bundles: profiles of sheets, each in every format, rendered row by row by a process of its own."""
