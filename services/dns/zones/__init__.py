"""Customers' zones: proof of control, and what the worker does in them."""
