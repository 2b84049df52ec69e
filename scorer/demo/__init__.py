"""Everything on one machine: the embedded broker and what the demo plays into it."""
