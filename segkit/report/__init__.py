"""Numbers -> plots, pictures and files."""
