"""What operations people use before they change a rule."""
