"""Where tasks are kept: one seam (`base`), one conformance suite, several engines."""
