"""Services: what is wanted of them is kept and done."""
