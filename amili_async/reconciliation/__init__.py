"""Reconcile payouts: check that each is the sum of its specifications."""
