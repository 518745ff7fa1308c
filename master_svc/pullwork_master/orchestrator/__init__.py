"""Services: what is wanted of them is kept, what there is of them is seen, and the gap closed."""
