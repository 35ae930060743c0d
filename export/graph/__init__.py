"""The captured program and what is known of its values."""
