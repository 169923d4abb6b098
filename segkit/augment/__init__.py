"""The one door to albumentations."""
