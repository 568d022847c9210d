"""Chains: pipelines after each other on one session, each step queued when all that it waits for has succeeded."""
