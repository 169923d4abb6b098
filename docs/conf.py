"""Sphinx: these Markdown pages as a site (`make docs`). GitHub shows them too, so nothing else is used."""

from segkit import __version__

project = "segkit"
release = version = __version__
extensions = ["myst_parser"]
highlight_language = "none"
html_theme = "furo"
html_title = f"segkit {__version__}"
html_copy_source = html_show_copyright = html_use_index = False
myst_heading_anchors = 3  # links to headings, as GitHub makes them
