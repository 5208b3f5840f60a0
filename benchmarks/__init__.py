"""Figures that the documentation quotes; each module prints one table."""
