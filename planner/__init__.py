"""Predictions and decisions: cost, latency, scaling curves, search, recommendation.

Pure: it is given observations and returns predictions. No torch, web or database.
"""
