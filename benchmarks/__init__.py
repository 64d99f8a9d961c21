"""Side-by-side comparisons with hand-written loops and with other libraries."""
