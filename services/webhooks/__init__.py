"""Endpoints and deliveries: what happens in the other services, told to those who subscribed."""
