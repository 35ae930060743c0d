"""What the paper prints, and the same figures counted here."""
