"""Everything that changes a request: `asking` is what people do, `doing` what is done in the stores, `answering` how it ends."""
