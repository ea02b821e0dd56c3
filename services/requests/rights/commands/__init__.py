"""Everything that changes a request: `asking` what people do, `doing` what the stores do, `answering` how it ends."""
