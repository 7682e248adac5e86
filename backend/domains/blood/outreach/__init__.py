"""Whom to ask for a request for blood, when, and when to stop; mathematics only."""
