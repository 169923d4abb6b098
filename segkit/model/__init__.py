"""Image -> logits."""
