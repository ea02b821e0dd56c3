"""Pure decisions: whether an order may be carried out, what follows, until when, and which fields are disclosed."""
