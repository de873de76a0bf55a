"""What tests/run is made of: readers (lines to cases), watch (processes), report (the screen)."""
