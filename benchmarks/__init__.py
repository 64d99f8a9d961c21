"""Side-by-side measurements against a hand-written loop and against peers."""
