"""Numbers -> plots, pictures, pages and files; as a command (``segkit.report``) a run's page."""


def main() -> None:
    """Entry point of ``segkit report``; ``python -m segkit.report`` runs ``__main__.py``."""
    from segkit.report.__main__ import main as command

    command()
