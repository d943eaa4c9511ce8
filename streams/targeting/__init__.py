"""Who is reached, and why: selection, admission, outcomes."""
