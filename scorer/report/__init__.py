"""Pages for people: self-contained HTML without scripts or external resources."""
