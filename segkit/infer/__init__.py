"""Pictures -> predictions, without training."""
