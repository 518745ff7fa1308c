"""Services decided: what is wanted and what is seen in, what to do about the difference out."""
