"""The HTTP of the consent service, by subject."""
