"""Nordtel, a synthetic Swedish operator with real stores: for the first run and the tests (README.md)."""
