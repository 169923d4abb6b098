"""Logits and target -> counts -> numbers."""
