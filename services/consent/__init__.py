"""Notices, what people said about them, and the decision whether data may be processed: fast, and never stale."""
