"""How `nox -s docs` builds the site. Nothing of it comes from the network."""

project = "kiebot"
html_title = "kiebot"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence"]
# Headings down to this depth can be linked to, as `operating.md#two-shops-side-by-side`.
myst_heading_anchors = 4

html_theme = "furo"
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
html_theme_options = {
    # The system's own fonts: none is fetched.
    "light_css_variables": {"font-stack": "system-ui, sans-serif"},
    "dark_css_variables": {"font-stack": "system-ui, sans-serif"},
}
