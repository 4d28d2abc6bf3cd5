"""Rooms in which notes are taken."""
