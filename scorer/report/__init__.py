"""Pages for people: self-contained HTML, no script, nothing fetched."""
