"""Scaling curves."""
