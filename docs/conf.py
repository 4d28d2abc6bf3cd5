"""How `scripts/docs` makes HTML of these pages: Sphinx, MyST for Markdown, furo for the looks.

The source is the repository, so that a link to a page beside docs/ (the wire in spec/, the package's
overview) is the same link on paper and in HTML; `include_patterns` says which of its pages belong here.
"""

project = "Jackfield"
author = "the Jackfield authors"
copyright = author
version = release = "0.1.0"
language = "en"

extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = [
    "docs/*.md",
    "spec/app-link.md",
    "bench/README.md",
    "python/README.md",
    "python/ARCHITECTURE.md",
    "python/tests/contract/README.md",
    "python/tests/README.md",
]
# What a walk through the repository need not look into.
exclude_patterns = ["**/node_modules", "target", ".test", ".git", "dist", "demos", "crates", "fuzz"]
nitpicky = True

# A heading is an anchor by its words, as where the repository is read.
myst_heading_anchors = 4

html_theme = "furo"
html_title = "Jackfield"
html_extra_path = ["openapi.json"]
html_copy_source = False
html_show_sphinx = False
pygments_dark_style = "github-dark"
