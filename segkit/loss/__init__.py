"""Logits and target -> scalar."""
