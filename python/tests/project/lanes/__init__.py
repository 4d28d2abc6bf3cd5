"""Handlers with rules."""
