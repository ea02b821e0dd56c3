"""Every fact of a service, once: outbox, feed, audit trail and webhook source are the same append-only rows.

`events` writes them in the business transaction, `sequencer` gives them positions and signs the tree, `routes` shows them with
proofs, `follow` reads another service's, `verify` checks them offline with public keys only.
Positions begin at 1, so the position of an entry is the size of the tree that ends with it; its RFC 9162 leaf index is one less.
"""
